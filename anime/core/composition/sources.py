"""What requests are composed from: styles of projects, and characters as they are drawn."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from anime.core.catalogue import CatalogueLora
from anime.core.paths import slug_of, slugs_of
from anime.core.references import Reference
from anime.core.shots import ShotFields
from anime.core.styles import StyleVersion
from anime.schemas import GenerationRequest

_MENTION = re.compile(r"(?<![\w@])@(?:\{([^{}@]{1,120})\}|(\w[\w-]{0,119}))")


@dataclass(frozen=True, slots=True)
class DrawnCharacter:
    """A character as a version of it says that it is drawn."""

    name: str
    slug: str
    version: int
    is_draft: bool
    prompt: str
    negative_prompt: str = ""
    loras: tuple[CatalogueLora, ...] = ()
    seed: int | None = None
    references: tuple[Reference, ...] = ()

    @property
    def source(self) -> str:
        """How a fragment names it."""
        return f"character {self.name}, version {self.version}"


@dataclass(frozen=True, slots=True)
class SourceProject:
    """A project with its style, if it has one, its characters by slug, and shots by `code_key`."""

    name: str
    slug: str
    style: StyleVersion | None = None
    characters: Mapping[str, DrawnCharacter] = field(default_factory=dict)
    shots: Mapping[str, ShotFields] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """How a fragment names its style."""
        return f"style {self.style.version if self.style else 0} of {self.name}"


@dataclass(frozen=True, slots=True)
class Sources:
    """What requests are composed from: projects by slug, and characters of no project by slug."""

    projects: Mapping[str, SourceProject] = field(default_factory=dict)
    characters: Mapping[str, DrawnCharacter] = field(default_factory=dict)

    def project_of(self, request: GenerationRequest) -> SourceProject | None:
        """The project of the request, by its slug or by the name that it has now."""
        if request.project is None or not self.projects:
            return None
        slugs = slugs_of(request.project)
        by_slug = (self.projects[slug] for slug in slugs if slug in self.projects)
        by_name = (each for each in self.projects.values() if slug_of(each.name) in slugs)
        return next(chain(by_slug, by_name), None)

    def workflow_of(self, request: GenerationRequest) -> str:
        """The workflow that renders the request."""
        project = self.project_of(request)
        if project is None or project.style is None:
            return request.workflow_name
        return project.style.style.workflow_of(request)

    def character(self, project: SourceProject | None, name: str) -> DrawnCharacter | None:
        """The character of that name: the project's own, or else one of no project."""
        slugs = slugs_of(name)
        for characters in (project.characters if project else {}, self.characters):
            for slug in slugs:
                if slug in characters:
                    return characters[slug]
        return None


NO_SOURCES: Final = Sources()


def mentions(text: str) -> Iterator[str]:
    """The names that a text mentions, as it writes them.

    >>> list(mentions("@mei waves to @{Ken Mori}, not to a@b.c"))
    ['mei', 'Ken Mori']
    """
    if "@" in text:
        for found in _MENTION.finditer(text):
            yield found[1] or found[2]


def names_in(request: GenerationRequest) -> tuple[str, ...]:
    """The characters that a request names, in its fields and then in its prompt."""
    return (*request.named_characters, *mentions(request.prompt))


def without_mentions(text: str, cast: Mapping[str, DrawnCharacter]) -> str:
    """The text with the names of those characters, by slug, that it mentions."""
    if not cast or "@" not in text:
        return text

    def name_for(found: re.Match[str]) -> str:
        slugs = slugs_of(found[1] or found[2])
        known = (cast[slug].name for slug in slugs if slug in cast)
        return next(known, found[0])

    return _MENTION.sub(name_for, text)
