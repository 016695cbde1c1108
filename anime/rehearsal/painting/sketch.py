"""The sheet that the layers of a painting share, and the strokes they have in common."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sin, tau
from typing import TypeAlias

from PIL import Image, ImageChops, ImageDraw

from anime.rehearsal.painting.palette import Color, Palette

Point: TypeAlias = tuple[float, float]

SMOOTHING = 2  # masks are drawn so many times larger and then reduced


@dataclass(frozen=True)
class Sketch:
    """A canvas and how to paint on it. Positions are fractions of its width and height."""

    canvas: Image.Image
    palette: Palette
    key: str
    phase: float
    """Where in the loop of an animation this frame is, 0 ≤ phase < 1."""
    light_at: Point
    horizon: float

    @property
    def width(self) -> int:
        """In pixels."""
        return self.canvas.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.canvas.height

    @property
    def unit(self) -> float:
        """The shorter side in pixels: what sizes are measured by."""
        return float(min(self.canvas.size))

    def dice(self, layer: str) -> random.Random:
        """Dice of its own for a layer: the same in every frame of an animation."""
        return seeded_dice(f"{self.key}|{layer}")

    def sway(self, amount: float, offset: float = 0.0) -> float:
        """A movement to and fro that ends where it began."""
        return amount * sin(tau * (self.phase + offset))

    def glow(self, at: Point, radius: float, color: Color, strength: float) -> None:
        """Let light spread around a point. `radius` in pixels."""
        side = max(2, round(2 * radius))
        mask = falloff().resize((side, side), Image.Resampling.BILINEAR)
        mask = mask.point(lambda level: round(level * strength))
        corner = round(at[0] * self.width - radius), round(at[1] * self.height - radius)
        self.canvas.paste(color, corner, mask)

    def fill(self, mask: Image.Image, top: int, upper: Color, lower: Color) -> None:
        """Fill a mask, whose top row is `top` on the canvas, from one colour to another."""
        shades = gradient((upper, lower), mask.size)
        self.canvas.paste(shades, (0, top), mask)


def seeded_dice(key: str) -> random.Random:
    """Dice that fall the same for the same key, on every machine."""
    return random.Random(key)  # noqa: S311  paints, keeps no secrets


@lru_cache(maxsize=1)
def falloff() -> Image.Image:
    """Light around a point: bright in the middle, nothing at the edge."""
    distance = Image.radial_gradient("L")
    return distance.point([round(255 * max(0.0, 1 - level / 180) ** 2.2) for level in range(256)])


def gradient(colors: Sequence[Color], size: tuple[int, int]) -> Image.Image:
    """Colours from top to bottom, evenly spread."""
    strip = Image.new("RGB", (1, len(colors)))
    strip.putdata(list(colors))
    half = 0.5 if len(colors) > 1 else 0.0
    box = (0, half, 1, len(colors) - half)
    return strip.resize((1, max(1, size[1])), Image.Resampling.BILINEAR, box=box).resize(size)


def polygon_mask(size: tuple[int, int], shapes: Sequence[Sequence[Point]]) -> Image.Image:
    """A smooth mask of polygons given in pixels."""
    large = Image.new("L", (size[0] * SMOOTHING, size[1] * SMOOTHING))
    pen = ImageDraw.Draw(large)
    for shape in shapes:
        pen.polygon([(x * SMOOTHING, y * SMOOTHING) for x, y in shape], fill=255)
    return large.reduce(SMOOTHING)


def rim(mask: Image.Image, offset: tuple[int, int]) -> Image.Image:
    """The edge of a mask on the side away from `offset`: where the light strikes."""
    return ImageChops.subtract(mask, ImageChops.offset(mask, *offset))


def curve(dice: random.Random, waves: int, roughness: float) -> Callable[[float], float]:
    """A smooth random line over 0–1, between about -1 and 1. More waves, more detail."""
    parts = [
        (roughness**wave, (1.3 + dice.random()) * 1.9**wave, tau * dice.random())
        for wave in range(waves)
    ]
    total = sum(size for size, _speed, _start in parts)

    def height(x: float) -> float:
        return sum(size * sin(tau * speed * x / 2 + start) for size, speed, start in parts) / total

    return height
