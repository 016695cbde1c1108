"""Real services for the integration tests."""

from tests.integration.api_client import api, api_settings, prefect_peer
from tests.services import database, database_url, empty_database_url, postgres_url, redis_url

__all__ = [
    "api",
    "api_settings",
    "database",
    "database_url",
    "empty_database_url",
    "postgres_url",
    "prefect_peer",
    "redis_url",
]
