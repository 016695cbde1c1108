"""What is told of workflows: in a list, in full, and of one that was imported."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from anime.core.bindings import WorkflowOutput
from anime.schemas import WorkflowName

MAX_CHOICES = 64


class WorkflowSummary(BaseModel):
    """A workflow in the list. `fault` says why it cannot be used; empty if it can."""

    name: str
    title: str = ""
    description: str = ""
    output: WorkflowOutput | None = None
    is_own: bool = Field(description="Whether it is the studio's own; others are shipped.")
    fault: str = ""


class WorkflowList(BaseModel):
    """Every workflow by name: there are dozens, so they need no pages."""

    items: list[WorkflowSummary]


class WorkflowRecord(BaseModel):
    """A workflow in full."""

    name: str
    title: str
    description: str
    output: WorkflowOutput
    is_own: bool = Field(description="Whether it is the studio's own; others are shipped.")
    was_edited: bool = Field(
        description="Whether the graph is another than the one that its bindings are for."
    )
    inputs: dict[str, JsonValue] = Field(
        description="JSON schema of what a request may say for it; a form can be made of it."
    )
    places: dict[str, list[str]] = Field(description="Node and input for each input's value.")
    takes_loras: bool
    architecture: str | None = Field(description="What its LoRAs must be for; null: unchecked.")
    vram_mb: int | None = Field(description="Free VRAM that it needs, in MB; null: the setting.")
    node_classes: dict[str, int] = Field(description="How many nodes it has of each class.")


class OfferedInput(BaseModel):
    """What servers take for one input: of names those that one of them has."""

    choices: list[str] = Field(description="Names; empty for any other input.")
    minimum: float | None
    maximum: float | None


class WorkflowOffers(BaseModel):
    """What the servers that may render a workflow offer for its inputs."""

    servers: list[str] = Field(description="Names of those that have answered.")
    inputs: dict[str, OfferedInput] = Field(description="By input; none that is unchecked.")
    loras: list[str]
    unchecked: list[str] = Field(description="Why something is not offered, a sentence each.")


class NewWorkflow(BaseModel):
    """A workflow to import: what ComfyUI's editor saves or exports, or a body of POST /prompt."""

    model_config = ConfigDict(extra="forbid")

    name: WorkflowName = Field(description="What requests call it.")
    workflow: dict[str, JsonValue] = Field(description="The workflow or the graph, as JSON.")
    title: str | None = Field(default=None, min_length=1, max_length=120)
    choices: dict[str, str] = Field(
        default_factory=dict,
        max_length=MAX_CHOICES,
        description="By input what is meant, as `12:3.text`; empty leaves it out.",
    )
    replace: bool = Field(default=False, description="Whether it may take the place of another.")


class NamedModel(BaseModel):
    """A model file that the server lacks; where to get it, if the workflow says so."""

    name: str
    url: str | None
    directory: str | None


class ImportedInput(BaseModel):
    """An input that was bound, and what speaks for it."""

    name: str
    places: list[str]
    signal: str


class ImportedWorkflow(BaseModel):
    """What became of an import."""

    name: str
    output: WorkflowOutput
    inputs: list[ImportedInput]
    left_out: dict[str, str] = Field(description="Inputs that are in doubt, and why.")
    lost: list[str] = Field(description="Inputs that the workflow before had, and this one not.")
    node_classes: dict[str, int] = Field(description="How many nodes it has of each class.")
    missing_models: list[NamedModel] = Field(description="Files that the server does not have.")
    warnings: list[str] = Field(description="Where the conversion may not be what is meant.")
    problems: list[str] = Field(description="What the server would refuse as it is.")

    def remarks(self) -> Iterator[str]:
        """A sentence for each thing that a person should know: in doubt, lost, missing, refused."""
        for name, reason in self.left_out.items():
            yield f"{name} is left out: {reason}"
        for name in self.lost:
            yield f"{name} is lost: the new graph has no place for it."
        yield from self.warnings
        for model in self.missing_models:
            source = f"get it from {model.url}" if model.url else "the file does not say from where"
            yield f"The server has no {model.name}; {source}."
        for problem in self.problems:
            yield f"The server would refuse {problem}"
