"""Sky, sun or moon, clouds, and what falls or drifts through the air."""

from dataclasses import dataclass, replace
from math import atan2, pi, sin, tau

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from anime.rehearsal.painting.canvas import HORIZON, Canvas, Shape, gradient, oval
from anime.rehearsal.painting.motif import Color, TimeOfDay, Weather, mix

PUFFS = 44  # the balls a cloud is heaped of
# The moon's: how far right and down from its middle, and how large, as shares of the shorter side.
CRATERS = (-0.025, 0.012, 0.026), (0.022, -0.024, 0.02), (0.018, 0.034, 0.018)
DISC = 40.0  # the strength of a glow with a sharp edge


@dataclass(frozen=True)
class Particles:
    """How many there are, and how the nearest look; the others are smaller and fainter.

    Length is a share of the picture's shorter side, breadth one of the length. What moves does
    so by so many widths and heights of the picture in one loop of an animation.
    """

    count: int
    color: Color
    length: float
    opacity: float
    breadth: float = 1.0
    moves: tuple[int, int] = (0, 0)
    sways: float = 0.0
    turns: bool = False
    twinkles: float = 0.0
    glows: bool = False
    rows: tuple[float, float] = (-0.05, 1.05)
    """From and to which height; what does not move is the nearer the closer it is to the second."""


STARS = Particles(260, (255, 255, 255), 0.0032, 1.0, twinkles=0.4, rows=(0.55, 0.0))
STREAKS = Particles(12, (255, 255, 255), 0.5, 0.5, breadth=0.03, glows=True, rows=(0.55, 0.0))
GLITTER = Particles(220, (255, 255, 255), 0.03, 0.9, 0.1, twinkles=0.8, rows=(HORIZON, 0.85))
AIR = {
    Weather.SNOW: Particles(190, (250, 252, 255), 0.009, 0.95, moves=(0, 1), sways=0.012),
    Weather.RAIN: Particles(220, (206, 222, 246), 0.05, 0.6, breadth=0.03, moves=(-1, 3)),
    Weather.PETALS: Particles(50, (255, 196, 214), 0.02, 0.95, 0.5, moves=(-1, 1), turns=True),
    Weather.FIREFLIES: Particles(
        26, (246, 255, 170), 0.04, 2.0, sways=0.02, twinkles=0.7, glows=True, rows=(0.5, 0.95)
    ),
}


def paint_sky(canvas: Canvas) -> None:
    """Cover the canvas with the sky and all that is in it."""
    palette, depth = canvas.palette, round(canvas.height * 0.7)
    colors = (palette.zenith, mix(palette.zenith, palette.sky, 0.65), palette.sky, palette.horizon)
    canvas.image.paste(gradient(colors, (canvas.width, depth)), (0, 0))
    if canvas.motif.time is TimeOfDay.NIGHT:
        paint_particles(canvas, STARS)
    paint_particles(canvas, replace(STREAKS, color=palette.cloud))
    halo = mix(palette.horizon, palette.light, 0.5)
    lights = [(0.75, halo, 0.55), (0.3, palette.light, 0.6), (0.085, palette.light, DISC)]
    for size, color, strength in lights:
        canvas.glow(canvas.light_at, (canvas.unit * size,) * 2, color, strength)
    for x, y, size in CRATERS if canvas.motif.time is TimeOfDay.NIGHT else ():
        spot = canvas.light_at[0] + x * canvas.unit, canvas.light_at[1] + y * canvas.unit
        canvas.glow(spot, (canvas.unit * size,) * 2, palette.cloud, 0.8)
    for near in (0.25, 0.5, 0.75, 1.0):
        _paint_cloud(canvas, near)


def _paint_cloud(canvas: Canvas, near: float) -> None:
    """A heap with a fading foot, lit from one side; drawn at half its size, as it is soft."""
    random, palette = canvas.random(f"cloud{near}"), canvas.palette
    middle = (random.uniform(-0.1, 1.1) + canvas.sway(0.012 + 0.02 * near, near)) * canvas.width
    foot = canvas.horizon * (1.02 - 0.42 * near * random.uniform(0.5, 1))
    wide = max(8, round(canvas.unit * (0.35 + 0.55 * near * random.uniform(0.6, 1)) / 2))
    high, towards = wide // 2, 0.16 if canvas.light_at[0] > middle else -0.16
    body, lit = Image.new("L", (wide, high)), Image.new("L", (wide, high))
    body_pen, lit_pen = ImageDraw.Draw(body), ImageDraw.Draw(lit)
    puffs = [(random.random(), random.random(), random.random()) for _ in range(PUFFS)]
    for rise, along, size in sorted(puffs, reverse=True):
        swell = sin(pi * along)
        radius = wide * (0.02 + 0.075 * swell * (0.35 + 0.65 * size) * (1.15 - 0.6 * rise))
        x, y = wide * (0.1 + 0.8 * along), high * (0.92 - 0.66 * swell**1.4 * rise)
        body_pen.circle((x, y), radius, 255)
        lit_pen.circle((x, y), radius, 60)
        lit_pen.circle((x + towards * radius, y - 0.16 * radius), radius * 0.84, 225)
    fading = [(0.55 + 0.4 * near) * min(255, 1.9 * (255 - level)) for level in range(256)]
    fade = Image.linear_gradient("L").resize((wide, high)).point(fading)
    for color, mask in ((palette.cloud_shade, body), (palette.cloud, lit)):
        soft = ImageChops.multiply(mask.filter(ImageFilter.GaussianBlur(wide / 150)), fade)
        large = soft.resize((2 * wide, 2 * high), Image.Resampling.BICUBIC)
        canvas.image.paste(color, (round(middle - wide), round(foot - 2 * high)), large)


def paint_particles(canvas: Canvas, kind: Particles) -> None:
    """Scatter them. All are back where they began at the end of an animation's loop."""
    random = canvas.random(repr(kind))
    shapes: list[Shape] = []
    levels: list[int] = []
    angle = atan2(kind.moves[1] * canvas.height, kind.moves[0] * canvas.width)
    for _ in range(kind.count):
        x, y, turn, near = (random.random() for _ in range(4))
        near = near**2 if kind.moves != (0, 0) else y
        x = (x + kind.moves[0] * canvas.phase) % 1 * 1.1 - 0.05 + canvas.sway(kind.sways, turn)
        y = (y + kind.moves[1] * canvas.phase) % 1
        at = x * canvas.width, (kind.rows[0] + (kind.rows[1] - kind.rows[0]) * y) * canvas.height
        length = canvas.unit * kind.length * (0.25 + 0.75 * near)
        size = length, length * kind.breadth
        shine = 1 - kind.twinkles * (0.5 + canvas.sway(0.5, turn))
        opacity = kind.opacity * (0.4 + 0.6 * near) * shine
        if kind.glows:
            canvas.glow(at, size, kind.color, opacity)
        else:
            spin = tau * (turn + canvas.phase) if kind.turns else 0.0
            shapes.append(oval(at, size, angle + spin))
            levels.append(round(255 * opacity))
    if shapes:
        canvas.fill(shapes, kind.color, levels=levels)
