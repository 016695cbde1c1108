"""What is patched in Prefect, as it was before once a test has ended."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prefect.client import orchestration
from prefect.events.clients import PrefectEventsClient, PrefectEventSubscriber
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings


@contextmanager
def prefects_own(url: str = "http://127.0.0.1:9/api") -> Iterator[None]:
    """Settings of Prefect's for the block, which may patch what `follow_auth_string` does."""
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: "given"}),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("PrefectHttpxAsyncClient", "PrefectHttpxSyncClient"):
            patch.setattr(orchestration, name, getattr(orchestration, name))
        for client in (PrefectEventsClient, PrefectEventSubscriber):
            patch.setattr(client, "_auth_token", None, raising=False)
        yield
