"""The values of a graph's links: models, prompts, latents, pictures, films, sounds, and others.

Pictures are drawn when they are saved: only then is it known whether a batch is a set of takes or
the frames of one animation.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from PIL import Image, ImageOps

# Draws the picture; given 0 ≤ phase < 1, as the frame at that point of a looping animation.
Draw: TypeAlias = Callable[[float | None], Image.Image]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Model:
    """A checkpoint with its LoRAs. Stands for MODEL, CLIP and VAE alike."""

    checkpoint: str
    loras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conditioning:
    """An encoded prompt."""

    text: str


@dataclass(frozen=True)
class Frame:
    """One picture, not drawn yet. Sizes in pixels."""

    width: int
    height: int
    draw: Draw

    def resized(
        self, width: int, height: int, method: Image.Resampling = Image.Resampling.BICUBIC
    ) -> "Frame":
        """The same picture at another size."""
        return Frame(width, height, lambda phase: self.draw(phase).resize((width, height), method))

    def inverted(self) -> "Frame":
        """The negative of the picture."""
        return Frame(self.width, self.height, lambda phase: ImageOps.invert(self.draw(phase)))


@dataclass(frozen=True)
class Images:
    """A batch of pictures of one size."""

    frames: tuple[Frame, ...]

    def __str__(self) -> str:
        first = self.frames[0]
        return f"images({len(self.frames)}, {first.height}, {first.width}, 3)"


@dataclass(frozen=True)
class Latent:
    """A batch of latents, as the pictures that they decode to. Sizes in pixels of the picture."""

    width: int
    height: int
    frames: tuple[Frame, ...]
    is_empty: bool = False
    seconds: float | None = None
    """The length of a sound; None if the latent is one of pictures."""

    def __str__(self) -> str:
        return f"latent({len(self.frames)}, 4, {self.height // 8}, {self.width // 8})"


@dataclass(frozen=True)
class Audio:
    """A sound of that length."""

    seconds: float


@dataclass(frozen=True)
class Video:
    """Pictures that are shown at a speed in frames a second, with their sound."""

    images: Images
    fps: float
    audio: Audio | None = None


@dataclass(frozen=True)
class Opaque:
    """A value that is only passed on, such as noise, sigmas or a mesh; knows what it is made of."""

    kind: str
    inputs: Mapping[str, object]

    def __str__(self) -> str:
        return self.kind


def found(inputs: Mapping[str, object], kind: type[Value], name: str = "") -> Value | None:
    """The first value of that type, one under that name before all others; opaque ones as well."""
    named = inputs.get(name)
    if isinstance(named, kind):
        return named
    return next((value for _name, value in _reachable(inputs) if isinstance(value, kind)), None)


def setting(inputs: Mapping[str, object], *names: str, default: Any) -> Any:  # as its node takes it
    """The first value under one of those names, of the default's type; opaque ones as well."""
    return next(
        (
            value
            for name, value in _reachable(inputs)
            if name in names and isinstance(value, type(default))
        ),
        default,
    )


def _reachable(inputs: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Names and values: the inputs, then what opaque values are made of, each of these once."""
    waiting, seen = deque([inputs]), {id(inputs)}
    while waiting:
        for name, value in waiting.popleft().items():
            yield name, value
            if isinstance(value, Opaque) and id(value.inputs) not in seen:
                seen.add(id(value.inputs))
                waiting.append(value.inputs)


def flat_frame(width: int, height: int, color: tuple[int, int, int]) -> Frame:
    """A picture of one colour."""
    return Frame(width, height, partial(_draw_flat, width, height, color))


def _draw_flat(
    width: int, height: int, color: tuple[int, int, int], _phase: float | None
) -> Image.Image:
    return Image.new("RGB", (width, height), color)
