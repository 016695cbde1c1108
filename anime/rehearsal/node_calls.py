"""The arguments and the result of a node."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_types import JsonObject, NodeType
from anime.rehearsal.saving import Metadata
from anime.rehearsal.values import Frame, Value

# Called after each sampler step with its number, the number of steps, and the coming picture.
OnStep: TypeAlias = Callable[[int, int, Frame], Awaitable[None]]


@dataclass(frozen=True)
class NodeCall:
    """What a node gets when it runs: the values of its inputs, and what it may use."""

    node_type: NodeType
    inputs: JsonObject
    config: RehearsalConfig
    gpu: Gpu
    metadata: Metadata
    on_step: OnStep

    def input(self, name: str, kind: type[Value]) -> Value:
        """The value of the input.

        Raises:
            TypeError: it is of another type: validation accepts constants for links.
        """
        value = self.inputs[name]
        if not isinstance(value, kind):
            raise TypeError(f"input {name} takes a {kind.__name__}, not {value!r}")
        return value


@dataclass(frozen=True)
class NodeResult:
    """What a node returns: a value for each output, and what history shows of it."""

    values: tuple[object, ...] = ()
    ui: JsonObject | None = None


Behaviour: TypeAlias = Callable[[NodeCall], Awaitable[NodeResult]]
