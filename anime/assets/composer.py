"""Composes requests from what the database and the workflows say."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import randbelow
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from anime.assets.folder_reader import ANSWER_SECONDS
from anime.assets.workflow_catalogue import in_workflows
from anime.comfyui.workflow_templates import load_template, template_names
from anime.core.composition.compose import compose
from anime.core.composition.record import Composition, refused
from anime.core.composition.sources import NO_SOURCES, Sources, names_in
from anime.core.ids import MAX_SEED
from anime.core.paths import is_recorded
from anime.core.workflow_build import Template
from anime.db.repositories import SourceRepository
from anime.errors import InvalidRequest, InvalidWorkflow
from anime.schemas import GenerationRequest
from anime.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

_BUSY_SECONDS = 0.01  # for one request, on a busy machine; thousands may be composed together


@dataclass(frozen=True, slots=True)
class Composer:
    """The one that composes by these settings; workflows are waited for `seconds`.

    All that it does raises StorageTimedOut if their folder does not answer.
    """

    settings: Settings
    seconds: float = ANSWER_SECONDS

    async def compose(self, session: AsyncSession, request: GenerationRequest) -> Composition:
        """What is rendered for the request.

        Raises:
            InvalidRequest: it cannot be rendered as it is composed, or its workflow is missing.
        """
        sources = await SourceRepository(session).of([request], with_shots=True)
        return await self._in_workflows(self._compose, request, sources)

    async def changed(
        self, session: AsyncSession, request: GenerationRequest
    ) -> Composition | None:
        """What is kept with the request's job; None if it is rendered as it is given.

        Raises as `compose`.
        """
        sources = await SourceRepository(session).of([request], with_shots=True)
        if sources is NO_SOURCES and request.shot is None:
            return None
        composition = await self._in_workflows(self._compose, request, sources)
        return composition if composition.is_kept else None

    async def kept(self, session: AsyncSession, request: GenerationRequest) -> Composition | None:
        """What is kept with the request's job; it says why, if it cannot be rendered."""
        [composition] = await self.compose_all(session, [request], with_shots=True)
        return composition

    async def compose_all(
        self,
        session: AsyncSession,
        requests: Sequence[GenerationRequest],
        *,
        with_shots: bool = False,
    ) -> list[Composition | None]:
        """What is rendered for each of the requests; None where it is the request as it is given.

        One that cannot be rendered says why: the others are. `with_shots`: fragments say what is
        from the shots of the requests, for people to see.
        """
        if not any(map(may_change, requests)):
            return [None] * len(requests)
        sources = await SourceRepository(session).of(requests, with_shots=with_shots)
        return await self._in_workflows(self._compose_all, requests, sources, count=len(requests))

    async def _in_workflows(
        self,
        compose: Callable[[T, Sources, "_Workflows"], R],
        asked: T,
        sources: Sources,
        *,
        count: int = 1,
    ) -> R:
        def call() -> R:
            return compose(asked, sources, _Workflows(self.settings.workflow_folders))

        seconds = self.seconds + count * _BUSY_SECONDS
        return await in_workflows(self.settings, call, seconds=seconds)

    def _compose_all(
        self, requests: Sequence[GenerationRequest], sources: Sources, workflows: "_Workflows"
    ) -> list[Composition | None]:
        return [self._composed(request, sources, workflows) for request in requests]

    def _composed(
        self, request: GenerationRequest, sources: Sources, workflows: "_Workflows"
    ) -> Composition | None:
        if (sources is NO_SOURCES and request.shot is None) or not may_change(request):
            return None
        try:
            composition = self._compose(request, sources, workflows)
        except InvalidRequest as fault:
            # Without style and characters, the run finds it out, as it always has.
            return None if sources is NO_SOURCES else refused(request, fault)
        return composition if composition.is_kept else None

    def _compose(
        self, request: GenerationRequest, sources: Sources, workflows: "_Workflows"
    ) -> Composition:
        return compose(
            request,
            sources,
            workflows.template(sources.workflow_of(request)),
            policies=self.settings.character_policies,
            random_seed=randbelow(MAX_SEED + 1),
            architecture_of=workflows.architecture_of,
        )


class _Workflows:
    """The workflows as they are while some requests are composed."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._templates: dict[str, Template] = {}

    def template(self, name: str) -> Template:
        """The workflow of that name. Raises as `load_template`."""
        if name not in self._templates:
            self._templates[name] = load_template(name, *self._folders)
        return self._templates[name]

    def architecture_of(self, model: str) -> str | None:
        """The architecture of a model, if some workflow is for that model and names it."""
        return self._architectures.get(model)

    @cached_property
    def _architectures(self) -> dict[str, str]:
        found = {}
        for name in template_names(*self._folders):
            with suppress(InvalidWorkflow):  # whoever uses that one is told
                template = self.template(name)
                if template.binding.architecture is not None and "model" in template.inputs:
                    found[str(template.value_of("model"))] = template.binding.architecture
        return found


def may_change(request: GenerationRequest) -> bool:
    """Whether the request may become another, or is for a take that may be stale one day.

    A recorded graph is rendered as it is.
    """
    if is_recorded(request.workflow_name):
        return False
    return request.project is not None or request.shot is not None or bool(names_in(request))
