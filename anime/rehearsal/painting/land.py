"""The lower half of a painting: rows of hills, woods or houses, water, and the ground in front."""

from collections.abc import Callable
from dataclasses import replace
from math import sin, tau
from random import Random
from typing import TypeAlias

from PIL import ImageDraw

from anime.rehearsal.painting.canvas import HORIZON, Canvas, Point, Shape, gradient
from anime.rehearsal.painting.motif import Color, Scenery, Weather, mix
from anime.rehearsal.painting.sky import GLITTER, paint_particles

# What stands at a point, the larger the nearer (0 to 1): its shapes, and the room that it takes.
Standing: TypeAlias = tuple[list[Shape], float]
Stand: TypeAlias = Callable[[Canvas, Random, Point, float], Standing]

SNOW: Color = (236, 242, 255)
WINDOW: Color = (255, 214, 136)
GROUND = 0.8  # where the ground in front begins, as a share of the height


def paint_land(canvas: Canvas) -> None:
    """Everything from the horizon to the viewer's feet."""
    scenery = canvas.motif.scenery
    _paint_row(canvas, 0.0, HORIZON + 0.02, 0.075)
    if scenery is Scenery.SEA:
        _paint_water(canvas)
    else:
        behind: Stand | None = {Scenery.FOREST: _fir, Scenery.CITY: _house}.get(scenery)
        for near in (0.25, 0.5, 0.75):
            base, rise = HORIZON - 0.03 + 0.24 * near, 0.01 if behind else 0.045
            shapes = _paint_row(canvas, near, base, rise, behind)
            if behind is _house:
                _paint_windows(canvas, shapes[1:], near)
    canvas.glow(canvas.light_at, (canvas.unit * 0.9,) * 2, canvas.palette.horizon, 0.22)
    rise, stand = (0.0, _railing) if scenery is Scenery.CITY else (0.015, _grass)
    _paint_row(canvas, 1.0, GROUND, rise, stand)


def _paint_row(
    canvas: Canvas, near: float, base: float, rise: float, stand: Stand | None = None
) -> list[Shape]:
    """A ridge from `base` up and what stands on it, in shares of the height; returns its shapes."""
    palette, random = canvas.palette, canvas.random(f"row{near}")
    detail = range(2 if stand else 5)
    waves = [(0.52**n, random.uniform(0.6, 1.2) * 1.9**n, random.random()) for n in detail]

    def height(x: float) -> float:
        swell = sum(high * sin(tau * (x / canvas.width * pace + at)) for high, pace, at in waves)
        return (base - rise * abs(swell)) * canvas.height

    end, step = canvas.width + 8, max(4, canvas.width // 160)
    bottom = canvas.height * (1.0 if near == 1.0 else GROUND)  # the ground in front hides the rest
    ridge = [(x, height(x)) for x in range(-8, end + step, step)]
    shapes: list[Shape] = [[(-8, bottom), *ridge, (end + step, bottom)]]
    x = -0.03 * canvas.unit
    while stand and x < end:
        standing, width = stand(canvas, random, (x, height(x)), near)
        shapes += standing
        x += max(2.0, width)
    color = mix(palette.far, palette.near, near)
    if canvas.motif.weather is Weather.SNOW:
        color = mix(color, SNOW, 0.05 + 0.55 * near**5)
    upper, lower = (mix(color, palette.horizon, haze) for haze in (0.1 * near, 0.5 - 0.5 * near))
    canvas.fill(shapes, upper, lower)
    return shapes


def _fir(canvas: Canvas, random: Random, foot: Point, near: float) -> Standing:
    tall = canvas.unit * (0.06 + 0.17 * near) * random.uniform(0.65, 1.35)
    lean = canvas.sway(0.012 * near * tall, foot[0] / canvas.unit)
    x, y = foot[0], foot[1] + 0.01 * canvas.unit
    tiers: list[Shape] = []
    for tier in range(4):
        half, low = tall * (0.2 - 0.043 * tier), y - tall * tier * 0.2
        tip = x + lean * (tier + 1), y - tall * (0.42 + tier * 0.195)
        tiers.append([(x - half, low), tip, (x + half, low)])
    return tiers, tall * random.uniform(0.15, 0.35)


def _house(canvas: Canvas, random: Random, foot: Point, near: float) -> Standing:
    wide = canvas.unit * (random.uniform(0.06, 0.13) + 0.04 * near)
    tall = canvas.height * (0.07 + 0.23 * random.random() ** 1.8) * (1.1 - 0.25 * near)
    (left, bottom), top, right = foot, foot[1] - tall, foot[0] + wide
    front = [(left, bottom), (left, top), (right, top), (right, bottom)]
    return [front], wide * random.uniform(0.92, 1.15)


def _grass(canvas: Canvas, random: Random, foot: Point, near: float) -> Standing:
    x, y = foot[0], foot[1] + 3
    tall = canvas.unit * (0.008 + 0.026 * random.random() ** 2) * near
    tip = x + tall * (random.uniform(-0.3, 0.6) + canvas.sway(0.3, x / canvas.width)), y - tall
    half = max(0.6, canvas.unit / 420)
    return [[(x - half, y), tip, (x + half, y)]], canvas.unit * random.uniform(0.001, 0.006)


def _railing(canvas: Canvas, _random: Random, foot: Point, near: float) -> Standing:
    (x, y), gap, thin = foot, canvas.unit * 0.026, max(1.0, canvas.unit / 260)
    top, end = y - canvas.unit * 0.12 * near, x + gap + 1
    low = top + 2 * thin
    return [[(x, y), (x, top), (end, top), (end, low), (x + thin, low), (x + thin, y)]], gap


def _paint_windows(canvas: Canvas, houses: list[Shape], near: float) -> None:
    """Windows on the fronts of houses, lit when it gets dark."""
    random, pen = canvas.random(f"windows{near}"), ImageDraw.Draw(canvas.image)
    color = mix(canvas.palette.far, canvas.palette.near, near)
    lit, dark = mix(WINDOW, color, 0.2), mix(color, canvas.palette.horizon, 0.16)
    pitch = max(3, round(canvas.unit * 0.014))
    for _, (left, top), (right, _), _ in houses:
        for y in range(round(top) + pitch, round(canvas.height * GROUND), round(pitch * 1.5)):
            for x in range(round(left) + pitch // 2, round(right - pitch * 0.45), pitch):
                fill = lit if random.random() < 0.65 * canvas.darkness else dark
                pen.rectangle((x, y, x + pitch * 0.45, y + pitch * 0.6), fill)


def _paint_water(canvas: Canvas) -> None:
    """Water to the horizon, and the light's path on it."""
    palette, top = canvas.palette, round(canvas.horizon)
    water = mix(palette.horizon, palette.sky, 0.5), mix(palette.sky, palette.zenith, 0.7)
    depth = canvas.height - top
    canvas.image.paste(gradient((*water, palette.near), (canvas.width, depth)), (0, top))
    path = canvas.unit * 0.3, depth * 0.4
    canvas.glow((canvas.light_at[0], top + depth * 0.4), path, palette.light, 0.5)
    paint_particles(canvas, replace(GLITTER, color=palette.light))
