"""LoRAs of style, characters and request, chained for the workflow's model."""

from collections.abc import Iterator
from dataclasses import dataclass

from anime.core.catalogue import CatalogueLora
from anime.core.composition.record import REQUEST
from anime.core.composition.state import ASKED, CHARACTER, STYLE, CompositionState
from anime.errors import InvalidRequest
from anime.schemas import MAX_LORAS, LoraChoice


@dataclass(frozen=True, slots=True)
class _OfferedLora:
    """A LoRA with its source; of those of one name, one of the highest rank counts."""

    lora: LoraChoice
    source: str
    rank: int


def take_loras(state: CompositionState) -> None:
    """Chain the LoRAs of style, characters and request; of those of one name, one counts."""
    named: dict[str, list[_OfferedLora]] = {}
    for offered in _offered_loras(state):
        named.setdefault(offered.lora.name, []).append(offered)
    loras = []
    for name, several in named.items():
        counts = max(several, key=lambda each: each.rank)
        state.conflicts += [
            f"LoRA {name}: strength {counts.lora.strength:g} of {counts.source} counts, not"
            f" {each.lora.strength:g} of {each.source}."
            for each in several
            if each.lora.strength != counts.lora.strength
        ]
        state.note("loras", f"{name} × {counts.lora.strength:g}", counts.source)
        loras.append(LoraChoice(name=name, strength=counts.lora.strength))
    if len(loras) > MAX_LORAS:
        raise InvalidRequest(
            f"Style, characters and request have {len(loras)} LoRAs together.",
            f"{MAX_LORAS} are the most; leave some out.",
        )
    if loras and loras != state.request.loras:
        state.changes["loras"] = loras


def _offered_loras(state: CompositionState) -> Iterator[_OfferedLora]:
    """The LoRAs that the workflow takes: of the style, of characters, and of the request."""
    if state.style.loras and not state.is_styles_workflow:
        names = ", ".join(lora.name for lora in state.style.loras)
        state.leave_out("LoRA", names, f"is for another workflow than {state.template.name}")
    else:
        for lora in state.style.loras:
            if _takes(state, lora, state.style_source):
                yield _OfferedLora(lora, state.style_source, STYLE)
    for each in state.cast.values():
        for lora in each.loras:
            if _takes(state, lora, each.source):
                state.shown.add(each.slug)
                yield _OfferedLora(lora, each.source, CHARACTER)
    yield from (_OfferedLora(lora, REQUEST, ASKED) for lora in state.request.loras)


def _takes(state: CompositionState, lora: CatalogueLora, source: str) -> bool:
    """Whether the workflow takes that LoRA.

    Raises:
        InvalidRequest: the LoRA is for another architecture.
    """
    workflow, binding = state.template.name, state.template.binding
    if not binding.loras:
        state.warnings.append(
            f"LoRA {lora.name} of {source} is left out: workflow {workflow} takes none."
        )
        return False
    model, ours = _rendering_model(state)
    theirs = lora.architecture
    if ours is None or theirs is None:
        unknown = model if ours is None else "the LoRA"
        state.warnings.append(
            f"Whether LoRA {lora.name} of {source} fits is unchecked: {unknown} names no"
            " architecture."
        )
    elif _letters(ours) != _letters(theirs):
        raise InvalidRequest(
            f"LoRA {lora.name} of {source} is for {theirs}, {model} for {ours}.",
            f"Take a LoRA for {ours}, or a workflow for {theirs}.",
        )
    return True


def _rendering_model(state: CompositionState) -> tuple[str, str | None]:
    """How the model is named that renders, and its architecture, if that is known.

    A model that no workflow is for is taken to be of the workflow's architecture.
    """
    model = state.changes.get("model", state.request.model)
    if model is not None and (known := state.architecture_of(model)) is not None:
        return f"model {model}", known
    return f"workflow {state.template.name}", state.template.binding.architecture


def _letters(architecture: str) -> str:
    """The architecture's name without what people write differently.

    >>> _letters("SD-XL 1.0") == _letters("sdxl10")
    True
    """
    return "".join(filter(str.isalnum, architecture.casefold()))
