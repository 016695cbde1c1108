"""What is proposed: which inputs of which nodes take a value, and what speaks for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from anime.core.bindings import InputKind


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One input of one node of a graph."""

    node_id: str
    input: str

    def __str__(self) -> str:
        return f"{self.node_id}.{self.input}"


@dataclass(frozen=True, slots=True)
class InputProposal:
    """One input of a workflow; all `places` get its value.

    `signal` is what speaks for it. Where it is not certain, `doubt` says why, and `others` are
    places that may be meant instead. `minimum` and `maximum` are the node class's own.
    """

    name: str
    kind: InputKind
    places: tuple[Place, ...]
    value: JsonValue
    signal: str
    doubt: str = ""
    others: tuple[Place, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class LengthProposal:
    """The length of a film: `frames = seconds × fps + offset`, with `step` frames more or less."""

    place: Place
    frames: int
    fps: float
    offset: int
    step: int
    signal: str
    doubt: str = ""

    @property
    def seconds(self) -> float:
        """The length that the graph has."""
        return round(max(self.frames - self.offset, 0) / self.fps, 3)


@dataclass(frozen=True, slots=True)
class PictureProposal:
    """A place for a picture, in its order; `role` is what the node that takes it calls it."""

    place: Place
    role: str
    value: JsonValue
    prompt_name: str = ""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class LoraProposal:
    """The loader behind which LoRAs go; without `clip_slot` they change the model alone."""

    node_id: str
    model_slot: int
    clip_slot: int | None
    signal: str
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class OutputProposal:
    """The node whose file is the take, and what kind of file it is."""

    node_id: str
    kind: str  # image, video, audio or 3d
    signal: str
    doubt: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposals:
    """All that is proposed for one graph."""

    output: OutputProposal | None
    inputs: tuple[InputProposal, ...] = ()
    length: LengthProposal | None = None
    pictures: tuple[PictureProposal, ...] = ()
    loras: tuple[LoraProposal, ...] = ()

    def named(self, name: str) -> InputProposal | None:
        """The proposed input of that name."""
        return next((each for each in self.inputs if each.name == name), None)

    def candidates(self, name: str) -> list[str]:
        """What may be meant by an input, the most likely first: places, or ids of nodes."""
        if name == "output" and self.output:
            return [self.output.node_id, *self.output.others]
        if name == "seconds" and self.length:
            return [str(self.length.place)]
        if name == "loras":
            return ["all"] if self.loras else []
        found = self.named(name)
        return [str(place) for place in (*found.places, *found.others)] if found else []

    def doubts(self) -> Iterator[tuple[str, str]]:
        """What is not certain, and why: the output first, then inputs in their order."""
        if self.output and self.output.doubt:
            yield "output", self.output.doubt
        for each in self.inputs:
            if each.doubt:
                yield each.name, each.doubt
        if self.length and self.length.doubt:
            yield "seconds", self.length.doubt
        for lora in self.loras:
            if lora.doubt:
                yield "loras", lora.doubt
