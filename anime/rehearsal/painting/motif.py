"""What the words of a prompt ask the painter for, and the colours to paint it in."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeAlias, TypeVar

Color: TypeAlias = tuple[int, int, int]
Choice = TypeVar("Choice", bound=StrEnum)
ANYBODY = " character person student portrait protagonist traveller"


class TimeOfDay(StrEnum):
    """Decides the colours. The values, here and below, are the words that ask for a choice."""

    DAWN = "dawn sunrise morning daybreak"
    DAY = "day noon afternoon summer sunny midday"
    DUSK = "dusk sunset evening twilight golden"
    NIGHT = "night midnight moon moonlit moonlight star stars starry galaxy dark"


class Scenery(StrEnum):
    """What lies between sky and viewer."""

    HILLS = "hill hills mountain mountains meadow field valley village plain castle"
    FOREST = "forest woods wood trees tree jungle pine grove"
    SEA = "sea ocean beach harbour harbor coast island lake ship shore waves"
    CITY = (
        "city street town tokyo skyline downtown cyberpunk neon station cafe "
        "rooftop roof terrace balcony"
    )


class Weather(StrEnum):
    """What falls or drifts through the air."""

    CLEAR = "clear cloudless"
    SNOW = "snow snowy winter blizzard frost ice"
    RAIN = "rain rainy storm umbrella drizzle"
    PETALS = "petal petals sakura cherry blossom blossoms spring wind"
    FIREFLIES = "firefly fireflies magic magical spirit lantern lanterns"


class Figure(StrEnum):
    """Who stands in the foreground."""

    NOBODY = "nobody"
    GIRL = "girl woman heroine witch princess maiden lady sister 1girl she her" + ANYBODY
    BOY = "boy man hero knight samurai prince wizard brother 1boy he his" + ANYBODY


@dataclass(frozen=True)
class Motif:
    """What to paint."""

    time: TimeOfDay
    scenery: Scenery
    weather: Weather
    figure: Figure


def read_motif(prompt: str, random: Random) -> Motif:
    """The motif a prompt asks for; chance decides what it does not say."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    time = _choose(words, TimeOfDay, random) or random.choice(list(TimeOfDay))
    scenery = _choose(words, Scenery, random) or random.choice(list(Scenery))
    usual = Weather.FIREFLIES if time is TimeOfDay.NIGHT else Weather.PETALS
    weather = _choose(words, Weather, random) or random.choice((Weather.CLEAR, usual))
    return Motif(time, scenery, weather, _choose(words, Figure, random) or Figure.NOBODY)


def _choose(words: Iterable[str], choices: type[Choice], random: Random) -> Choice | None:
    """The choice of the first word that asks for one; between two of them chance decides."""
    asked = ([choice for choice in choices if word in choice.split()] for word in words)
    return next((random.choice(meant) for meant in asked if meant), None)


@dataclass(frozen=True)
class Palette:
    """Sky from top to bottom, the light, clouds, and land from far to near."""

    zenith: Color
    sky: Color
    horizon: Color
    light: Color
    cloud: Color
    cloud_shade: Color
    far: Color
    near: Color


# The colours of each time, in the order of the fields above.
PALETTES = {
    TimeOfDay.DAWN: "587ac8 d6a8d6 ffe2c4 fff6e0 ffe0e0 ae98ce a494c4 3a3e68",
    TimeOfDay.DAY: "2668ce 60acf0 d4eefa fffcec ffffff 9ec0e8 88aed4 285c52",
    TimeOfDay.DUSK: "2c2668 ba5282 ffbe7a ffecba ffb08c 804280 925480 261a3a",
    TimeOfDay.NIGHT: "080c2a 182c66 5470b0 f0f4ff 6078b6 263670 324680 0a1026",
}


def choose_palette(time: TimeOfDay, random: Random) -> Palette:
    """The palette of a time of day, up to a fifth of the way to the next one."""
    share, times = random.uniform(0, 0.2), list(PALETTES)
    following = times[(times.index(time) + 1) % len(times)]
    pairs = zip(PALETTES[time].split(), PALETTES[following].split(), strict=True)
    return Palette(*(mix(bytes.fromhex(now), bytes.fromhex(then), share) for now, then in pairs))


def mix(first: Sequence[int], second: Sequence[int], share: float) -> Color:
    """The first colour with a share (0–1) of the second.

    >>> mix((0, 0, 0), (200, 100, 0), 0.5)
    (100, 50, 0)
    """
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
