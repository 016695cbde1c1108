"""One composition in the making: what it comes from, and what came of it so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anime.core.composition.record import REQUEST, Fragment
from anime.core.composition.sources import DrawnCharacter, SourceProject
from anime.core.shots import code_key
from anime.core.styles import ProjectStyle
from anime.core.workflow_build import Template
from anime.schemas import GenerationRequest

STYLE, CHARACTER, ASKED = range(3)  # ranks: the higher one counts where two contradict each other


@dataclass(slots=True)
class CompositionState:
    """What a request is composed from, and what came of it so far.

    `cast`: the characters by slug; `architecture_of`: that of a model, if known; `changes`: fields
    of the request that become others; `shown`: slugs of the characters that the graph gets
    something of; `pictures`: how the prompt calls those of a character, by slug;
    `reference_paths`: with the source of each.
    """

    request: GenerationRequest
    template: Template
    project: SourceProject | None
    cast: Mapping[str, DrawnCharacter]
    architecture_of: Callable[[str], str | None]
    changes: dict[str, Any] = field(default_factory=dict)  # values of any field
    fragments: list[Fragment] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    reference_paths: dict[str, str] = field(default_factory=dict)

    @property
    def style(self) -> ProjectStyle:
        """The project's style; an empty one if it has none."""
        version = self.project.style if self.project else None
        return version.style if version else _NO_STYLE

    @property
    def style_source(self) -> str:
        """How a fragment names the style."""
        return self.project.source if self.project else ""

    def source_of(self, field: str) -> str:
        """How a fragment names where the request has a field from: its shot, if that says so."""
        code = self.request.shot
        shot = self.project.shots.get(code_key(code)) if self.project and code else None
        is_shots = shot is not None and getattr(shot, field) == getattr(self.request, field)
        return f"shot {code}" if is_shots else REQUEST

    @property
    def is_styles_workflow(self) -> bool:
        """Whether the style was made for this workflow, or for any."""
        return self.style.workflow in (None, self.template.name)

    def note(self, field: str, text: object, source: str) -> None:
        """Say where a value of a field is from."""
        self.fragments.append(Fragment.model_construct(field=field, text=str(text), source=source))

    def leave_out(self, name: str, value: object, why: str) -> None:
        """Say that something of the style is left out."""
        self.warnings.append(f"{name} {value} of {self.style_source} is left out: it {why}.")

    def set_input(self, name: str, value: Any) -> None:  # JSON
        """Give another input of the workflow a value."""
        inputs = self.changes.get("inputs", self.request.inputs)
        self.changes["inputs"] = {**inputs, name: value}


_NO_STYLE = ProjectStyle()
