"""The colours of a scene: one set for each time of day, turned a little by the seed."""

import colorsys
import random
from dataclasses import dataclass, fields
from typing import TypeAlias

from anime.rehearsal.painting.wording import Time

Color: TypeAlias = tuple[int, int, int]

MOST_TURN = 0.035  # of the colour circle


@dataclass(frozen=True)
class Palette:
    """Sky from top to bottom, the light's colour, clouds, and land from far to near."""

    zenith: Color
    sky: Color
    horizon: Color
    light: Color
    cloud: Color
    cloud_shade: Color
    far: Color
    near: Color
    window: Color


PALETTES: dict[Time, tuple[Palette, ...]] = {
    Time.DAY: (
        Palette(
            zenith=(38, 104, 206),
            sky=(96, 172, 240),
            horizon=(212, 238, 250),
            light=(255, 252, 236),
            cloud=(255, 255, 255),
            cloud_shade=(158, 192, 232),
            far=(136, 174, 212),
            near=(40, 92, 82),
            window=(226, 244, 255),
        ),
        Palette(
            zenith=(32, 134, 196),
            sky=(104, 200, 220),
            horizon=(236, 246, 226),
            light=(255, 250, 220),
            cloud=(255, 254, 246),
            cloud_shade=(160, 208, 216),
            far=(132, 186, 190),
            near=(44, 100, 66),
            window=(240, 250, 236),
        ),
    ),
    Time.DUSK: (
        Palette(
            zenith=(44, 38, 104),
            sky=(186, 82, 130),
            horizon=(255, 190, 122),
            light=(255, 236, 186),
            cloud=(255, 176, 140),
            cloud_shade=(128, 66, 128),
            far=(146, 84, 128),
            near=(38, 26, 58),
            window=(255, 214, 128),
        ),
        Palette(
            zenith=(30, 52, 118),
            sky=(232, 118, 96),
            horizon=(255, 216, 136),
            light=(255, 244, 204),
            cloud=(255, 190, 128),
            cloud_shade=(166, 76, 104),
            far=(150, 88, 112),
            near=(46, 28, 52),
            window=(255, 220, 140),
        ),
    ),
    Time.NIGHT: (
        Palette(
            zenith=(8, 12, 42),
            sky=(24, 44, 102),
            horizon=(84, 112, 176),
            light=(240, 244, 255),
            cloud=(96, 120, 182),
            cloud_shade=(38, 54, 112),
            far=(50, 70, 128),
            near=(10, 16, 38),
            window=(255, 222, 140),
        ),
        Palette(
            zenith=(16, 10, 46),
            sky=(52, 38, 108),
            horizon=(138, 104, 178),
            light=(255, 246, 232),
            cloud=(128, 104, 176),
            cloud_shade=(58, 42, 110),
            far=(72, 58, 126),
            near=(18, 12, 38),
            window=(255, 208, 150),
        ),
    ),
    Time.DAWN: (
        Palette(
            zenith=(88, 122, 200),
            sky=(214, 168, 214),
            horizon=(255, 226, 196),
            light=(255, 246, 224),
            cloud=(255, 224, 224),
            cloud_shade=(174, 152, 206),
            far=(164, 148, 196),
            near=(58, 62, 104),
            window=(255, 236, 186),
        ),
    ),
}


def choose_palette(time: Time, dice: random.Random) -> Palette:
    """A palette for the time of day, its hues turned by up to `MOST_TURN`."""
    choices = PALETTES[time]
    palette = choices[int(dice.random() * len(choices))]
    turn = (2 * dice.random() - 1) * MOST_TURN
    colors = {field.name: _turned(getattr(palette, field.name), turn) for field in fields(palette)}
    return Palette(**colors)


def mix(first: Color, second: Color, share: float) -> Color:
    """The first colour with a share (0–1) of the second.

    >>> mix((0, 0, 0), (200, 100, 0), 0.5)
    (100, 50, 0)
    """
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _turned(color: Color, turn: float) -> Color:
    hue, light, strength = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, light, strength)
    return round(red * 255), round(green * 255), round(blue * 255)
