"""The figure in the foreground: seen from behind, looking at the horizon, hair in the wind."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin, tau

from PIL import Image, ImageChops, ImageDraw

from anime.rehearsal.painting.palette import Color, mix
from anime.rehearsal.painting.sketch import Point, Sketch, polygon_mask, rim
from anime.rehearsal.painting.wording import Figure, Time

HEADS = 6.4  # a figure is so many heads tall
SKIN: Color = (250, 222, 202)
HAIR: tuple[Color, ...] = (
    (58, 44, 62),
    (112, 66, 48),
    (196, 150, 96),
    (84, 96, 150),
    (206, 110, 132),
)
CLOTH: tuple[Color, ...] = ((44, 58, 110), (146, 52, 66), (52, 92, 96), (84, 62, 108))
WHITE: Color = (240, 240, 248)
SHADE = {Time.DAY: 0.22, Time.DAWN: 0.4, Time.DUSK: 0.58, Time.NIGHT: 0.66}


@dataclass(frozen=True)
class BodyPart:
    """One coloured piece: polygons in heads, x from the middle of the body, y up from the feet."""

    color: Color
    shapes: tuple[tuple[Point, ...], ...]


def paint_figure(sketch: Sketch, who: Figure, time: Time, ground: float, tall: float) -> None:
    """Stand somebody at `ground`; both it and `tall` are fractions of the height."""
    if who is Figure.NOBODY:
        return
    dice = sketch.dice("figure")
    x = 0.3 + 0.12 * dice.random()
    if sketch.light_at[0] < 0.5:
        x = 1 - x
    hair, cloth = HAIR[int(dice.random() * len(HAIR))], CLOTH[int(dice.random() * len(CLOTH))]
    wind = -1.0 if sketch.light_at[0] > x else 1.0
    head = tall * sketch.height / HEADS
    parts = (_girl if who is Figure.GIRL else _boy)(hair, cloth, wind, sketch)
    _paint_shadow(sketch, x, ground, head)
    _paint_parts(sketch, parts, (x * sketch.width, ground * sketch.height), head, SHADE[time])


def _paint_parts(
    sketch: Sketch, parts: Sequence[BodyPart], feet: Point, head: float, shade: float
) -> None:
    """Colour the parts one over the other, then let the light catch the outline of all."""
    size = round(head * 7), round(head * (HEADS + 1.2))
    corner = round(feet[0] - size[0] / 2), round(feet[1] - size[1] + head * 0.3)
    outline = Image.new("L", size)
    for part in parts:
        shapes = [
            [(feet[0] + x * head - corner[0], feet[1] - y * head - corner[1]) for x, y in shape]
            for shape in part.shapes
        ]
        mask = polygon_mask(size, shapes)
        color = mix(mix(part.color, sketch.palette.near, shade), sketch.palette.horizon, 0.08)
        sketch.canvas.paste(color, corner, mask)
        outline = ImageChops.lighter(outline, mask)
    push = max(1, round(head * 0.05))
    away = -1 if sketch.light_at[0] * sketch.width > feet[0] else 1
    edge = rim(outline, (push * away, push)).point(lambda level: round(level * 0.75))
    glow = mix(sketch.palette.light, sketch.palette.horizon, 0.3)
    sketch.canvas.paste(glow, corner, edge)


def _paint_shadow(sketch: Sketch, x: float, ground: float, head: float) -> None:
    wide, high = max(4, round(head * 2.6)), max(2, round(head * 0.3))
    mask = Image.new("L", (wide * 2, high * 2))
    ImageDraw.Draw(mask).ellipse((0, 0, wide * 2 - 1, high * 2 - 1), fill=130)
    corner = round(x * sketch.width - wide / 2), round(ground * sketch.height - high / 2)
    sketch.canvas.paste(mix(sketch.palette.near, (0, 0, 0), 0.4), corner, mask.reduce(2))


def _girl(hair: Color, cloth: Color, wind: float, sketch: Sketch) -> tuple[BodyPart, ...]:
    flap = wind * (0.16 + sketch.sway(0.07, 0.1))
    skirt = (
        (-0.36, 3.75),
        (0.36, 3.75),
        (0.78 + max(0.0, flap), 2.62),
        (0.4 + flap, 2.52),
        (0.1 + flap, 2.6),
        (-0.3 + flap, 2.52),
        (-0.78 + min(0.0, flap), 2.62),
    )
    return (
        BodyPart(SKIN, (_leg(-0.22, 2.8), _leg(0.22, 2.8), *_arms(0.13), _neck())),
        BodyPart((52, 46, 66), (_sock(-0.22), _sock(0.22), _shoe(-0.22), _shoe(0.22))),
        BodyPart(cloth, (skirt,)),
        BodyPart(WHITE, (_torso(0.56, 0.37), *_sleeves(0.15))),
        BodyPart(cloth, (((-0.5, 5.15), (0.5, 5.15), (0.42, 4.72), (-0.42, 4.72)),)),
        BodyPart(hair, (_oval(0, 5.88, 0.53, 0.6), *_long_hair(wind, sketch))),
    )


def _boy(hair: Color, cloth: Color, wind: float, sketch: Sketch) -> tuple[BodyPart, ...]:
    flap = wind * (0.12 + sketch.sway(0.05, 0.1))
    coat = (
        (-0.5, 5.22),
        (0.5, 5.22),
        (0.66, 5.0),
        (0.52, 3.9),
        (0.6 + max(0.0, flap), 3.05),
        (flap, 2.98),
        (-0.6 + min(0.0, flap), 3.05),
        (-0.52, 3.9),
        (-0.66, 5.0),
    )
    return (
        BodyPart((50, 50, 72), (_trouser(-0.25), _trouser(0.25))),
        BodyPart((70, 62, 70), (_shoe(-0.25), _shoe(0.25))),
        BodyPart(SKIN, (*_arms(0.16), _neck())),
        BodyPart(cloth, (coat, *_sleeves(0.2, low=3.35))),
        BodyPart(hair, (_oval(0, 5.93, 0.52, 0.5), *_short_hair(wind, sketch))),
    )


def _short_hair(wind: float, sketch: Sketch) -> tuple[tuple[Point, ...], ...]:
    """Tufts around the head, blown to one side."""
    tufts = []
    for index in range(11):
        around = (index / 10 - 0.5) * 1.45 * pi
        x, y = 0.44 * sin(around), 5.93 + 0.42 * cos(around)
        reach = 0.3 + 0.07 * ((index * 3) % 4) / 3
        blown = wind * 0.14 + sketch.sway(0.03, index / 11)
        tip = (x + reach * sin(around) + blown, y + reach * cos(around) - 0.06)
        across = (0.16 * cos(around), -0.16 * sin(around))
        tufts.append(((x - across[0], y - across[1]), tip, (x + across[0], y + across[1])))
    return tuple(tufts)


def _long_hair(wind: float, sketch: Sketch) -> tuple[tuple[Point, ...], ...]:
    """Strands from the crown that end in the wind, each with its own swing."""
    strands = []
    for index in range(7):
        root = -0.48 + 0.16 * index
        swing = sketch.sway(0.1, index / 9)
        reach = wind * (0.55 + 0.16 * (index if wind > 0 else 6 - index)) + swing
        end = 4.35 + 0.13 * ((index * 5) % 7) / 2 + 0.35 * swing
        left = _bend((root - 0.09, 5.9), (root - 0.06, 5.0), (root + reach, end))
        right = _bend((root + 0.2, 5.9), (root + 0.24, 4.95), (root + reach, end))
        strands.append((*left, *reversed(right)))
    return tuple(strands)


def _bend(start: Point, control: Point, end: Point) -> tuple[Point, ...]:
    """A curve through 9 points."""
    points = []
    for step in range(9):
        t = step / 8
        points.append(
            tuple(
                (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
                for a, b, c in zip(start, control, end, strict=True)
            )
        )
    return tuple((x, y) for x, y in points)


def _oval(x: float, y: float, wide: float, high: float) -> tuple[Point, ...]:
    return tuple(
        (x + wide * sin(tau * step / 32), y + high * sin(tau * (step / 32 + 0.25)))
        for step in range(32)
    )


def _leg(x: float, top: float) -> tuple[Point, ...]:
    return ((x - 0.2, top), (x + 0.2, top), (x + 0.12, 0.15), (x - 0.12, 0.15))


def _trouser(x: float) -> tuple[Point, ...]:
    return ((x - 0.3, 3.3), (x + 0.3, 3.3), (x + 0.21, 0.12), (x - 0.21, 0.12))


def _sock(x: float) -> tuple[Point, ...]:
    return ((x - 0.16, 1.35), (x + 0.16, 1.35), (x + 0.125, 0.15), (x - 0.125, 0.15))


def _shoe(x: float) -> tuple[Point, ...]:
    return ((x - 0.15, 0.25), (x + 0.15, 0.25), (x + 0.19, -0.03), (x - 0.19, -0.03))


def _torso(shoulder: float, waist: float) -> tuple[Point, ...]:
    return ((-shoulder, 5.08), (shoulder, 5.08), (waist, 3.7), (-waist, 3.7))


def _neck() -> tuple[Point, ...]:
    return ((-0.16, 5.5), (0.16, 5.5), (0.2, 5.0), (-0.2, 5.0))


def _arms(thick: float) -> tuple[tuple[Point, ...], ...]:
    return tuple(_limb(side, thick * 0.8, 4.3, 3.0) for side in (-1, 1))


def _sleeves(thick: float, low: float = 4.15) -> tuple[tuple[Point, ...], ...]:
    return tuple(_limb(side, thick, 5.08, low) for side in (-1, 1))


def _limb(side: int, thick: float, top: float, low: float) -> tuple[Point, ...]:
    """An arm that hangs a little away from the body."""

    def out(y: float) -> float:
        return 0.5 + (5.08 - y) * 0.13

    corners: Sequence[Point] = (
        (out(top) - thick, top),
        (out(top) + thick, top - thick * 0.5),
        (out(low) + thick * 0.9, low),
        (out(low) - thick * 0.9, low),
    )
    return tuple((side * x, y) for x, y in corners)
