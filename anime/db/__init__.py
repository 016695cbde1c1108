"""The record: PostgreSQL, schema `anime_api`."""
