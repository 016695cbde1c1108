"""Real services for the integration tests."""

from tests.services import database, database_url, empty_database_url, postgres_url, redis_url

__all__ = ["database", "database_url", "empty_database_url", "postgres_url", "redis_url"]
