"""The prompt and the negative prompt: texts that reach a sampler, or a partner's node."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from anime.core.proposals.findings import Place
from anime.core.proposals.graph_view import GraphView, last_part
from anime.core.proposals.text_sources import PROMPT_NAMES, is_text, text_sources

_CONDITIONING = "CONDITIONING"
_NEGATIVES = ("negative_prompt", "negative_text", "text_negative", "negative")
_ONE_PROMPT = ("llama", "t5xxl", "mt5xl", "bert", "clip_g", "text_g", "clip_l", "text_l")
"""What encoders of several models call the same prompt: those that read whole sentences first."""
_ENCODER_TEXTS = (*PROMPT_NAMES, *_ONE_PROMPT)
_EMPTY_ENDS = frozenset({"ConditioningZeroOut"})
# Partners' nodes with a text for each shot or voice.
_NUMBERED = re.compile(r"(?:text|prompt|[a-z]+)_?\d+(?:_prompt|_text)?$")


@dataclass(frozen=True, slots=True)
class TextFinding:
    """Where one text is set. `is_rewritten` if a language model writes anew what it says."""

    places: tuple[Place, ...]
    signal: str
    is_rewritten: bool = False


@dataclass(frozen=True, slots=True)
class _Conditioning:
    """An output that gives conditioning, for one side of a sampler."""

    node_id: str
    slot: int
    side: str


def prompts_of(view: GraphView, nodes: Sequence[str]) -> list[TextFinding]:
    """The texts that say what is wanted, the nearest to the output first."""
    found = [*_conditioning_texts(view, nodes, "positive"), *_partner_texts(view, nodes)]
    return _distinct(view, found or _numbered_texts(view, nodes))


def negatives_of(view: GraphView, nodes: Sequence[str]) -> list[TextFinding]:
    """The texts that say what is not wanted, the nearest to the output first."""
    found = _conditioning_texts(view, nodes, "negative")
    for node_id in reversed(nodes):
        if not _gives_conditioning(view, node_id):
            texts = _text_inputs(view, node_id, _NEGATIVES.__contains__)
            found += _texts_at(view, node_id, texts, "")
    return _distinct(view, found)


def _conditioning_texts(view: GraphView, nodes: Sequence[str], side: str) -> list[TextFinding]:
    """The texts whose conditioning reaches a sampler or guider on that side."""
    found: list[TextFinding] = []
    for node_id in reversed(nodes):
        if _gives_conditioning(view, node_id) or not view.samples(node_id):
            continue
        names = [name for name, _, _ in view.links(node_id)]
        for name, origin, slot in view.links(node_id):
            is_conditioning = view.output_type(origin, slot) == _CONDITIONING
            if is_conditioning and _side_of(name, names) == side:
                signal = f"{view.class_of(node_id)}.{name}"
                found += _encoded(view, _Conditioning(origin, slot, side), signal)
    return found


def _encoded(view: GraphView, end: _Conditioning, signal: str) -> list[TextFinding]:
    """The texts behind one conditioning, through whatever lies between."""
    found: list[TextFinding] = []
    seen: set[_Conditioning] = set()
    waiting = [end]
    while waiting:
        at = waiting.pop()
        if at in seen or view.class_of(at.node_id) in _EMPTY_ENDS:
            continue
        seen.add(at)
        before = [
            (name, origin, slot)
            for name, origin, slot in view.links(at.node_id)
            if view.output_type(origin, slot) == _CONDITIONING
        ]
        names = [name for name, _, _ in before]
        side = _side_within(view, at, names)
        if not before:
            found += _texts_at(view, at.node_id, _names_in_encoder(view, at.node_id, side), signal)
        waiting += [
            _Conditioning(origin, slot, side)
            for name, origin, slot in reversed(before)
            if not name.startswith(("positive", "negative")) or _side_of(name, names) == side
        ]
    return found


def _side_within(view: GraphView, at: _Conditioning, names: Sequence[str]) -> str:
    """Which side of a node its output stands for: it may have two, the positive one first."""
    outputs = _conditioning_slots(view, at.node_id)
    if len(outputs) > 1 and at.slot in outputs:
        return "positive" if outputs.index(at.slot) == 0 else "negative"
    return "positive" if at.side == "negative" and names == ["positive"] else at.side


def _names_in_encoder(view: GraphView, node_id: str, side: str) -> list[str]:
    """The inputs of an encoder that are the text of that side."""
    names = [name for name in view.values(node_id) if is_text(view, node_id, name)]
    if side == "negative" and len(_conditioning_slots(view, node_id)) > 1:
        return [name for name in names if last_part(name) in _NEGATIVES]
    return [name for name in names if last_part(name) in _ENCODER_TEXTS]


def _partner_texts(view: GraphView, nodes: Sequence[str]) -> list[TextFinding]:
    """The prompts of nodes that make something of a text by themselves."""
    found: list[TextFinding] = []
    for node_id in _makers(view, nodes):
        names = _text_inputs(view, node_id, PROMPT_NAMES.__contains__)
        best = sorted(names, key=lambda name: PROMPT_NAMES.index(last_part(name)))[:1]
        found += _texts_at(view, node_id, best, f"{view.class_of(node_id)}.")
    return found


def _numbered_texts(view: GraphView, nodes: Sequence[str]) -> list[TextFinding]:
    """The texts of partners' nodes that take one for each shot or voice."""
    found: list[TextFinding] = []
    for node_id in _makers(view, nodes):
        for name in _text_inputs(view, node_id, _NUMBERED.match):
            found += _texts_at(view, node_id, [name], f"{view.class_of(node_id)}.")
    return found


def _text_inputs(view: GraphView, node_id: str, is_wanted: Callable[[str], object]) -> list[str]:
    """The inputs that are texts and whose own name, without its group, is wanted."""
    return [
        name
        for name in view.values(node_id)
        if is_wanted(last_part(name)) and is_text(view, node_id, name)
    ]


def _makers(view: GraphView, nodes: Sequence[str]) -> Iterator[str]:
    """The nodes that make more than texts and conditioning, the nearest to the output first."""
    for node_id in reversed(nodes):
        outputs = set(view.definition(node_id).output_types)
        if outputs - {"STRING"} and not _gives_conditioning(view, node_id):
            yield node_id


def _texts_at(
    view: GraphView, node_id: str, names: Sequence[str], signal: str
) -> list[TextFinding]:
    """Where the texts of these inputs are set; inputs that are one prompt give it once."""
    is_one = len(names) > 1 and set(map(last_part, names)) <= set(_ONE_PROMPT)
    if is_one:
        names = sorted(names, key=lambda name: _ONE_PROMPT.index(last_part(name)))
    found = [
        TextFinding((each.place,), _told(signal, name), each.is_rewritten)
        for name in names
        for each in text_sources(view, Place(node_id, name))
    ]
    values = {str(view.value(each.places[0])) for each in found}
    if (is_one and found) or (len(names) > 1 and len(values) == 1):
        places = tuple(dict.fromkeys(each.places[0] for each in found))
        return [TextFinding(places, found[0].signal, any(each.is_rewritten for each in found))]
    return found


def _told(signal: str, name: str) -> str:
    """The signal; the class of a node with a point, or nothing, stands before an input's name."""
    return signal if signal and not signal.endswith(".") else f"{signal}{name}"


def _gives_conditioning(view: GraphView, node_id: str) -> bool:
    return bool(_conditioning_slots(view, node_id))


def _conditioning_slots(view: GraphView, node_id: str) -> list[int]:
    count = len(view.definition(node_id).output_types)
    return [slot for slot in range(count) if view.output_type(node_id, slot) == _CONDITIONING]


def _side_of(name: str, names: Sequence[str]) -> str:
    """The side that an input of that name stands for, among all of the node."""
    if "cond1" in names:  # it guides by two: the first is what is wanted
        return {"cond1": "positive", "cond2": "negative"}.get(name, "")
    return "negative" if "neg" in name.lower() else "positive"


def _distinct(view: GraphView, findings: list[TextFinding]) -> list[TextFinding]:
    """Each text once, in the same order; what is set to the same words is one text."""
    found: dict[str, TextFinding] = {}
    for each in findings:
        words = str(view.value(each.places[0]))
        key = words if words.strip() else str(each.places)
        before = found.get(key, each)
        places = tuple(dict.fromkeys([*before.places, *each.places]))
        found[key] = replace(before, places=places)
    return list(found.values())
