"""Where a file belongs, and whose it is."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import PurePosixPath
from uuid import UUID


class FileState(StrEnum):
    """What the last look at a row's file has shown. A row is never deleted."""

    PRESENT = "present"  # it lies where its row says, as it was written down
    MISSING = "missing"  # nothing lies there
    ALTERED = "altered"  # something else lies there: its size or its hash is another


UNKNOWN_TYPE = "application/octet-stream"
UNORGANIZED = "unorganized"  # the folder of what belongs to no project
INPUTS_FOLDER = ".inputs"  # of the library: pictures people hand in, where every worker can read
RECORDED_FOLDER = ".recorded"  # of the library: recorded graphs that were rendered again
RECORDED_PREFIX = "recorded-"  # of their names as workflows
_SLUG_MAX_BYTES = 60
_FILENAME_MAX_BYTES = 200  # file systems take 255; a number or ".tmp" may still be added
_SUFFIX_MAX_BYTES = 16
_NUMBERED = 32  # names with a number before one with a hash: of a thousand namesakes each is tried
# Safe as they are: by far the most.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,198}[A-Za-z0-9_-])?")
# Devices, with any suffix. Source: "Naming Files, Paths, and Namespaces", Microsoft.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|con(?:in|out)\$|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE
)
_UNSAFE = frozenset('/\\:*?"<>|')
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID_HYPHENS = 4
# A project's style may name its files: then our own name comes after that one.
_OWNED_NAME = re.compile(
    rf"(?:.*[/_])?(anime_({_UUID})(?![0-9a-f-])[^/]*)\Z", re.IGNORECASE | re.DOTALL
)
_RECORDED = re.compile(rf"{RECORDED_PREFIX}[0-9a-f]{{40}}")
_OWNED_FOLDER = re.compile(rf"(?:^|/)jobs/({_UUID})/", re.IGNORECASE)

_MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".apng": "image/apng",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".exr": "image/x-exr",
    ".heic": "image/heic",
    ".heif": "image/heic",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
}
MEDIA_SUFFIXES = frozenset(_MEDIA_TYPES)
# 3D models, as ComfyUI's nodes save them: kept as files, and shown as none.
MESH_SUFFIXES = frozenset(
    {".glb", ".gltf", ".obj", ".stl", ".ply", ".fbx", ".usdz", ".splat", ".spz"}
)


class FileKind(StrEnum):
    """The folder a file goes to."""

    IMAGES = "images"
    VIDEOS = "videos"  # animated pictures, too
    AUDIO = "audio"

    @property
    def file_type(self) -> str:
        """The word in the database: image, video or audio."""
        return self.value.removesuffix("s")


def is_recorded(workflow: str) -> bool:
    """Whether a workflow of that name is a recorded graph.

    >>> is_recorded("txt2img"), is_recorded("recorded-" + 40 * "0")
    (False, True)
    """
    return _RECORDED.fullmatch(workflow) is not None


def composed(name: str) -> str:
    """The name in Unicode's form NFC, in which names are stored and compared.

    A keyboard writes the letter of ``ga`` in kana as one sign, macOS as two that look the same.

    >>> len("e" + chr(0x301)), len(composed("e" + chr(0x301)))
    (2, 1)
    """
    return unicodedata.normalize("NFC", name)


@lru_cache(maxsize=1024)  # a batch asks for those of one project ten thousand times
def slugs_of(name: str) -> tuple[str, ...]:
    """The slug of the name, and then those it had while names were compared sign by sign, and
    while a device of Windows could be one.

    Projects of that time keep their slugs.
    """
    composed_before = _slug_of(composed(name), devices=True)
    decomposed = _slug_of(unicodedata.normalize("NFD", name), devices=True)
    return tuple(dict.fromkeys((slug_of(name), composed_before, decomposed)))


def slug_of(name: str) -> str:
    """The folder name of a project: lower-case ASCII letters, digits and hyphens, 60 at most.

    Where a name has letters that ASCII lacks, a few digits of its hash keep it apart from
    others of which as much remains.

    >>> slug_of("Neon City: Épisode 2")
    'neon-city-episode-2'
    >>> slug_of("東京 2077")
    '2077-9cf7f925'
    """
    return _slug_of(composed(name))


def _slug_of(name: str, *, devices: bool = False) -> str:
    plain = unicodedata.normalize("NFKD", name)
    is_lossy = any(letter.isalnum() and not letter.isascii() for letter in plain)
    slug = re.sub(r"[^a-z0-9]+", "-", plain.encode("ascii", "ignore").decode().lower()).strip("-")
    is_taken = slug == UNORGANIZED or (not devices and _DEVICE.match(slug))
    if slug and not is_taken and not is_lossy and len(slug) <= _SLUG_MAX_BYTES:
        return slug
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = slug[: _SLUG_MAX_BYTES - 9].strip("-")
    return f"{kept or 'project'}-{mark}"


def kind_of(filename: str) -> FileKind:
    """The kind of a file by its name.

    >>> kind_of("loop.gif").value
    'videos'
    """
    media_type = media_type_of(filename)
    if media_type.startswith("audio/"):
        return FileKind.AUDIO
    if media_type.startswith("video/") or media_type in {"image/gif", "image/apng"}:
        return FileKind.VIDEOS
    return FileKind.IMAGES


def media_type_of(filename: str) -> str:
    """The media type by suffix. The machine's own table is not asked: it differs between them.

    >>> media_type_of("anime_00001_.PNG")
    'image/png'
    """
    return _MEDIA_TYPES.get(PurePosixPath(filename).suffix.lower(), UNKNOWN_TYPE)


def library_path(
    project_slug: str | None, kind: FileKind, created: date, filename: str
) -> PurePosixPath:
    """The path of a file within the library; `created` is a day in the studio's time zone.

    >>> str(library_path(None, FileKind.IMAGES, date(2025, 12, 2), "a.png"))
    'unorganized/images/20251202/a.png'
    """
    day = f"{created.year:04}{created.month:02}{created.day:02}"
    folder = f"{project_slug or UNORGANIZED}/{kind.value}/{day}"
    return PurePosixPath(f"{folder}/{safe_filename(filename)}")


def safe_filename(name: str) -> str:
    r"""The name without folders and without what a file system, shell or browser stumbles over.

    Windows can open it as well, which takes `aux.png` for a device and drops a last dot.

    >>> safe_filename("../../etc/pass\x00wd")
    'pass_wd'
    """
    base = composed(re.split(r"[/\\]", name)[-1])
    safe = base if _PLAIN_NAME.fullmatch(base) else _printable(base)
    device = _DEVICE.match(safe)
    return f"{device[1]}_{safe[device.end() :]}" if device else safe


def _printable(base: str) -> str:
    shown = "".join("_" if c in _UNSAFE or not c.isprintable() else c for c in base)
    visible = shown.strip(" .")
    suffix = PurePosixPath(visible).suffix
    if len(suffix.encode()) > _SUFFIX_MAX_BYTES:
        suffix = ""
    stem = visible.removesuffix(suffix) if suffix else visible
    kept = stem.encode()[: _FILENAME_MAX_BYTES - len(suffix.encode())].decode(errors="ignore")
    return f"{kept}{suffix}".rstrip(" .") or "file"


def next_name(filename: str, number: int) -> str:
    """The name to try where `filename` is taken.

    >>> next_name("a.png", 2)
    'a-2.png'
    """
    path = PurePosixPath(filename)
    return f"{path.stem}-{number}{path.suffix}"


def names_beside(filename: str, mark: str | None) -> Iterator[str]:
    """The names to try in turn: that one, with a number, at last with part of the mark.

    >>> list(names_beside("a.png", "ab" * 32))[::32]
    ['a.png', 'a-abababababab.png']
    """
    yield filename
    yield from (next_name(filename, number) for number in range(2, _NUMBERED + 1))
    path = PurePosixPath(filename)
    yield f"{path.stem}-{(mark or 'x')[:12]}{path.suffix}"


def filename_prefix(job_id: UUID, attempt: int) -> str:
    """What ComfyUI begins the names of a job's files with: a folder for each attempt.

    Its counter is the highest in the folder plus one, so two prompts that shared a folder
    would get each other's names once files are moved away.
    """
    return f"jobs/{job_id}/{attempt}/anime_{job_id}"


def owner_of(path: str) -> UUID | None:
    """The job a file name or a path says it belongs to; None when it names none.

    >>> owner_of("anime_00000000-0000-0000-0000-000000000007_00001_.png")
    UUID('00000000-0000-0000-0000-000000000007')
    """
    if path.count("-") < _UUID_HYPHENS:
        return None  # as of most files: a sweep asks this of each, three times
    if named := _OWNED_NAME.match(path):
        return UUID(named[2])
    found = _OWNED_FOLDER.search(path)
    return UUID(found[1]) if found else None


def original_name(name: str) -> str:
    """The name that ComfyUI gave to a file of a job, without what a project's style put before it.

    >>> original_name("sc1_anime_00000000-0000-0000-0000-000000000007_00001_.png")
    'anime_00000000-0000-0000-0000-000000000007_00001_.png'
    """
    named = _OWNED_NAME.match(name)
    return named[1] if named else name


def thumbnail_path(sha256: str) -> PurePosixPath:
    """The path, within the library, of the thumbnail of the file with that content (WEBP).

    >>> str(thumbnail_path("ab" * 32))[:20]
    '.thumbnails/ab/ababa'
    """
    return PurePosixPath(".thumbnails") / sha256[:2] / f"{sha256}.webp"


def proxy_path(sha256: str) -> PurePosixPath:
    """The same of its proxy, which is large enough for a screen. It goes when thumbnails go."""
    return thumbnail_path(f"{sha256}-proxy")
