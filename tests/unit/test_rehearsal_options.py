"""Profile, models and faults get from the settings and the command line to the rehearsal server."""

import re

import pytest
from typer.testing import CliRunner

from anime.cli.app import app
from anime.rehearsal.faults import Faults, faults_of
from anime.settings import PROJECT_DIR, Settings, load_settings
from anime.stack.services import Services


def test_the_stack_gives_its_settings_to_the_rehearsal_server() -> None:
    settings = load_settings().model_copy(
        update={
            "comfyui_url": "http://127.0.0.1:8188",
            "rehearsal_profile": "0.3.64",
            "rehearsal_models": "loras/a.pt,vae/b.pt",
        }
    )
    command = " ".join(Services(settings, environment={}).rehearsals()[0].command)
    assert command.endswith("--profile 0.3.64 --model loras/a.pt --model vae/b.pt")


def test_the_rehearsal_server_gets_no_secret_of_the_stack() -> None:
    known = {"PATH": "/bin", "ANIME_DATABASE_URL": "secret", "PREFECT_API_AUTH_STRING": "secret"}
    settings = load_settings().model_copy(update={"comfyui_url": "http://127.0.0.1:8188"})
    services = Services(settings, known)
    assert services.rehearsals()[0].environment == {"PATH": "/bin"}
    assert services.worker().environment == known


def test_a_model_in_an_unknown_folder_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(app, ["rehearsal", "--model", "lora/a.pt"])
    assert result.exit_code == 2
    assert "text_encoders" in result.output


def test_faults_are_read_from_the_command_line() -> None:
    faults = faults_of(["crash-at-step=3", "keep-queue", "half-answers=0.25", "crash-on=x=y"])
    assert faults == Faults(crash_at_step=3, keep_queue=True, half_answers=0.25, crash_on="x=y")


@pytest.mark.parametrize(
    "fault", ["crash", "crash-at-step", "crash-at-step=soon", "half-answers=2"]
)
def test_a_fault_that_there_is_not_is_refused_with_those_that_there_are(fault: str) -> None:
    result = CliRunner().invoke(app, ["rehearsal", "--fault", fault])
    assert result.exit_code == 2
    assert "crash-at-step" in result.output


def test_the_page_on_the_rehearsal_server_has_every_fault() -> None:
    page = (PROJECT_DIR / "docs" / "rehearsal.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)(?:=[A-Z]+)?` \|", page, re.MULTILINE)) == {
        name.replace("_", "-") for name in Faults.model_fields
    }


def test_each_of_several_servers_has_its_port_folder_log_and_faults() -> None:
    settings = load_settings().model_copy(
        update={
            "comfyui_url": "http://127.0.0.1:1,http://127.0.0.1:2",
            "rehearsal_faults": "lose-history,2:zombie-after=5",
        }
    )
    parts = Services(settings, environment={}).rehearsals()
    assert [part.name for part in parts] == ["rehearsal", "rehearsal-2"]
    first, second = (" ".join(part.command) for part in parts)
    assert "--port 1 " in first
    assert f"--data-dir {settings.home}/rehearsal " in first
    assert first.endswith("--fault lose-history")
    assert "--port 2 " in second
    assert f"--data-dir {settings.home}/rehearsal-2 " in second
    assert second.endswith("--fault lose-history --fault zombie-after=5")
    shared = settings.model_copy(update={"rehearsal_shared_output": True})
    output = f"--output-dir {settings.home}/rehearsal/output"
    parts = Services(shared, environment={}).rehearsals()
    assert all(output in " ".join(part.command) for part in parts)


def test_the_number_of_servers_is_an_option_of_anime_up(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []

    async def stay(settings: Settings) -> None:
        given.append(settings)

    monkeypatch.setattr("anime.cli.up._run_until_stopped", stay)
    for words in (["up"], ["up", "--servers", "3", "--shared-output"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert [(each.rehearsal_servers, each.rehearsal_shared_output) for each in given] == [
        (1, False),
        (3, True),
    ]
