"""What people know the run of a generation by in the Prefect UI: its name and its tags."""

from dataclasses import dataclass

from anime.core.prompts import shorten
from anime.schemas import GenerationRequest


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
    named = {"project": request.project, "character": request.character, "shot": request.shot}
    tags = {f"{key}:{value}" for key, value in named.items() if value}
    read = (request.project or "", request.character or "", request.prompt)
    return RunLabel(
        name=" / ".join(filter(None, map(shorten, read))),
        tags=frozenset(tags | {str(request.type)}),
    )
