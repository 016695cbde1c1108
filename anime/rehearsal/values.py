"""The values of a graph's links: models, prompts, latents and pictures.

Pictures are drawn when they are saved: only then is it known whether a batch is a set of takes or
the frames of one animation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from PIL import Image, ImageOps

# Draws the picture; given 0 ≤ phase < 1, as the frame at that point of a looping animation.
Draw: TypeAlias = Callable[[float | None], Image.Image]


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

    def resized(self, width: int, height: int, method: Image.Resampling) -> "Frame":
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

    def __str__(self) -> str:
        return f"latent({len(self.frames)}, 4, {self.height // 8}, {self.width // 8})"


def flat_frame(width: int, height: int, color: tuple[int, int, int]) -> Frame:
    """A picture of one colour."""
    return Frame(width, height, partial(_draw_flat, width, height, color))


def _draw_flat(
    width: int, height: int, color: tuple[int, int, int], _phase: float | None
) -> Image.Image:
    return Image.new("RGB", (width, height), color)
