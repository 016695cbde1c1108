"""Where a text is set, behind nodes that join texts, replace parts, or write them anew."""

import re
from dataclasses import dataclass, replace

from anime.core.graphs import title_of
from anime.core.proposals.findings import Place
from anime.core.proposals.graph_view import GraphView, last_part

PROMPT_NAMES = (
    *("prompt", "text_prompt", "prompt_text", "positive_prompt", "tags", "caption", "text"),
)
_MOST_STEPS = 40
_THE_WORDS = re.compile(r"\b(?:user|prompt)\b", re.IGNORECASE)
_NOT_THE_WORDS = re.compile(r"system|trigger|template|width|height|length|delimiter", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextSource:
    """Where a text is set.

    `is_rewritten` if a language model writes anew what it says, and no title calls it the prompt.
    """

    place: Place
    is_rewritten: bool


def text_sources(view: GraphView, place: Place) -> list[TextSource]:
    """The texts that an input is made of, without system prompts and trigger words.

    Those are left out only where something else is left.
    """
    found = _sources(view, place, set())
    words = [each for each in found if not _NOT_THE_WORDS.search(_title(view, each.place))]
    return [
        replace(each, is_rewritten=False) if _THE_WORDS.search(_title(view, each.place)) else each
        for each in words
    ] or found


def is_text(view: GraphView, node_id: str, name: str) -> bool:
    """Whether an input takes a text; where the class does not know it, by its name."""
    kind = view.kind_of(Place(node_id, name))
    return kind == "STRING" or (kind == "" and last_part(name) in PROMPT_NAMES)


def _sources(view: GraphView, place: Place, seen: set[str]) -> list[TextSource]:
    at = view.followed(place)
    maker = view.origin(at) if at else None
    if at is None or maker is None:
        return (
            [TextSource(at, is_rewritten=False)] if at and isinstance(view.value(at), str) else []
        )
    if maker in seen or len(seen) > _MOST_STEPS:
        return []
    seen.add(maker)
    is_rewritten = _writes_anew(view, maker)
    return [
        TextSource(each.place, is_rewritten or each.is_rewritten)
        for name in _parts(view, maker)
        for each in _sources(view, Place(maker, name), seen)
    ]


def _parts(view: GraphView, node_id: str) -> list[str]:
    """The inputs that such a node makes its text of; linked ones win over its own words."""
    texts = [name for name in view.values(node_id) if is_text(view, node_id, name)]
    prompts = [name for name in texts if last_part(name) in PROMPT_NAMES]
    if prompts:
        return prompts
    linked = [name for name in texts if view.origin(Place(node_id, name)) and "system" not in name]
    return linked or [name for name in texts if name.startswith(("string", "text"))]


def _writes_anew(view: GraphView, node_id: str) -> bool:
    """Whether a language model stands here: with a text encoder, or at a partner's."""
    names = {last_part(name) for name in view.values(node_id)}
    return bool(names & {"clip", "seed", "model"})


def _title(view: GraphView, place: Place) -> str:
    return title_of(view.graph[place.node_id])
