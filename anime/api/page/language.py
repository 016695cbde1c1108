"""The page's languages: which one a browser gets, and its words."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from operator import itemgetter

from starlette.requests import Request

LANGUAGES = {"en": "English", "ja": "日本語"}
DEFAULT = "en"
LANGUAGE_COOKIE = "anime_lang"

Translate = Callable[..., str]


def language_of(request: Request) -> str:
    """The language that the address names, else that of the cookie, else of the browser."""
    asked = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    for language in asked:
        if language in LANGUAGES:
            return language
    return preferred(request.headers.get("accept-language", ""))


def preferred(accept_language: str) -> str:
    """The first of our languages by the browser's weights (RFC 9110, 12.5.4).

    >>> preferred("fr, ja;q=0.9, en;q=0.5"), preferred("de")
    ('ja', 'en')
    """
    weighed: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        name, _, weight = part.strip().partition(";q=")
        with suppress(ValueError):  # no number
            weighed.append((-float(weight or 1), name.lower().partition("-")[0]))
    known = [name for weight, name in sorted(weighed, key=itemgetter(0)) if weight < 0]
    return next((name for name in known if name in LANGUAGES), DEFAULT)


@cache
def words_of(language: str) -> Mapping[str, str]:
    """All words of the page in a language, by key."""
    text = (files("anime.api.page") / "words" / f"{language}.json").read_text("utf-8")
    words: dict[str, str] = json.loads(text)
    return words


def translator(language: str) -> Translate:
    """A function of a key and the values for its `{names}`. It raises KeyError for an unknown key.

    >>> translator("en")("frame.signed_in", name="Aki", role="may review")
    'Aki (may review)'
    """
    words = words_of(language)

    def translate(key: str, **values: object) -> str:
        text = words[key]
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    return translate
