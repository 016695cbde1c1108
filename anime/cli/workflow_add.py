"""`anime workflow add`: a workflow that somebody has becomes one of the studio's own."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_json, print_result
from anime.cli.workflow_questions import choices_with_answers, show_plan, tell_findings
from anime.errors import InvalidWorkflow

if TYPE_CHECKING:
    from anime.assets.workflow_import import ConvertedWorkflow
    from anime.settings import Settings

_SERVER_SECONDS = 60.0  # for an answer of some megabytes


def add(
    file: Annotated[
        Path, typer.Argument(help="A workflow: JSON, or a picture or film that ComfyUI made.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="What requests call it; made from the file's name if unset."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="What people call it.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take what is certain, and ask nothing.")
    ] = False,
    bind: Annotated[
        list[str] | None,
        typer.Option(
            "--bind",
            metavar="INPUT=ID.INPUT",
            help="What an input is, as prompt=12:3.text; without a place it is left out.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a workflow of that name.")
    ] = False,
    object_info: Annotated[
        str | None,
        typer.Option(
            "--object-info",
            metavar="FILE|URL",
            help="The node classes: a saved answer to /object_info, or the server.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import a workflow of ComfyUI, with its inputs found and confirmed."""
    from anime.assets.workflow_catalogue import existing_workflow, own_store
    from anime.assets.workflow_import import plan_import
    from anime.assets.workflow_store import checked_name, name_from_file
    from anime.settings import load_settings

    settings = load_settings()
    store = own_store(settings)
    wanted = checked_name(name or name_from_file(file.stem))
    store.refuse_taken(wanted, may_replace=replace)
    converted = _converted(file, object_info, settings)
    before = existing_workflow(wanted, settings) if replace else None
    choices = _choices_in(bind or ())
    if not yes:
        confirmed = [*before.inputs, "output"] if before else []
        choices = choices_with_answers(converted, choices, confirmed=confirmed)
    plan = plan_import(wanted, converted, title=title or file.stem, choices=choices, before=before)
    if not yes:
        show_plan(plan)
        typer.confirm(f"Write {wanted} to {store.folder}?", default=True, abort=True, err=True)
    store.save(wanted, plan.graph_text, plan.binding_text, may_replace=replace)
    if json:
        print_json(plan.record().model_dump(mode="json"))
        return
    if yes:
        show_plan(plan)
    tell_findings(plan)
    print_result(str(store.folder / f"{wanted}.toml"))


def _converted(file: Path, object_info: str | None, settings: "Settings") -> "ConvertedWorkflow":
    from anime.assets.workflow_files import load_workflow
    from anime.assets.workflow_import import convert_and_propose
    from anime.comfyui.object_info import load_object_info
    from anime.settings.addresses import job_server

    try:
        source = load_workflow(file)
        classes = asyncio.run(
            load_object_info(object_info or job_server(settings), timeout_seconds=_SERVER_SECONDS)
        )
        return convert_and_propose(source, classes, settings.node_class_policy)
    except InvalidWorkflow as refused:
        refused.what = f"{file}: {refused.what}"
        raise


def _choices_in(options: Iterable[str]) -> dict[str, str]:
    choices = {}
    for option in options:
        name, is_given, place = option.partition("=")
        if not is_given or not name.strip():
            raise InvalidWorkflow(
                f'--bind "{option[:80]}" names no input.', "Write it as prompt=12:3.text."
            )
        choices[name.strip()] = place.strip()
    return choices
