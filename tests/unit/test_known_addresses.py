"""What somebody is told who asks before there is a database, a ComfyUI or a Prefect server."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anime.errors import AnimeError, ConfigurationError
from anime.net.prefect_api import PrefectApi
from anime.settings import Settings, load_settings
from anime.settings.addresses import database_address, job_server
from anime.settings.process_lock import acquire_lock
from anime.settings.stack_record import lock_path

ASKED = [database_address, job_server, PrefectApi.from_settings]


@pytest.mark.parametrize("ask", ASKED)
def test_while_a_stack_starts_one_is_told_to_wait(
    ask: Callable[[Settings], object], tmp_path: Path
) -> None:
    settings = load_settings(home=tmp_path)
    lock = acquire_lock(lock_path(tmp_path))
    with pytest.raises(AnimeError, match="still starting") as early:
        ask(settings)
    os.close(lock)
    with pytest.raises(AnimeError, match="not set and no stack runs") as ended:
        ask(settings)
    assert (early.value.todo.split()[:2], ended.value.todo.split()[0]) == (
        ["Try", "again"],
        "Start",
    )


@pytest.mark.parametrize(
    ("variable", "text"), [("ANIME_API_PORTS", "8330,a"), ("ANIME_COMFYUI_HEADERS", '{"A": 5}')]
)
def test_a_wrong_part_is_said_of_the_variable_that_has_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=f"^{variable} cannot be used: ") as refused:
        load_settings()
    assert refused.value.todo == f"Correct or unset {variable}."
