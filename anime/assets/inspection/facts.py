"""What looking into a file tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anime.assets.metadata import Recipe, SavedFile, recipe_of
from anime.core.paths import FileKind

SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a picture, film or sound is; sizes in pixels. A still picture has one frame."""

    media_type: str
    kind: FileKind
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection(MediaFacts):
    """What a whole file is, and the hash (in hex) of the very bytes that were looked at."""

    sha256: str
    size_bytes: int
    name: str = ""  # of the file, without its folder

    def recipe(self) -> Recipe:
        """How it was made, as far as it says so, with the size and length it really has."""
        size = (self.width, self.height) if self.width and self.height else None
        saved = SavedFile(self.name, self.kind, size=size, media_type=self.media_type)
        return recipe_of(self.texts, saved).seen_in_file(
            width=self.width,
            height=self.height,
            frames=self.frames,
            duration_seconds=self.duration_seconds,
        )
