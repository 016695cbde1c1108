"""The API over its real services, and the rehearsal server."""

from tests.integration.api_client import api, api_settings, prefect_peer
from tests.integration.rehearsal_peer import peer, rehearsal_server

__all__ = ["api", "api_settings", "peer", "prefect_peer", "rehearsal_server"]
