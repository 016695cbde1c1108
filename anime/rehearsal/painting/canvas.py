"""The canvas that the layers of a painting share, and the two strokes that all are made of."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from math import ceil, cos, floor, sin, tau
from random import Random
from typing import TypeAlias

from PIL import Image, ImageDraw

from anime.rehearsal.painting.motif import Color, TimeOfDay, choose_palette, read_motif

Point: TypeAlias = tuple[float, float]
Shape: TypeAlias = Sequence[Point]

HORIZON = 0.61  # as a share of the height
SMOOTHING = 2  # masks are drawn so many times larger and then reduced
CIRCLE = [(cos(tau * step / 16), sin(tau * step / 16)) for step in range(16)]


class Canvas:
    """An image, what is to be painted on it, and how. Positions and sizes are in pixels."""

    def __init__(self, size: tuple[int, int], prompt: str, key: str, phase: float) -> None:
        """`phase` is where in the loop of an animation this frame is, 0 ≤ phase < 1."""
        self.image = Image.new("RGB", size)
        self.width, self.height = size
        self.unit = min(size)
        self.phase, self._key = phase, key
        random = self.random("motif")
        self.motif = read_motif(prompt, random)
        self.palette = choose_palette(self.motif.time, random)
        self.darkness = max(0.0, 1 - sum(self.palette.zenith) / 350)  # 0 by day, 0.8 at night
        self.horizon = HORIZON * self.height
        is_low = self.motif.time in (TimeOfDay.DAWN, TimeOfDay.DUSK)
        rise = random.uniform(0.62, 0.82) if is_low else random.uniform(0.18, 0.36)
        x = random.uniform(0.16, 0.36) * self.width
        self.light_at = random.choice((x, self.width - x)), rise * self.horizon

    def random(self, layer: str) -> Random:
        """Chance of its own for a layer: the same in every frame of an animation."""
        return Random(f"{self._key}|{layer}")  # noqa: S311  paints, keeps no secrets

    def sway(self, amount: float, offset: float = 0.0) -> float:
        """A movement to and fro that ends where it began."""
        return amount * sin(tau * (self.phase + offset))

    def glow(self, at: Point, reach: Point, color: Color, strength: float) -> None:
        """Let a colour fade out around a point. A strength far above 1 makes a sharp disc."""
        size = max(1, round(2 * reach[0])), max(1, round(2 * reach[1]))
        mask = _falloff(round(strength, 2)).resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
        self.image.paste(color, (round(at[0] - reach[0]), round(at[1] - reach[1])), mask)

    def fill(
        self, shapes: Iterable[Shape], *colors: Color, levels: Iterable[int] = repeat(255)
    ) -> None:
        """Fill polygons, in one colour or from one to another downwards; levels are opacities."""
        columns, rows = zip(*(point for shape in shapes for point in shape), strict=True)
        left, top = floor(min(columns)), floor(min(rows))
        size = ceil(max(columns)) - left + 1, ceil(max(rows)) - top + 1
        large = Image.new("L", (size[0] * SMOOTHING, size[1] * SMOOTHING))
        pen = ImageDraw.Draw(large)
        for shape, level in zip(shapes, levels, strict=False):
            points = [((x - left) * SMOOTHING, (y - top) * SMOOTHING) for x, y in shape]
            pen.polygon(points, fill=level)
        paint = gradient(colors, size) if len(colors) > 1 else Image.new("RGB", size, colors[0])
        self.image.paste(paint, (left, top), large.reduce(SMOOTHING))


def oval(at: Point, reach: Point, angle: float = 0.0) -> Shape:
    """A polygon that is nearly an ellipse, turned by an angle."""
    (x, y), (wide, high), along, across = at, reach, cos(angle), sin(angle)
    return [
        (x + wide * a * along - high * b * across, y + wide * a * across + high * b * along)
        for a, b in CIRCLE
    ]


def gradient(colors: Sequence[Color], size: tuple[int, int]) -> Image.Image:
    """Colours from top to bottom, evenly spread."""
    strip = Image.new("RGB", (1, len(colors)))
    strip.putdata(list(colors))
    box = (0, 0.5, 1, len(colors) - 0.5)
    return strip.resize((1, size[1]), Image.Resampling.BILINEAR, box).resize(size)


@lru_cache(maxsize=128)
def _falloff(strength: float) -> Image.Image:
    """Light around a point: as strong in the middle, nothing at the edge."""
    levels = (strength * 255 * max(0.0, 1 - level / 180) ** 2.2 for level in range(256))
    return Image.radial_gradient("L").point([min(255, round(level)) for level in levels])
