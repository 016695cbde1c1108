"""The workflows that there are, shipped ones and the studio's own, as they are told of."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

from anime.assets.folder_reader import ANSWER_SECONDS, FolderReader
from anime.assets.workflow_store import WorkflowStore, checked_name
from anime.comfyui.workflow_templates import (
    load_template,
    read_workflow_files,
    template_names,
)
from anime.core.node_classes import node_classes
from anime.core.workflow_build import Template
from anime.core.workflow_records import WorkflowRecord, WorkflowSummary
from anime.core.workflow_schema import inputs_schema
from anime.errors import InvalidWorkflow, NotFound
from anime.settings import SHIPPED_WORKFLOWS, Settings

T = TypeVar("T")

_disks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Path, FolderReader]] = WeakKeyDictionary()


async def in_workflows(
    settings: Settings, call: Callable[[], T], *, seconds: float = ANSWER_SECONDS
) -> T:
    """What the call returns or raises, which reads the studio's own workflows.

    The mount of their folder may hang: whoever reads it shares some threads that are for it alone.

    Raises:
        StorageTimedOut: it takes longer than `seconds`.
    """
    folder, disks = settings.own_workflows, _disks.setdefault(asyncio.get_running_loop(), {})
    if folder not in disks:
        disks[folder] = FolderReader(folder, called="folder of workflows")
    return await disks[folder].run(call, seconds=seconds)


def workflow_summaries(settings: Settings) -> list[WorkflowSummary]:
    """Every workflow by name; one that is broken is in the list with its fault.

    Raises:
        InvalidWorkflow: a folder cannot be read.
    """
    return [_summary(name, settings) for name in template_names(*settings.workflow_folders)]


def find_workflow(name: str, settings: Settings) -> Template:
    """The workflow of that name.

    Raises:
        NotFound: there is none.
        InvalidWorkflow: it is broken.
    """
    names = template_names(*settings.workflow_folders)
    if name not in names:
        raise NotFound(
            f"There is no workflow {name[:80]}.",
            f"The workflows are: {', '.join(names) or 'none'}.",
        )
    return load_template(name, *settings.workflow_folders)


def existing_workflow(name: str, settings: Settings) -> Template | None:
    """The studio's own workflow of that name, which an import would take the place of.

    None if there is none, or if it is broken: then nothing of it is to be kept.
    """
    store = own_store(settings)
    try:
        return load_template(name, store.folder) if store.has(checked_name(name)) else None
    except InvalidWorkflow:
        return None


def own_store(settings: Settings) -> WorkflowStore:
    """Where the studio's own workflows are."""
    return WorkflowStore(settings.own_workflows, may_create=settings.workflows_dir is None)


def workflow_texts(template: Template, settings: Settings) -> tuple[str, str]:
    """Graph and binding as they are written, whoever's they are.

    Raises:
        InvalidWorkflow: they cannot be read any more.
    """
    is_own = _is_own(template.name, settings)
    folder = settings.own_workflows if is_own else SHIPPED_WORKFLOWS
    return read_workflow_files(template.name, folder)


def workflow_record(template: Template, settings: Settings) -> WorkflowRecord:
    """All that is told of a workflow."""
    binding = template.binding
    return WorkflowRecord(
        name=template.name,
        title=binding.title,
        description=binding.description,
        output=binding.output,
        is_own=_is_own(template.name, settings),
        was_edited=template.was_edited,
        inputs=inputs_schema(template),
        places={name: template.places_of(name) for name in template.inputs},
        takes_loras=bool(binding.loras),
        architecture=binding.architecture,
        vram_mb=binding.vram_mb,
        node_classes={name: len(ids) for name, ids in node_classes(template.graph).items()},
    )


def _summary(name: str, settings: Settings) -> WorkflowSummary:
    is_own = _is_own(name, settings)
    try:
        binding = load_template(name, *settings.workflow_folders).binding
    except InvalidWorkflow as fault:
        return WorkflowSummary(name=name, is_own=is_own, fault=str(fault))
    return WorkflowSummary(
        name=name,
        title=binding.title,
        description=binding.description,
        output=binding.output,
        is_own=is_own,
    )


def _is_own(name: str, settings: Settings) -> bool:
    return (settings.own_workflows / f"{name}.toml").exists()
