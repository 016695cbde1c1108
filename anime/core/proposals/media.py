"""Pictures that a graph starts from, in their order, and the films and sounds beside them."""

import re
from collections.abc import Sequence, Set

from anime.core.bindings import InputKind
from anime.core.conversion.definitions import COMBO
from anime.core.graphs import title_of
from anime.core.proposals.findings import InputProposal, PictureProposal, Place
from anime.core.proposals.graph_view import GraphView, last_part

_NAMED_IN_PROMPT = frozenset({"TextEncodeQwenImageEditPlus"})  # it writes "Picture N:" itself
_MOST_STEPS = 20
_MOST_PICTURES = 32  # those after them stay as they are in the graph
_ROLES = re.compile(
    r"(start|first|end|last|front|back|left|right|face|style|mask|control|ref(?:erence)?)",
    re.IGNORECASE,
)
_SAME_ROLE = {"first": "start", "last": "end", "ref": "reference"}
_CLIPS = {"video_upload": "video", "audio_upload": "audio"}


def propose_pictures(view: GraphView, nodes: Sequence[str]) -> tuple[PictureProposal, ...]:
    """The places for pictures: in the order in which the nodes that take them name them."""
    found: list[PictureProposal] = []
    inside = frozenset(nodes)
    for node_id in nodes:
        name = _upload(view, node_id, ("image_upload",))
        if name and len(found) < _MOST_PICTURES:
            place = Place(node_id, name)
            consumer, taken_by = _taker(view, node_id, inside)
            found.append(
                PictureProposal(
                    place,
                    _role(view, node_id, consumer, taken_by),
                    view.value(place),
                    _prompt_name(view, consumer, taken_by),
                    _is_optional(view, node_id, inside),
                )
            )
    return tuple(found)


def propose_clips(view: GraphView, nodes: Sequence[str]) -> list[InputProposal]:
    """The films and sounds that the graph starts from."""
    found: list[InputProposal] = []
    for node_id in nodes:
        for setting, name in _CLIPS.items():
            at = _upload(view, node_id, (setting,))
            if at:
                number = sum(each.name.startswith(name) for each in found)
                found.append(
                    InputProposal(
                        f"{name}_{number + 1}" if number else name,
                        InputKind.CHOICE,
                        (Place(node_id, at),),
                        view.values(node_id)[at],
                        f"{view.class_of(node_id)}.{at}",
                        required=True,
                    )
                )
    return found


def _upload(view: GraphView, node_id: str, settings: tuple[str, ...]) -> str | None:
    """The input that a file is uploaded for."""
    for each in view.definition(node_id).inputs:
        if each.widget_kind == COMBO and any(each.settings.get(key) for key in settings):
            value = view.values(node_id).get(each.name)
            return each.name if isinstance(value, str) else None
    return None


def _taker(view: GraphView, node_id: str, inside: Set[str]) -> tuple[str | None, str]:
    """The node that takes the picture as what it is, behind those that only prepare it."""
    at, name = node_id, ""
    for _ in range(_MOST_STEPS):
        onward = [
            (consumer, taken_by)
            for consumer, taken_by, _ in view.consumers(at)
            if consumer in inside and "Size" not in view.class_of(consumer)
        ]
        if not onward:
            return None, name
        onward.sort(key=lambda each: not _tells_role(each[1]))
        at, name = onward[0]
        if _tells_role(name) or not set(view.definition(at).output_types) <= {"IMAGE", "MASK", "*"}:
            return at, name
        if last_part(name).rstrip("0123456789_") != last_part(name):
            return at, name
    return at, name


def _tells_role(name: str) -> bool:
    return bool(_ROLES.search(last_part(name)))


def _role(view: GraphView, node_id: str, consumer: str | None, taken_by: str) -> str:
    """What the picture is for; empty if neither node nor title says so."""
    if consumer and (at := view.values(consumer).get("frame_idx")) in (0, -1):
        return "start" if at == 0 else "end"
    for text in (last_part(taken_by), title_of(view.graph[node_id])):
        if found := _ROLES.search(text):
            word = found[1].lower()
            return _SAME_ROLE.get(word, word)
    return ""


def _prompt_name(view: GraphView, consumer: str | None, taken_by: str) -> str:
    """How the prompt calls the picture, where the encoder numbers them."""
    digits = re.search(r"(\d+)$", taken_by)
    if consumer and digits and view.class_of(consumer) in _NAMED_IN_PROMPT:
        return f"Picture {digits[1]}"
    return ""


def _is_optional(view: GraphView, node_id: str, inside: Set[str]) -> bool:
    """Whether every input that its loader feeds may be left out."""
    fed = [Place(each, name) for each, name, _ in view.consumers(node_id) if each in inside]
    found = [view.input_of(place) for place in fed]
    return bool(found) and all(each is not None and not each.is_required for each in found)
