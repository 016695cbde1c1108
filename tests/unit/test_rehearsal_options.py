"""Profile and models get from the settings and the command line to the rehearsal server."""

from typer.testing import CliRunner

from anime.cli.app import app
from anime.settings import load_settings
from anime.stack.services import Services


def test_the_stack_gives_its_settings_to_the_rehearsal_server() -> None:
    settings = load_settings().model_copy(
        update={"rehearsal_profile": "0.3.64", "rehearsal_models": "loras/a.pt,vae/b.pt"}
    )
    command = " ".join(Services(settings, environment={}).rehearsal().command)
    assert command.endswith("--profile 0.3.64 --model loras/a.pt --model vae/b.pt")


def test_a_model_in_an_unknown_folder_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(app, ["rehearsal", "--model", "lora/a.pt"])
    assert result.exit_code == 2
    assert "text_encoders" in result.output
