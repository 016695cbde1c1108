"""`anime workflow list`, `show`, `check`, `rename`, `remove`, `export`: the workflows there are."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.error_boundary import EXPECTED
from anime.cli.terminal import as_json, print_json, print_note, print_result, print_table

if TYPE_CHECKING:
    from anime.core.workflow_build import Template
    from anime.core.workflow_records import WorkflowSummary
    from anime.settings import Settings

_SERVER_SECONDS = 30.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WorkflowArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the workflow.")]


def list_(json: Json = False) -> None:
    """List the workflows: the studio's own, and those that are shipped."""
    from anime.assets.workflow_catalogue import workflow_summaries
    from anime.settings import load_settings

    summaries = workflow_summaries(load_settings())
    if json:
        print_json(as_json(summaries))
        return
    print_table(("name", "makes", "whose", "title"), [_row(each) for each in summaries])


def show(name: WorkflowArgument, json: Json = False) -> None:
    """Show what a workflow takes, where its values go, and the node classes that it uses."""
    from anime.assets.workflow_catalogue import find_workflow, workflow_record
    from anime.settings import load_settings

    settings = load_settings()
    template = find_workflow(name, settings)
    record = workflow_record(template, settings)
    if json:
        print_json(record.model_dump(mode="json"))
        return
    print_result(f"{record.name}: {record.title} (makes {record.output})")
    if record.was_edited:
        print_note("The graph is another than the one that its bindings were confirmed for.")
    print_table(
        ("input", "kind", "default", "places"),
        [
            (each, bound.kind, _default(template, each), ", ".join(record.places[each]))
            for each, bound in template.inputs.items()
        ],
    )
    if record.takes_loras:
        print_result(f"LoRAs must be for: {record.architecture or 'unchecked'}")
    print_result(f"node classes: {', '.join(record.node_classes)}")


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Which ones; all if none is named."),
    ] = None,
    server: Annotated[
        bool, typer.Option("--server", help="Ask the ComfyUI servers as well.")
    ] = False,
) -> None:
    """Check workflows: their files, their node classes and, with --server, each server."""
    from anime.assets.workflow_catalogue import find_workflow, workflow_summaries
    from anime.errors import InvalidWorkflow
    from anime.settings import load_settings

    settings = load_settings()
    chosen = names or [each.name for each in workflow_summaries(settings)]
    good: list[Template] = []
    faults: dict[str, list[str]] = {name: [] for name in chosen}
    for name in chosen:
        try:
            template = find_workflow(name, settings)
            settings.node_class_policy.check(template.graph)
            good.append(template)
        except InvalidWorkflow as fault:
            faults[name].append(str(fault))
    if server:
        asyncio.run(_check_at_servers(good, faults, settings))
    print_table(
        ("name", "verdict"), [(name, " ".join(each) or "good") for name, each in faults.items()]
    )
    if any(faults.values()):
        raise typer.Exit(EXPECTED)


def rename(
    name: WorkflowArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="The name that it gets.")],
) -> None:
    """Give one of the studio's own workflows another name."""
    from anime.assets.workflow_catalogue import own_store
    from anime.settings import load_settings

    own_store(load_settings()).rename(name, new_name)
    print_result(new_name)


def remove(name: WorkflowArgument) -> None:
    """Delete one of the studio's own workflows; jobs that are done keep their graphs."""
    from anime.assets.workflow_catalogue import own_store
    from anime.settings import load_settings

    own_store(load_settings()).remove(name)


def export(
    name: WorkflowArgument,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", metavar="DIR", help="Where both files are written.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace files that are there already.")
    ] = False,
) -> None:
    """Copy a workflow's two files to a folder."""
    from anime.assets.workflow_catalogue import find_workflow, workflow_texts
    from anime.assets.workflow_store import WorkflowStore
    from anime.settings import load_settings

    settings = load_settings()
    template = find_workflow(name, settings)
    there = WorkflowStore(output_dir, may_create=True)
    there.save(name, *workflow_texts(template, settings), may_replace=replace)
    print_result(str(output_dir / f"{name}.toml"))


async def _check_at_servers(
    templates: "list[Template]", faults: dict[str, list[str]], settings: "Settings"
) -> None:
    """Add what each server lacks to the faults, by the names of the workflows."""
    from anime.comfyui.address import without_login
    from anime.comfyui.client import ComfyUIClient
    from anime.comfyui.workflow_check import problems_at
    from anime.core.graph_validation import listed
    from anime.settings.addresses import comfyui_addresses

    for address in comfyui_addresses(settings):
        async with ComfyUIClient(address, timeout_seconds=_SERVER_SECONDS) as comfyui:
            for name, problems in (await problems_at(comfyui, templates)).items():
                if problems:
                    faults[name].append(f"{without_login(address)}: {listed(problems)}")


def _row(summary: "WorkflowSummary") -> tuple[str, ...]:
    whose = "own" if summary.is_own else "shipped"
    return summary.name, summary.output or "?", whose, summary.title or summary.fault


def _default(template: "Template", name: str) -> str:
    from anime.core.graph_validation import shown

    bound = template.inputs[name]
    return "(required)" if bound.is_required else shown(template.value_of(name), 40)
