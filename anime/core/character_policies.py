"""What becomes of requests with characters that cannot be drawn as they should be."""

from dataclasses import dataclass
from enum import StrEnum


class CharacterPolicy(StrEnum):
    """Whether the request is refused, or is rendered with a warning."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class CharacterPolicies:
    """What becomes of characters that the workflow cannot show, and of those without a canonical
    version.
    """

    unshown: CharacterPolicy = CharacterPolicy.WARNING
    draft: CharacterPolicy = CharacterPolicy.WARNING
