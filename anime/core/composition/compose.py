"""The way in: what is rendered for a request."""

from collections.abc import Callable
from typing import Final

from anime.core.character_policies import CharacterPolicies, CharacterPolicy
from anime.core.composition.loras import take_loras
from anime.core.composition.pictures import place_references
from anime.core.composition.record import Composition, Fragment, digest_of
from anime.core.composition.sources import (
    DrawnCharacter,
    SourceProject,
    Sources,
    mentions,
    names_in,
)
from anime.core.composition.state import CompositionState
from anime.core.composition.texts import join_texts
from anime.core.composition.values import choose_seed, choose_workflow, take_values
from anime.core.paths import slugs_of
from anime.core.styles import file_prefix
from anime.core.workflow_build import Template
from anime.errors import InvalidRequest
from anime.schemas import MAX_CHARACTERS, GenerationRequest

_LENIENT: Final = CharacterPolicies()


def _unknown(_model: str) -> None:
    """The architecture of a model where no workflow is known."""


def compose(
    request: GenerationRequest,
    sources: Sources,
    template: Template,
    *,
    policies: CharacterPolicies = _LENIENT,
    random_seed: int = 0,
    architecture_of: Callable[[str], str | None] = _unknown,
) -> Composition:
    """What is rendered for the request.

    Args:
        request: As it was given.
        sources: The projects and characters that it may name.
        template: The workflow that `sources` choose for it.
        policies: What becomes of it if a character cannot be drawn as it should be.
        random_seed: The seed if the project's style wants a random one.
        architecture_of: The architecture of a model, if some workflow is for that model.

    Raises:
        InvalidRequest: a LoRA does not fit the workflow's model, a policy does not allow a
            character, or too much comes together.
    """
    project = sources.project_of(request)
    cast, missing = _cast(request, sources, project)
    state = CompositionState(request, template, project, cast, architecture_of)
    state.warnings += [
        f"@{name} in the prompt of {each.source} stays as it is: only a request names characters."
        for each in cast.values()
        for name in mentions(each.prompt)
    ]
    state.warnings += [
        f"Nothing is known of how {name} looks; the name is only kept." for name in missing
    ]
    _name_project(state)
    style = project.style if project else None
    if style is not None or cast:
        _judge_drafts(state, policies.draft)
        _name_mentioned(state)
        choose_workflow(state)
        take_values(state)
        take_loras(state)
        place_references(state)
        join_texts(state)
        choose_seed(state, random_seed)
        _judge_unshown(state, policies.unshown)
    rendered = request.model_copy(update=state.changes) if state.changes else request
    return Composition.model_construct(
        request=rendered,
        fragments=state.fragments,
        conflicts=state.conflicts,
        warnings=state.warnings,
        style_version=style.version if style else None,
        character_versions={each.name: each.version for each in cast.values()},
        reference_paths=state.reference_paths,
        workflow_sha256=template.sha256,
        digest=digest_of(rendered, template.sha256),
        file_prefix=file_prefix(style.style, request, template.name) if style else "",
        refused=None,
    )


def _cast(
    request: GenerationRequest, sources: Sources, project: SourceProject | None
) -> tuple[dict[str, DrawnCharacter], list[str]]:
    """The characters of the request by slug, and the names of those of whom nothing is known."""
    cast: dict[str, DrawnCharacter] = {}
    missing: list[str] = []
    for name in names_in(request):
        found = sources.character(project, name)
        if found is not None:
            cast.setdefault(found.slug, found)
        elif name not in missing:
            missing.append(name)
    return cast, missing


def _name_project(state: CompositionState) -> None:
    """Call a renamed project by its slug, which is its folder in the library and never changes."""
    project, name = state.project, state.request.project
    if project is not None and name is not None and project.slug not in slugs_of(name):
        state.changes["project"] = project.slug
        state.fragments.append(Fragment(field="project", text=project.slug, source=project.name))


def _name_mentioned(state: CompositionState) -> None:
    """Name the characters that only the text mentions, too: the files are found by them."""
    named = {slug for name in state.request.named_characters for slug in slugs_of(name)}
    if mentioned := [each.name for each in state.cast.values() if each.slug not in named]:
        names = [*state.request.characters, *mentioned]
        state.changes["characters"] = names[:MAX_CHARACTERS]


def _judge_drafts(state: CompositionState, policy: CharacterPolicy) -> None:
    for each in state.cast.values():
        if each.is_draft:
            what = f"No version of {each.name} is canonical; {each.version} is the newest draft."
            todo = "Make one canonical, or set ANIME_DRAFT_CHARACTERS=warning."
            _object(state, policy, what, todo)


def _judge_unshown(state: CompositionState, policy: CharacterPolicy) -> None:
    for slug, each in state.cast.items():
        if slug not in state.shown:
            what = f"Workflow {state.template.name} cannot show {each.name}: it takes no words"
            what += " of theirs, no LoRA and no picture."
            todo = "Take another workflow, or set ANIME_UNSHOWN_CHARACTERS=warning."
            _object(state, policy, what, todo)


def _object(state: CompositionState, policy: CharacterPolicy, what: str, todo: str) -> None:
    if policy is CharacterPolicy.ERROR:
        raise InvalidRequest(what, todo)
    state.warnings.append(what)
