"""What the words of a prompt ask the painter for."""

import random
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice")


class Time(StrEnum):
    """Time of day; decides the colours."""

    DAY = "day"
    DUSK = "dusk"
    NIGHT = "night"
    DAWN = "dawn"


class Place(StrEnum):
    """What stands between sky and viewer."""

    HILLS = "hills"
    FOREST = "forest"
    SEA = "sea"
    CITY = "city"
    ROOFTOP = "rooftop"


class Weather(StrEnum):
    """What falls or drifts through the air."""

    CLEAR = "clear"
    SNOW = "snow"
    RAIN = "rain"
    PETALS = "petals"
    FIREFLIES = "fireflies"


class Figure(StrEnum):
    """Who stands in the foreground."""

    NOBODY = "nobody"
    GIRL = "girl"
    BOY = "boy"


TIME_WORDS = {
    Time.NIGHT: "night midnight moon moonlit moonlight star stars starry galaxy dark",
    Time.DUSK: "dusk sunset evening twilight golden",
    Time.DAWN: "dawn sunrise morning daybreak",
    Time.DAY: "day noon afternoon summer sunny midday",
}
PLACE_WORDS = {
    Place.ROOFTOP: "rooftop roof terrace balcony",
    Place.CITY: "city street town tokyo skyline downtown cyberpunk neon station cafe",
    Place.SEA: "sea ocean beach harbour harbor coast island lake ship shore waves",
    Place.FOREST: "forest woods wood trees tree jungle pine grove",
    Place.HILLS: "hill hills mountain mountains meadow field valley village plain castle",
}
WEATHER_WORDS = {
    Weather.SNOW: "snow snowy winter blizzard frost ice",
    Weather.RAIN: "rain rainy storm umbrella drizzle",
    Weather.PETALS: "petal petals sakura cherry blossom blossoms spring wind",
    Weather.FIREFLIES: "firefly fireflies magic magical spirit lantern lanterns",
}
FIGURE_WORDS = {
    Figure.GIRL: "girl woman heroine witch princess maiden lady sister 1girl she her",
    Figure.BOY: "boy man hero knight samurai prince wizard brother 1boy he his",
}
ANYBODY = frozenset(("character", "person", "student", "portrait", "protagonist", "traveller"))


@dataclass(frozen=True)
class Motif:
    """What to paint."""

    time: Time
    place: Place
    weather: Weather
    figure: Figure


def read_motif(prompt: str, dice: random.Random) -> Motif:
    """The motif a prompt asks for; where it says nothing, the dice decide."""
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    chances = dice.random(), dice.random(), dice.random(), dice.random()
    time = _asked(words, TIME_WORDS) or _pick(tuple(Time), chances[0])
    place = _asked(words, PLACE_WORDS) or _pick(tuple(Place)[:4], chances[1])
    weather = _asked(words, WEATHER_WORDS)
    if weather is None:
        usual = Weather.FIREFLIES if time is Time.NIGHT else Weather.PETALS
        weather = _pick((Weather.CLEAR, Weather.CLEAR, usual), chances[2])
    figure = _asked(words, FIGURE_WORDS) or Figure.NOBODY
    if figure is Figure.NOBODY and ANYBODY.intersection(words):
        figure = _pick((Figure.GIRL, Figure.BOY), chances[3])
    return Motif(time, place, weather, figure)


def _asked(words: list[str], meanings: dict[Choice, str]) -> Choice | None:
    """The choice whose words come first in the prompt."""
    meant = {word: choice for choice, known in meanings.items() for word in known.split()}
    return next((meant[word] for word in words if word in meant), None)


def _pick(choices: tuple[Choice, ...], chance: float) -> Choice:
    return choices[int(chance * len(choices))]
