"""Numbers and names of a style that a request leaves open, and the seed."""

from hashlib import blake2b

from anime.core.bindings import InputKind
from anime.core.composition.record import REQUEST
from anime.core.composition.state import CompositionState
from anime.core.shots import ShotFields, code_key
from anime.core.styles import SeedPolicy

_SIZE = ("width", "height")
_OF_ONE_WORKFLOW = ("model", "steps", "cfg", "sampler", "scheduler")  # another one needs others
_FRAME_RATE = "fps"


def choose_workflow(state: CompositionState) -> None:
    """Take the style's workflow if the request names none."""
    if state.request.workflow is not None:
        state.note("workflow", state.request.workflow, state.source_of("workflow"))
    elif state.template.name != state.request.workflow_name:
        state.changes["workflow"] = state.template.name
        state.note("workflow", state.template.name, state.style_source)


def take_values(state: CompositionState) -> None:
    """Take the numbers and names of the style that the request leaves open."""
    for name in (*_SIZE, *_OF_ONE_WORKFLOW):
        asked = getattr(state.request, name)
        styled = getattr(state.style, name)
        if asked is not None:
            source = state.source_of(name) if name in ShotFields.model_fields else REQUEST
            state.note(name, asked, source)
            if styled not in (None, asked):
                state.conflicts.append(
                    f"{name}: {asked} of {source} counts, not {styled} of {state.style_source}."
                )
        elif styled is not None:
            _take_styled(state, name, styled)
    rate = state.style.frame_rate
    if rate is not None:
        _take_frame_rate(state, rate)


def _take_styled(state: CompositionState, name: str, value: object) -> None:
    workflow = state.template.name
    if name in _OF_ONE_WORKFLOW and not state.is_styles_workflow:
        state.leave_out(name, value, f"is for another workflow than {workflow}")
    elif name not in state.template.inputs:
        state.leave_out(name, value, f"has no place in workflow {workflow}")
    else:
        state.changes[name] = value
        state.note(name, value, state.style_source)


def _take_frame_rate(state: CompositionState, rate: float) -> None:
    bound = state.template.inputs.get(_FRAME_RATE)
    if bound is None:
        return  # stills have none, and films that are made at one rate are left as they are
    asked = state.request.inputs.get(_FRAME_RATE)
    if asked is not None:
        if asked != rate:
            state.conflicts.append(
                f"fps: {asked} of {REQUEST} counts, not {rate:g} of {state.style_source}."
            )
        return
    is_whole = bound.kind is InputKind.INT
    state.set_input(_FRAME_RATE, round(rate) if is_whole else rate)
    state.note(_FRAME_RATE, f"{rate:g}", state.style_source)


def choose_seed(state: CompositionState, random_seed: int) -> None:
    """Take the seed that follows from the style's policy, or that of the first character."""
    if state.request.seed is not None:
        state.note("seed", state.request.seed, state.source_of("seed"))
        return
    policy = state.style.seed_policy
    seed, source = None, state.style_source
    if policy is SeedPolicy.SHOT and state.request.shot and state.project:
        seed = _seed_of_shot(state.project.slug, state.request.shot)
    elif policy is SeedPolicy.RANDOM:
        seed = random_seed
    elif policy is None and state.request.shot is None:  # takes of a shot are to differ
        seed, source = _seed_of_cast(state)
    if seed is not None:
        state.changes["seed"] = seed
        state.note("seed", seed, source)


def _seed_of_cast(state: CompositionState) -> tuple[int | None, str]:
    having = [each for each in state.cast.values() if each.seed is not None]
    if not having:
        return None, ""
    first = having[0]
    state.conflicts += [
        f"seed: {first.seed} of {first.source} counts, not {each.seed} of {each.source}."
        for each in having[1:]
        if each.seed != first.seed
    ]
    return first.seed, first.source


def _seed_of_shot(project: str, shot: str) -> int:
    """The seed that all takes of the shot have."""
    digest = blake2b(f"{project}\0{code_key(shot)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
