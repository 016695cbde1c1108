"""The revisions that bring a database to the shape of anime/db/models.py."""
