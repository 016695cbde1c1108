"""The API over its real services."""

from tests.integration.api_client import api, api_settings, prefect_peer

__all__ = ["api", "api_settings", "prefect_peer"]
