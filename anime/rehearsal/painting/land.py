"""The lower half of a painting when it is nature: ridges, woods, water, meadow."""

from collections.abc import Callable
from math import pi, sin
from typing import TypeAlias

from PIL import Image, ImageDraw

from anime.rehearsal.painting.palette import Color, mix
from anime.rehearsal.painting.sketch import Point, Sketch, curve, gradient, polygon_mask

# The height of a line, as a fraction from the top, at a fraction of the width.
Line: TypeAlias = Callable[[float], float]

SNOW: Color = (236, 242, 255)


def snow(sketch: Sketch) -> Color:
    """Snow in the light of this sky."""
    return mix(SNOW, sketch.palette.horizon, 0.4)


def paint_mountains(sketch: Sketch, *, snowy: bool) -> None:
    """Three ridges, each nearer, darker and lower, with haze between them."""
    for layer in range(3):
        color = mix(sketch.palette.far, sketch.palette.near, layer * 0.27)
        upper = mix(color, snow(sketch), 0.5 - 0.12 * layer) if snowy else color
        line = _mountain_line(sketch, layer)
        paint_ridge(sketch, line, upper, mix(color, sketch.palette.horizon, 0.45))


def _mountain_line(sketch: Sketch, layer: int) -> Line:
    line = curve(sketch.dice(f"ridge{layer}"), 6 - layer, 0.52)
    shift = sketch.sway(0.004 * layer)
    base, rise = sketch.horizon - 0.03 + 0.055 * layer, 0.17 - 0.045 * layer
    return lambda x: base - rise * (0.3 + 0.7 * abs(line(x + shift)))


def paint_ridge(
    sketch: Sketch, height: Line, upper: Color, lower: Color, reach: float = 0.22
) -> None:
    """Fill all below a line; over `reach` of the height one colour fades into the other."""
    samples = max(48, sketch.width // 6)
    heights = [height(index / samples) * sketch.height for index in range(samples + 1)]
    top = max(0, int(min(heights)) - 1)
    depth = sketch.height - top
    if depth <= 0:
        return
    outline: list[Point] = [
        (index / samples * sketch.width, y - top) for index, y in enumerate(heights)
    ]
    outline += [(sketch.width, depth), (0, depth)]
    mask = polygon_mask((sketch.width, depth), [outline])
    fading = max(2, round(reach * sketch.height))
    shades = Image.new("RGB", (sketch.width, depth), lower)
    shades.paste(gradient((upper, lower), (sketch.width, fading)), (0, 0))
    sketch.canvas.paste(shades, (0, top), mask)


def paint_forest(sketch: Sketch, *, snowy: bool) -> None:
    """Rows of conifers, the far ones pale and small."""
    paint_mountains(sketch, snowy=snowy)
    for row in range(3):
        near = (row + 1) / 3
        dice = sketch.dice(f"trees{row}")
        line = curve(dice, 3, 0.5)
        base = sketch.horizon + 0.03 + 0.075 * row
        color = mix(sketch.palette.far, sketch.palette.near, 0.25 + 0.75 * near)
        shapes: list[list[Point]] = []
        x = -0.03
        while x < 1.03:
            tall = sketch.unit * (0.08 + 0.13 * near) * (0.65 + 0.7 * dice.random())
            foot = (base + 0.015 * line(x)) * sketch.height
            lean = sketch.sway(0.012 * near, x)
            shapes += conifer((x * sketch.width, foot), tall, lean)
            x += (0.018 + 0.03 * near) * (0.6 + 0.8 * dice.random()) * sketch.unit / sketch.width
        _plant(sketch, shapes, base, color, snowy=snowy)


def _plant(
    sketch: Sketch, shapes: list[list[Point]], base: float, color: Color, *, snowy: bool
) -> None:
    top = max(0, int(min(y for shape in shapes for _x, y in shape)))
    depth = sketch.height - top
    ground = (base - 0.008) * sketch.height - top
    floor = [(0.0, ground), (sketch.width, ground), (sketch.width, depth), (0.0, depth)]
    lowered = [[(x, y - top) for x, y in shape] for shape in shapes]
    upper = mix(color, snow(sketch), 0.42) if snowy else mix(color, sketch.palette.horizon, 0.12)
    lower = mix(color, snow(sketch), 0.22) if snowy else mix(color, sketch.palette.near, 0.4)
    sketch.fill(polygon_mask((sketch.width, depth), [*lowered, floor]), top, upper, lower)


def conifer(foot: Point, tall: float, lean: float) -> list[list[Point]]:
    """The triangles of one fir; its tip leans by that share of its height."""
    x, y = foot
    shapes = []
    for tier in range(4):
        low, high = y - tall * tier * 0.2, y - tall * (0.42 + tier * 0.195)
        half = tall * (0.2 - 0.043 * tier)
        tilt = lean * tall * (tier + 1) / 4
        shapes.append([(x - half, low), (x + tilt, high), (x + half, low)])
    return shapes


def paint_sea(sketch: Sketch) -> None:
    """Water to the horizon with the light's path on it, and an island."""
    palette, top = sketch.palette, round(sketch.horizon * sketch.height)
    water = (mix(palette.horizon, palette.sky, 0.5), mix(palette.sky, palette.zenith, 0.7))
    depth = sketch.height - top
    sketch.canvas.paste(gradient((*water, palette.near), (sketch.width, depth)), (0, top))
    _paint_island(sketch)
    _paint_glitter(sketch, top)


def _paint_island(sketch: Sketch) -> None:
    dice = sketch.dice("island")
    line, middle = curve(dice, 4, 0.5), dice.random()
    width = 0.16 + 0.2 * dice.random()
    samples = 60
    outline = []
    for index in range(samples + 1):
        x = index / samples
        rise = 0.05 * sin(pi * x) ** 0.7 * (1 + 0.4 * line(x))
        y = 0.08 - rise
        outline.append(((middle - width / 2 + width * x) * sketch.width, y * sketch.height))
    mask = polygon_mask((sketch.width, round(0.08 * sketch.height)), [outline])
    top = round((sketch.horizon - 0.078) * sketch.height)
    palette = sketch.palette
    sketch.fill(mask, top, palette.far, mix(palette.far, palette.horizon, 0.35))


def _paint_glitter(sketch: Sketch, top: int) -> None:
    """Short bright dashes, wider and sparser towards the viewer."""
    dice, pen = sketch.dice("glitter"), ImageDraw.Draw(sketch.canvas, "RGBA")
    middle = sketch.light_at[0] * sketch.width
    for _ in range(260):
        depth, spread, chance = dice.random() ** 1.7, dice.random() * 2 - 1, dice.random()
        y = top + 2 + depth * (sketch.height - top)
        reach = sketch.unit * (0.03 + 0.3 * depth)
        on_path = dice.random() < 0.7
        x = middle + spread * reach if on_path else (spread + 1) / 2 * sketch.width
        half = sketch.unit * (0.004 + 0.03 * depth) * (0.4 + chance)
        shine = 0.55 + sketch.sway(0.45, dice.random())
        alpha = round((190 if on_path else 60) * (1 - 0.6 * abs(spread)) * shine)
        thick = max(1, round(sketch.unit * (0.0015 + 0.005 * depth)))
        pen.line(
            (x - half, y, x + half, y), fill=(*sketch.palette.light, max(0, alpha)), width=thick
        )


def paint_meadow(sketch: Sketch, base: float, *, snowy: bool) -> None:
    """A slope in front with blades of grass along its edge; `base` is its height on the left."""
    dice = sketch.dice("meadow")
    line = curve(dice, 2, 0.4)

    def height(x: float) -> float:
        return base + 0.02 * line(x) - 0.03 * sin(pi * x)

    color = mix(sketch.palette.near, sketch.palette.far, 0.12)
    upper = mix(color, snow(sketch), 0.85) if snowy else mix(color, sketch.palette.horizon, 0.1)
    paint_ridge(
        sketch, height, upper, mix(color, snow(sketch), 0.5) if snowy else sketch.palette.near
    )
    if not snowy:
        _paint_grass(sketch, height, upper)


def _paint_grass(sketch: Sketch, height: Line, color: Color) -> None:
    dice = sketch.dice("grass")
    top = max(0, round((height(0.5) - 0.09) * sketch.height))
    blades: list[list[Point]] = []
    for _ in range(round(sketch.width / 3.2)):
        x = dice.random()
        foot = height(x) * sketch.height - top + 3
        tall = sketch.unit * (0.008 + 0.026 * dice.random() ** 2)
        tip = x * sketch.width + tall * (0.9 * (dice.random() - 0.35) + sketch.sway(0.3, x))
        half = max(0.6, sketch.unit / 420)
        left, right = x * sketch.width - half, x * sketch.width + half
        blades.append([(left, foot), (tip, foot - tall), (right, foot)])
    depth = min(sketch.height - top, round(0.2 * sketch.height))
    mask = polygon_mask((sketch.width, max(1, depth)), blades)
    sketch.fill(mask, top, color, color)
