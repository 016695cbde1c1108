"""What ComfyUI sends, as values.

Fields that we do not use are dropped; none is required that another version might leave out.
"""

import math
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Self

from pydantic import AliasPath, BaseModel, ConfigDict, Field, JsonValue

from anime.core.graphs import Graph

MEDIA_KEYS = frozenset({"images", "gifs", "videos", "video", "audio", "3d"})
MOVING_KEYS = frozenset({"gifs", "videos", "video"})
# What reading JSON of any shape raises; pydantic's errors are ValueErrors.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class ComfyUIModel(BaseModel):
    """Base of everything that the server sends."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Submission(ComfyUIModel):
    """An accepted prompt. `problems`: outputs that were left out, one readable line each."""

    prompt_id: str
    number: float
    problems: tuple[str, ...] = ()


class QueuedPrompt(ComfyUIModel):
    """One prompt in the queue; lower numbers run first."""

    number: float
    prompt_id: str

    @property
    def rank(self) -> tuple[float, str]:
        """The key by which the queue is sorted. A number can be NaN, which sorts last."""
        return (math.inf if math.isnan(self.number) else self.number, self.prompt_id)


class QueueSnapshot(ComfyUIModel):
    """The queue, in the order in which it will run."""

    running: tuple[QueuedPrompt, ...] = ()
    pending: tuple[QueuedPrompt, ...] = ()

    def position_of(self, prompt_id: str) -> int | None:
        """How many pending prompts run before this one; None if it is not pending."""
        ids = [prompt.prompt_id for prompt in self.pending]
        return ids.index(prompt_id) if prompt_id in ids else None

    def is_running(self, prompt_id: str) -> bool:
        """Whether the server works on it now."""
        return any(prompt.prompt_id == prompt_id for prompt in self.running)


class OutputFile(ComfyUIModel):
    """One file that a node wrote, named as /view wants it.

    `key` is the word under which the node listed it, such as images, gifs, audio or 3d.
    `type` is output, temp (previews, emptied when the server starts) or input.
    """

    filename: str
    subfolder: str = ""
    type: str = "output"
    node_id: str = ""
    key: str = "images"
    animated: bool = False

    @property
    def path(self) -> PurePosixPath:
        """Its place in the server's output folder, which Windows says with backslashes."""
        return PurePosixPath(self.subfolder.replace("\\", "/")) / self.filename

    @property
    def is_media(self) -> bool:
        """Whether its key is one by which nodes list what they have made."""
        return self.key in MEDIA_KEYS


class ExecutionFailure(ComfyUIModel):
    """What a node raised; `executed` are the nodes that had ended before it."""

    node_id: str = ""
    node_type: str = ""
    exception_type: str = ""
    message: str = Field(default="", alias="exception_message")
    executed: tuple[str, ...] = ()


class HistoryEntry(ComfyUIModel):
    """How a prompt ended.

    `failure` is set when a node raised, `is_interrupted` when somebody stopped it; a failed
    prompt still lists what it had saved. A file of a node in `cached_nodes` was written by
    an earlier prompt and may be gone. `unkept` names what nodes list and nobody keeps. Times are
    milliseconds since the epoch.
    """

    prompt_id: str
    number: float = 0
    graph: Graph = Field(default_factory=dict)
    outputs: tuple[OutputFile, ...] = ()
    unkept: tuple[str, ...] = ()
    succeeded: bool
    is_interrupted: bool = False
    failure: ExecutionFailure | None = None
    cached_nodes: tuple[str, ...] = ()
    started_ms: int | None = None
    ended_ms: int | None = None

    @property
    def saved(self) -> tuple[OutputFile, ...]:
        """The outputs meant to be kept, in the order of their nodes."""
        return tuple(output for output in self.outputs if output.type == "output")

    @property
    def knows_its_nodes(self) -> bool:
        """Whether all outputs are of nodes of its graph, and none of those made while it ran."""
        return all(output.node_id in self.graph for output in self.outputs)


class Device(ComfyUIModel):
    """One device that ComfyUI computes on; sizes in bytes, with --cpu those of main memory."""

    name: str = ""
    type: str = ""
    index: int | None = None
    vram_total: int = 0
    vram_free: int = 0
    torch_vram_total: int = 0
    torch_vram_free: int = 0

    @property
    def described(self) -> str:
        """Its name and memory."""
        return f"{self.name} ({self.vram_total // 2**20} MB)"


class PackageVersion(ComfyUIModel):
    """A Python package of ComfyUI's own; None if it is not installed."""

    name: str
    installed: str | None = None


class SystemStats(ComfyUIModel):
    """The server and its devices; sizes in bytes."""

    comfyui_version: str = Field(
        default="", validation_alias=AliasPath("system", "comfyui_version")
    )
    packages: tuple["PackageVersion", ...] | None = Field(
        default=None, validation_alias=AliasPath("system", "comfy_package_versions")
    )
    pytorch_version: str = Field(
        default="", validation_alias=AliasPath("system", "pytorch_version")
    )
    os: str = Field(default="", validation_alias=AliasPath("system", "os"))
    ram_total: int = Field(default=0, validation_alias=AliasPath("system", "ram_total"))
    ram_free: int = Field(default=0, validation_alias=AliasPath("system", "ram_free"))
    argv: tuple[str, ...] = Field(default=(), validation_alias=AliasPath("system", "argv"))
    devices: tuple[Device, ...] = ()


class InputInfo(ComfyUIModel):
    """What an input takes. `choices` is empty unless `kind` is COMBO.

    `is_checked`: whether the server compares a value with choices and limits before it runs.
    """

    kind: str
    choices: tuple[JsonValue, ...] = ()
    default: JsonValue = None
    min: float | int | None = None
    max: float | int | None = None
    multiselect: bool = False
    is_checked: bool = True
    options: tuple["OptionInfo", ...] = ()
    items: "AutogrowInfo | None" = None


class InputGroupInfo(ComfyUIModel):
    """Inputs by name."""

    required: dict[str, InputInfo] = Field(default_factory=dict)
    optional: dict[str, InputInfo] = Field(default_factory=dict)


class OptionInfo(InputGroupInfo):
    """A choice of a dynamic combo, with the inputs that a node has while it is chosen."""

    key: JsonValue


class AutogrowInfo(ComfyUIModel):
    """Inputs of one kind, of which a node has as many as it needs; the first `min` always."""

    names: tuple[str, ...]
    min: int
    item: InputInfo


class NodeInfo(InputGroupInfo):
    """A node class as the server knows it."""

    name: str
    display_name: str = ""
    is_output: bool = False

    @property
    def inputs(self) -> dict[str, InputInfo]:
        """Required and optional inputs together."""
        return self.required | self.optional

    def with_choices(self, more: Collection[str]) -> Self:
        """The same, with more choices of each input that has choices: files that are to come."""

        def extended(inputs: dict[str, InputInfo]) -> dict[str, InputInfo]:
            return {
                name: each.model_copy(update={"choices": (*each.choices, *more)})
                if each.choices
                else each
                for name, each in inputs.items()
            }

        if not more:
            return self
        parts = {"required": extended(self.required), "optional": extended(self.optional)}
        return self.model_copy(update=parts)


class Event(ComfyUIModel):
    """A frame of the WebSocket. `prompt_id` is None where the server names no prompt."""

    prompt_id: str | None = None

    @property
    def ends_prompt(self) -> bool:
        """Whether the history says how the prompt ended, or will in a moment."""
        return False


class StatusEvent(Event):
    """The number of running and pending prompts; sent to every client."""

    queue_remaining: int | None = Field(
        default=None, validation_alias=AliasPath("status", "exec_info", "queue_remaining")
    )
    session_id: str | None = Field(default=None, alias="sid")


class ExecutionStarted(Event):
    """The prompt left the queue."""


class NodesCached(Event):
    """These nodes need no work; always sent, also when there are none."""

    nodes: tuple[str, ...] = ()


class NodeProgressed(Event):
    """A step of one node, such as a sampler's."""

    node: str | None = None
    value: float
    max: float


class NodeProgress(ComfyUIModel):
    """How far a node is; `state` is pending, running, finished or error.

    `display_node_id` is the node of the graph that it is shown as: itself, if it stands there.
    """

    value: float = 0
    max: float = 1
    state: str = ""
    display_node_id: str | None = None


class ProgressStates(Event):
    """The progress of every node that has started. Each event repeats all before it."""

    nodes: dict[str, NodeProgress] = Field(default_factory=dict)


class NodeExecuting(Event):
    """The node that runs now. No node: the prompt ended, well or badly.

    Sent without a prompt to a socket that connects while its client's prompt runs.
    """

    node: str | None = None

    @property
    def ends_prompt(self) -> bool:
        """Whether no node runs any more: then the history is complete."""
        return self.node is None


class NodeExecuted(Event):
    """A node with outputs ended; these are its files."""

    node: str
    outputs: tuple[OutputFile, ...] = ()


class ExecutionSucceeded(Event):
    """Every node ended. The history may need a moment longer."""

    @property
    def ends_prompt(self) -> bool:
        """Always."""
        return True


class ExecutionFailed(Event, ExecutionFailure):
    """A node raised, or what it works on was blocked by another node, which gave a reason."""

    @property
    def ends_prompt(self) -> bool:
        """Whether it raised; past a node that is blocked the prompt goes on."""
        return self.exception_type != "ExecutionBlocked"


class ExecutionInterrupted(Event):
    """Somebody stopped the prompt, at this node."""

    node_id: str = ""
    node_type: str = ""

    @property
    def ends_prompt(self) -> bool:
        """Always."""
        return True


class PreviewFrame(Event):
    """A picture of the work in progress."""

    image: bytes
    media_type: str
    node: str | None = None


class Unrecognised(Event):
    """A frame of a kind that we do not use, or that cannot be read."""

    kind: str = ""
