"""Who asks the API, and what they may do there."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from pydantic import BaseModel

from anime.errors import RoleMissing

Said = TypeVar("Said", bound=BaseModel)


class Role(IntEnum):
    """What the holder of a token may do; each may do what those before it may."""

    VIEW = 1  # read everything
    REVIEW = 2  # say of takes and characters what is good
    PRODUCE = 3  # render, cancel, change

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a name, if the token has one, and a role."""

    name: str | None
    role: Role

    def check(self, needed: Role) -> None:
        """Raises RoleMissing if they may not do what needs that role."""
        if self.role < needed:
            raise RoleMissing(
                f"The token of {self.name or 'a visitor'} has the role {self.role}, and this needs "
                f"{needed}.",
                "Ask somebody who may, or have the role changed in ANIME_API_USERS.",
            )

    def signs(self, by: str) -> str:
        """Whose name is written down: that of the token, or what was said if it has none."""
        return self.name or by

    def sign(self, said: Said) -> Said:
        """What was said, with that name in its field `by`."""
        return said if self.name is None else said.model_copy(update={"by": self.name})


ANYBODY = Caller(None, Role.PRODUCE)  # where no token is needed, or one without a name is shown
_OPEN_TO_REVIEWERS = ("/reviews", "/canonical")
_OPEN_POSTS = ("/compose", "/recipes/upload", "/sheets", "/login", "/logout")


def role_needed(method: str, path: str) -> Role:
    """The least role with which a request may be made.

    >>> role_needed("GET", "/api/anime/jobs"), role_needed("POST", "/api/anime/reviews")
    (<Role.VIEW: 1>, <Role.REVIEW: 2>)
    """
    if method in {"GET", "HEAD", "OPTIONS"} or path.endswith(_OPEN_POSTS):
        return Role.VIEW
    return Role.REVIEW if path.endswith(_OPEN_TO_REVIEWERS) else Role.PRODUCE
