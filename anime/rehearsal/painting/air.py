"""What falls or drifts in front of everything: snow, rain, petals, fireflies."""

from math import cos, sin, tau

from PIL import Image, ImageDraw

from anime.rehearsal.painting.palette import Color
from anime.rehearsal.painting.sketch import SMOOTHING, Sketch
from anime.rehearsal.painting.wording import Weather

PETAL: Color = (255, 196, 214)
SNOWFLAKE: Color = (250, 252, 255)
RAINDROP: Color = (206, 222, 246)
FIREFLY: Color = (246, 255, 170)


def paint_weather(sketch: Sketch, weather: Weather) -> None:
    """Fill the air. All of it is back where it began at the end of an animation's loop."""
    painters = {
        Weather.SNOW: _paint_snow,
        Weather.RAIN: _paint_rain,
        Weather.PETALS: _paint_petals,
        Weather.FIREFLIES: _paint_fireflies,
    }
    if weather in painters:
        painters[weather](sketch)


def _paint_snow(sketch: Sketch) -> None:
    dice = sketch.dice("snow")
    mask, pen = _fine_mask(sketch)
    for _ in range(190):
        x, y, near, turn = dice.random(), dice.random(), dice.random() ** 2, dice.random()
        y = (y + sketch.phase * (1 if near < 0.5 else 2)) % 1.0
        x = x + sketch.sway(0.012, turn)
        radius = SMOOTHING * sketch.unit * (0.0018 + 0.006 * near)
        px, py = x * mask.width, y * mask.height
        box = (px - radius, py - radius, px + radius, py + radius)
        pen.ellipse(box, fill=round(120 + 120 * near))
    sketch.canvas.paste(SNOWFLAKE, (0, 0), mask.reduce(SMOOTHING))


def _paint_rain(sketch: Sketch) -> None:
    dice = sketch.dice("rain")
    mask, pen = _fine_mask(sketch)
    unit = SMOOTHING * sketch.unit
    for _ in range(240):
        x, y, near = dice.random() * 1.2 - 0.1, dice.random(), dice.random()
        y = (y + sketch.phase * (3 if near < 0.5 else 4)) % 1.0
        long = unit * (0.03 + 0.06 * near)
        px, py = x * mask.width, y * mask.height
        ends = (px, py, px - long * 0.16, py + long)
        pen.line(ends, fill=round(50 + 90 * near), width=max(1, round(unit * 0.003 * near)))
    sketch.canvas.paste(RAINDROP, (0, 0), mask.reduce(SMOOTHING))


def _paint_petals(sketch: Sketch) -> None:
    dice = sketch.dice("petals")
    mask, pen = _fine_mask(sketch)
    for _ in range(46):
        x, y, near, turn = dice.random(), dice.random(), dice.random() ** 1.5, dice.random()
        x = (x - sketch.phase) % 1.0 if near > 0.3 else x + sketch.sway(0.03, turn)
        y = (y + sketch.phase) % 1.0
        long = SMOOTHING * sketch.unit * (0.007 + 0.015 * near)
        leaf = _petal(x * mask.width, y * mask.height, long, tau * (turn + sketch.phase))
        pen.polygon(leaf, fill=round(150 + 100 * near))
    sketch.canvas.paste(PETAL, (0, 0), mask.reduce(SMOOTHING))


def _petal(x: float, y: float, long: float, angle: float) -> list[tuple[float, float]]:
    """A pointed oval, turned by `angle`."""
    points = []
    for step in range(12):
        around = tau * step / 12
        along, across = long * cos(around), long * 0.5 * sin(around) * (1 + 0.4 * cos(around))
        points.append(
            (
                x + along * cos(angle) - across * sin(angle),
                y + along * sin(angle) + across * cos(angle),
            )
        )
    return points


def _paint_fireflies(sketch: Sketch) -> None:
    dice = sketch.dice("fireflies")
    for _ in range(22):
        x, y, near, turn = dice.random(), dice.random(), dice.random(), dice.random()
        at = (x + sketch.sway(0.015, turn), 0.5 + 0.42 * y + sketch.sway(0.012, turn + 0.25))
        shine = 0.65 + sketch.sway(0.35, turn * 2)
        sketch.glow(at, sketch.unit * (0.012 + 0.022 * near), FIREFLY, 0.75 * shine)
        sketch.glow(at, sketch.unit * 0.006, (255, 255, 240), shine)


def _fine_mask(sketch: Sketch) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A mask larger than the canvas, and a pen for it; reducing it smooths what is drawn."""
    mask = Image.new("L", (sketch.width * SMOOTHING, sketch.height * SMOOTHING))
    return mask, ImageDraw.Draw(mask)
