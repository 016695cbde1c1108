"""Prompts and runs as people read them: in names, tags, captions and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from anime.schemas import GenerationRequest

_ELLIPSIS = "…"
_SHOWN_UNKEPT = 5


def shorten(prompt: str, length: int = 48) -> str:
    """The prompt on one line, cut between words to `length` characters at most.

    >>> shorten("a girl on a rooftop at dusk", 16)
    'a girl on a…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in prompt).split())
    if len(line) <= length:
        return line
    room = max(0, length - len(_ELLIPSIS))
    cut = line[:room]
    if line[room] != " " and " " in cut:
        cut = cut[: cut.rindex(" ")]
    return f"{cut.rstrip(' ,.;:-')}{_ELLIPSIS}"[: max(length, 0)]


def said_of_unkept(unkept: Sequence[str]) -> str:
    """The end of a sentence on what was made; empty if all was kept.

    >>> said_of_unkept(["text of node 3"])
    '; not kept: text of node 3'
    """
    if not unkept:
        return ""
    more = len(unkept) - _SHOWN_UNKEPT
    shown = ", ".join(unkept[:_SHOWN_UNKEPT])
    return f"; not kept: {shown}{f' and {more} more' if more > 0 else ''}"


@dataclass(frozen=True, slots=True)
class RunLabel:
    """A name to read, and tags to filter by."""

    name: str
    tags: frozenset[str]


def label_of(request: GenerationRequest) -> RunLabel:
    """Named after project, character and prompt; tagged with project, character, shot and kind.

    >>> label_of(GenerationRequest(prompt="a girl on a rooftop", project="neon-city")).name
    'neon-city / a girl on a rooftop'
    """
    named = [("project", request.project), ("shot", request.shot)]
    named += [("character", name) for name in request.named_characters]
    tags = {f"{key}:{value}" for key, value in named if value}
    read = (request.project or "", request.first_character or "", request.prompt)
    return RunLabel(
        name=" / ".join(filter(None, map(shorten, read))),
        tags=frozenset(tags | {str(request.type)}),
    )
