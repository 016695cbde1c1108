"""`anime rehearsal`: a server that answers as ComfyUI does and draws placeholder frames."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def _in_folders(models: list[str] | None) -> list[str] | None:
    """The same models.

    Raises:
        typer.BadParameter: one of them is in no folder that the server has.
    """
    from anime.rehearsal.nodes import MODEL_FOLDERS

    folders = sorted(set(MODEL_FOLDERS.values()))
    for model in models or ():
        folder, _, name = model.partition("/")
        if folder not in folders or not name:
            raise typer.BadParameter(f"{model} must be FOLDER/NAME, of {', '.join(folders)}")
    return models


def _known_faults(faults: list[str] | None) -> list[str] | None:
    """The same faults.

    Raises:
        typer.BadParameter: one of them is none.
    """
    from anime.errors import ConfigurationError
    from anime.rehearsal.faults import faults_of

    try:
        faults_of(faults or ())
    except ConfigurationError as fault:
        raise typer.BadParameter(str(fault)) from None
    return faults


def _shipped_models() -> set[str]:
    """The models that the shipped workflows name."""
    from anime.comfyui.workflow_templates import list_templates
    from anime.rehearsal.nodes import models_named_in
    from anime.settings import SHIPPED_WORKFLOWS

    graphs = (template.graph for template in list_templates(SHIPPED_WORKFLOWS))
    return set().union(*map(models_named_in, graphs))


def rehearsal(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8188,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Holds output/, input/ and temp/; below ANIME_HOME if unset."),
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Output folder that several servers share.")
    ] = None,
    step_seconds: Annotated[
        float, typer.Option(min=0, help="Time of a sampler step, in seconds.")
    ] = 0.05,
    vram_mb: Annotated[int, typer.Option(min=1, help="Size of the pretended GPU, in MB.")] = 24_576,
    previews: Annotated[
        bool, typer.Option("--previews", help="Send a preview picture after each step.")
    ] = False,
    profile: Annotated[
        Literal["0.33", "0.3.64"], typer.Option(help="The ComfyUI that it answers as.")
    ] = "0.33",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model that it has beside those of the shipped workflows: "
            "loras/mine.safetensors. Repeatable.",
            callback=_in_folders,
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="An error to simulate: docs/rehearsal.md. Repeatable.",
            callback=_known_faults,
        ),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="File that gets a line for each prompt that ends.")
    ] = None,
) -> None:
    """Run the rehearsal server, which answers as ComfyUI does and draws placeholder frames."""
    import logging

    from anime.rehearsal.config import Profile, RehearsalConfig
    from anime.rehearsal.faults import faults_of
    from anime.rehearsal.server import run
    from anime.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    run(
        RehearsalConfig(
            data_dir=data_dir or load_settings().home / "rehearsal",
            output_dir=output_dir,
            log=log,
            faults=faults_of(fault or ()),
            host=host,
            port=port,
            step_seconds=step_seconds,
            vram_total_mb=vram_mb,
            previews=previews,
            profile=Profile(profile),
            models=(*sorted(_shipped_models()), *(model or ())),
        )
    )
