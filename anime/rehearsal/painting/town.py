"""The lower half of a painting when people built it: skyline, rooftop, wires."""

import random
from dataclasses import dataclass

from PIL import ImageDraw

from anime.rehearsal.painting.palette import Color, mix
from anime.rehearsal.painting.sketch import Point, Sketch, polygon_mask
from anime.rehearsal.painting.wording import Time

LIT_SHARE = {Time.NIGHT: 0.55, Time.DUSK: 0.4, Time.DAWN: 0.18, Time.DAY: 0.0}


@dataclass(frozen=True)
class House:
    """A front in pixels, as a skyline shows it."""

    left: int
    top: int
    right: int
    bottom: int


def paint_skyline(sketch: Sketch, time: Time) -> None:
    """Three rows of houses; windows are lit when it gets dark."""
    pen = ImageDraw.Draw(sketch.canvas)
    for row in range(3):
        dice = sketch.dice(f"houses{row}")
        near = row / 2
        color = mix(sketch.palette.far, sketch.palette.near, 0.1 + 0.8 * near)
        x = -0.05
        while x < 1.02:
            wide = (0.045 + 0.05 * dice.random() + 0.03 * near) * sketch.unit / sketch.width * 1.3
            tall = (0.07 + 0.23 * dice.random() ** 1.8) * (1.1 - 0.25 * near)
            top = sketch.horizon + 0.03 + 0.075 * row - tall
            house = House(
                round(x * sketch.width),
                round(top * sketch.height),
                round((x + wide) * sketch.width),
                sketch.height,
            )
            _paint_house(sketch, pen, house, color, dice)
            _paint_windows(sketch, pen, house, color, dice, lit=LIT_SHARE[time])
            x += wide * (0.92 + 0.25 * dice.random())


def _paint_house(
    sketch: Sketch, pen: ImageDraw.ImageDraw, house: House, color: Color, dice: random.Random
) -> None:
    pen.rectangle((house.left, house.top, house.right, house.bottom), fill=color)
    bright = mix(color, sketch.palette.light, 0.28)
    edge = max(1, round(sketch.unit / 300))
    faces_light = house.left + house.right < 2 * sketch.light_at[0] * sketch.width
    side = house.right - edge if faces_light else house.left
    pen.rectangle((side, house.top, side + edge, house.bottom), fill=bright)
    chance, middle = dice.random(), (house.left + house.right) // 2
    if chance < 0.35:
        high = round(sketch.unit * 0.03 * (0.5 + chance * 2))
        pen.line((middle, house.top - high, middle, house.top), fill=color, width=edge)
    elif chance < 0.6:
        half, high = max(2, (house.right - house.left) // 5), round(sketch.unit * 0.018)
        pen.rectangle((middle - half, house.top - high, middle + half, house.top), fill=color)


def _paint_windows(
    sketch: Sketch,
    pen: ImageDraw.ImageDraw,
    house: House,
    color: Color,
    dice: random.Random,
    *,
    lit: float,
) -> None:
    pitch = max(3, round(sketch.unit * 0.014))
    wide, high = max(1, round(pitch * 0.45)), max(1, round(pitch * 0.6))
    dark = mix(color, sketch.palette.horizon, 0.16)
    lowest = min(sketch.height, round((sketch.horizon + 0.34) * sketch.height))
    for y in range(house.top + pitch, lowest, round(pitch * 1.5)):
        for x in range(house.left + pitch // 2, house.right - wide, pitch):
            chance, warmth = dice.random(), dice.random()
            if chance < lit:
                fill = mix(sketch.palette.window, color, 0.45 * warmth)
            elif chance < 0.85:
                fill = dark
            else:
                continue
            pen.rectangle((x, y, x + wide, y + high), fill=fill)


def paint_rooftop(sketch: Sketch, base: float) -> None:
    """A flat roof in front with a railing along its edge; `base` is the height of its floor."""
    palette, unit = sketch.palette, sketch.unit
    edge = round(base * sketch.height)
    floor = mix(palette.near, palette.far, 0.22)
    depth = sketch.height - edge
    whole = polygon_mask((sketch.width, depth), [_box(0, 0, sketch.width, depth)])
    sketch.fill(whole, edge, mix(floor, palette.horizon, 0.22), mix(floor, palette.near, 0.7))
    _paint_railing(sketch, edge)
    pen = ImageDraw.Draw(sketch.canvas)
    lip = max(2, round(unit * 0.012))
    pen.rectangle((0, edge - lip, sketch.width, edge), fill=mix(floor, palette.light, 0.25))
    pen.rectangle((0, edge, sketch.width, edge + lip // 2), fill=mix(floor, palette.near, 0.8))


def _paint_railing(sketch: Sketch, edge: int) -> None:
    unit, color = sketch.unit, mix(sketch.palette.near, sketch.palette.far, 0.18)
    tall, gap = round(unit * 0.125), max(5, round(unit * 0.026))
    thin = max(1.0, unit / 260)
    bars = [_box(x, 4, x + thin, tall) for x in range(0, sketch.width, gap)]
    posts = [_box(x, 0, x + 2.4 * thin, tall) for x in range(gap * 3, sketch.width, gap * 8)]
    rails = [_box(0, y, sketch.width, y + 1.7 * thin) for y in (3, round(tall * 0.22))]
    mask = polygon_mask((sketch.width, tall), [*bars, *posts, *rails])
    top = edge - tall
    sketch.fill(mask, top, mix(color, sketch.palette.light, 0.18), color)


def paint_wires(sketch: Sketch) -> None:
    """A pole at the side and wires across the sky."""
    dice, color = sketch.dice("wires"), sketch.palette.near
    at_left = sketch.light_at[0] > 0.5
    x = (0.08 if at_left else 0.92) * sketch.width
    top, thick = sketch.height * (0.2 + 0.06 * dice.random()), sketch.unit * 0.014
    shapes: list[list[Point]] = [_box(x - thick / 2, top, x + thick / 2, sketch.height)]
    arms = [top + sketch.unit * (0.03 + 0.05 * index) for index in range(2)]
    reach = sketch.unit * 0.075
    shapes += [_box(x - reach, y, x + reach, y + thick * 0.7) for y in arms]
    sketch.fill(polygon_mask(sketch.canvas.size, shapes), 0, color, color)
    pen = ImageDraw.Draw(sketch.canvas)
    end = sketch.width * (1.05 if at_left else -0.05)
    for index, y in enumerate((arms[0], arms[0], arms[1])):
        start = x + reach * (-0.9 if index == 1 else 0.9)
        sag = sketch.unit * (0.09 + 0.03 * index + sketch.sway(0.004, index / 3))
        far = y + sketch.unit * (0.05 * index - 0.02)
        points = [
            (start + (end - start) * step / 40, y + (far - y) * step / 40 + _hang(step / 40, sag))
            for step in range(41)
        ]
        pen.line(points, fill=color, width=max(1, round(sketch.unit / 340)))


def _hang(share: float, sag: float) -> float:
    return 4 * sag * share * (1 - share)


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
