"""The upper half of a painting: sky, stars, sun or moon, clouds."""

import random
from math import pi, sin, tau

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from anime.rehearsal.painting.palette import mix
from anime.rehearsal.painting.sketch import Sketch, gradient
from anime.rehearsal.painting.wording import Time

STARS_PER_PIXEL = 1 / 1400


def paint_sky(sketch: Sketch, time: Time) -> None:
    """Cover the canvas with the sky, and with stars at night."""
    palette = sketch.palette
    depth = round(sketch.horizon * sketch.height) + 2
    colors = (palette.zenith, mix(palette.zenith, palette.sky, 0.65), palette.sky, palette.horizon)
    sketch.canvas.paste(palette.horizon, (0, 0, sketch.width, sketch.height))
    sketch.canvas.paste(gradient(colors, (sketch.width, depth)), (0, 0))
    if time in (Time.NIGHT, Time.DUSK):
        _paint_stars(sketch, 1.0 if time is Time.NIGHT else 0.35)


def _paint_stars(sketch: Sketch, share: float) -> None:
    dice, pen = sketch.dice("stars"), ImageDraw.Draw(sketch.canvas)
    palette, size = sketch.palette, max(1.0, sketch.unit / 420)
    for _ in range(round(sketch.width * sketch.height * STARS_PER_PIXEL * share)):
        x, depth, twinkle = dice.random(), dice.random() ** 1.6, dice.random()
        brightness = dice.random() ** 2
        y = depth * sketch.horizon * 0.92
        flicker = 0.75 + sketch.sway(0.25, twinkle)
        base = sketch.canvas.getpixel((int(x * (sketch.width - 1)), int(y * (sketch.height - 1))))
        if not isinstance(base, tuple):
            continue
        shine = (0.25 + 0.75 * brightness) * flicker * (1 - depth * 0.8)
        color = mix((base[0], base[1], base[2]), palette.light, shine)
        px, py, radius = x * sketch.width, y * sketch.height, size * (0.3 + brightness * 0.6)
        pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=color)


def paint_light(sketch: Sketch, time: Time) -> None:
    """Sun or moon with its halo."""
    palette, unit = sketch.palette, sketch.unit
    radius = unit * (0.075 if time is Time.NIGHT else 0.06)
    sketch.glow(sketch.light_at, unit * 0.75, mix(palette.horizon, palette.light, 0.5), 0.55)
    sketch.glow(sketch.light_at, unit * 0.3, palette.light, 0.6)
    side = max(4, round(radius * 2))
    disc = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(disc).ellipse((0, 0, side * 4 - 1, side * 4 - 1), fill=255)
    disc = disc.reduce(4)
    corner = (
        round(sketch.light_at[0] * sketch.width - radius),
        round(sketch.light_at[1] * sketch.height - radius),
    )
    sketch.canvas.paste(palette.light, corner, disc)
    if time is Time.NIGHT:
        _paint_craters(sketch, corner, side, disc)


def _paint_craters(sketch: Sketch, corner: tuple[int, int], side: int, disc: Image.Image) -> None:
    dice = sketch.dice("craters")
    marks = Image.new("L", disc.size)
    pen = ImageDraw.Draw(marks)
    for _ in range(5):
        x, y, size = (
            dice.random() * side,
            dice.random() * side,
            side * (0.06 + dice.random() * 0.12),
        )
        pen.ellipse((x - size, y - size, x + size, y + size), fill=90)
    marks = marks.filter(ImageFilter.GaussianBlur(side / 40))
    sketch.canvas.paste(sketch.palette.sky, corner, ImageChops.multiply(marks, disc))


def paint_clouds(sketch: Sketch) -> None:
    """A few heaped clouds above the horizon, the smaller the farther, and streaks on high."""
    dice = sketch.dice("clouds")
    _paint_streaks(sketch)
    for index in range(4):
        near = (index + 1) / 4
        x = dice.random() * 1.2 - 0.1 + sketch.sway(0.012 + 0.02 * near, dice.random())
        base = sketch.horizon * (1.02 - 0.42 * near * (0.5 + 0.5 * dice.random()))
        width = sketch.unit * (0.35 + 0.55 * near * (0.6 + 0.4 * dice.random()))
        _paint_cloud(sketch, f"cloud{index}", (x, base), width, 0.55 + 0.4 * near)


def _paint_cloud(
    sketch: Sketch, name: str, at: tuple[float, float], width: float, opacity: float
) -> None:
    """One heap with a fading foot, lit from above; `at` is the middle of its foot."""
    wide, high = max(8, round(width)), max(6, round(width * 0.5))
    body, lit = Image.new("L", (wide, high)), Image.new("L", (wide, high))
    body_pen, lit_pen = ImageDraw.Draw(body), ImageDraw.Draw(lit)
    towards = 0.16 if sketch.light_at[0] > at[0] else -0.16
    for x, y, radius in _puffs(sketch.dice(name), wide, high):
        _disc(body_pen, x, y, radius, 255)
        _disc(lit_pen, x, y, radius, 60)
        _disc(lit_pen, x + towards * radius, y - 0.16 * radius, radius * 0.84, 225)
    fading = [255 if level < 120 else round(255 * (255 - level) / 135) for level in range(256)]
    fade = Image.linear_gradient("L").resize((wide, high)).point(fading)
    body = ImageChops.multiply(body.filter(ImageFilter.GaussianBlur(wide / 260)), fade)
    body = body.point(lambda level: round(level * opacity))
    lit = ImageChops.multiply(lit.filter(ImageFilter.GaussianBlur(wide / 75)), body)
    corner = round(at[0] * sketch.width - wide / 2), round(at[1] * sketch.height - high)
    sketch.canvas.paste(sketch.palette.cloud_shade, corner, body)
    sketch.canvas.paste(sketch.palette.cloud, corner, ImageChops.multiply(lit, fade))


def _puffs(dice: random.Random, wide: int, high: int) -> list[tuple[float, float, float]]:
    """Middle and radius in pixels of the balls a cloud is heaped of, the rear ones first."""
    puffs = []
    for _ in range(44):
        x, rise, size = dice.random(), dice.random(), dice.random()
        swell = sin(pi * x) ** 0.9
        radius = wide * (0.02 + 0.075 * swell * (0.35 + 0.65 * size) * (1.15 - 0.6 * rise))
        y = high * (0.92 - 0.72 * swell**1.4 * rise)
        left = wide * (0.1 + 0.8 * x)
        puffs.append((left, max(y, radius * 1.05), radius))
    return sorted(puffs, key=lambda puff: puff[1])


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, level: int) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=level)


def _paint_streaks(sketch: Sketch) -> None:
    dice = sketch.dice("streaks")
    wide, high = sketch.width, max(8, round(sketch.horizon * sketch.height))
    mask = Image.new("L", (wide // 2 + 1, high // 2 + 1))
    pen = ImageDraw.Draw(mask)
    for _ in range(9):
        x, y = dice.random() + sketch.sway(0.02, dice.random()), dice.random() * 0.8
        length, thick = 0.1 + 0.35 * dice.random(), 0.002 + 0.008 * dice.random()
        box = ((x - length) * wide / 2, (y - thick) * high / 2, (x + length) * wide / 2)
        pen.ellipse((*box, (y + thick) * high / 2 + 1), fill=round(60 + 80 * dice.random()))
    mask = mask.filter(ImageFilter.GaussianBlur(max(1.0, sketch.unit / 240))).resize((wide, high))
    sketch.canvas.paste(sketch.palette.cloud, (0, 0), mask)


def light_height(time: Time, chance: float) -> float:
    """How high the light stands, as a share of the way from the top down to the horizon."""
    if time in (Time.DUSK, Time.DAWN):
        return 0.62 + 0.2 * chance
    return 0.2 + 0.18 * sin(tau * chance) * 0.5 + 0.1 * chance
