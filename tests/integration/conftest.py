"""The API over its real services, the rehearsal server, and folders to sweep."""

import pytest

from tests.integration.api_client import api, api_settings, prefect_peer
from tests.integration.import_folder import stage
from tests.integration.rehearsal_peer import peer, rehearsal_server
from tests.support.waiting import HUNG_SECONDS

__all__ = ["api", "api_settings", "peer", "prefect_peer", "rehearsal_server", "stage"]


@pytest.fixture(autouse=True)
def all_events_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine: what Redis has not answered within a second is lost, else."""
    monkeypatch.setattr("anime.progress.publisher.TIMEOUT_SECONDS", float(HUNG_SECONDS))
    monkeypatch.setattr("anime.progress.gateway.READ_SECONDS", float(HUNG_SECONDS))
