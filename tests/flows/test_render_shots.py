"""Shots rendered by a run that somebody starts in Prefect."""

import pytest

from anime.core.batches import BatchRequest
from anime.errors import InvalidRequest
from anime.jobs.shots import import_shots
from anime.settings import get_settings
from flows.render_shots import render_shots
from tests.flows.conftest import RehearsalStudio
from tests.integration.prefect_peer import AUTH, running_prefect_peer

TABLE = "code,episode,prompt,seed\nsc1,1,a roof,7\nsc2,2,a door,\nsc3,3,,\n"


async def test_a_run_of_the_form_begins_a_batch_of_the_shots(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    await import_shots(studio.database, "Neon City", TABLE)
    async with running_prefect_peer() as prefect:
        monkeypatch.setenv("PREFECT_API_URL", prefect.url)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
        get_settings.cache_clear()
        run_id = await render_shots(project="neon-city", episode="1", takes=2)
        [run] = prefect.runs.values()
        with pytest.raises(InvalidRequest, match="has a prompt"):
            await render_shots(project="neon-city", episode="3")
    assert run["id"] == run_id
    batch = BatchRequest.model_validate(run["parameters"])
    assert [(each.shot, each.seed) for each in batch.requests] == [("sc1", 7), ("sc1", 8)]
