"""How a node is called, and what it gives back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.saving import Metadata
from anime.rehearsal.values import Frame

Value = TypeVar("Value")

# Called after each sampler step with the step, their number and the picture that is coming.
OnStep: TypeAlias = Callable[[int, int, Frame], Awaitable[None]]


@dataclass(frozen=True)
class NodeCall:
    """A node about to run: the values of its inputs and what it may use."""

    inputs: JsonObject
    config: RehearsalConfig
    gpu: Gpu
    metadata: Metadata
    on_step: OnStep

    def take(self, name: str, kind: type[Value]) -> Value:
        """The value of an input.

        Raises:
            TypeError: it is of another type; validation lets constants into sockets.
        """
        value = self.inputs[name]
        if not isinstance(value, kind):
            raise TypeError(f"input {name} takes a {kind.__name__}, not {value!r}")
        return value


@dataclass(frozen=True)
class NodeResult:
    """What a node gives: a value for each output slot, and what it shows in history."""

    values: tuple[object, ...] = ()
    ui: JsonObject | None = None


Behaviour: TypeAlias = Callable[[NodeCall], Awaitable[NodeResult]]
