"""How much of a foreign file is looked at, and what is said of one that is no good."""

from collections.abc import Iterator
from contextlib import contextmanager

from anime.errors import AnimeError, StorageError, UnusableFile, UnusableReason

# What Pillow calls a bomb: a quarter of a gigabyte once decoded, and a third more than 8192 x 8192,
# the largest picture that can be ordered. So what passes here can be opened wherever Pillow is.
MAX_PIXELS = 1024**3 // 4 // 3
MAX_PICTURE_BYTES = 512 * 1024 * 1024
MAX_FRAMES = 20_000  # of an animated picture: more than ten minutes at 30 a second

_TODO = {
    UnusableReason.EMPTY: "Wait until it is written; if it stays empty, make it again.",
    UnusableReason.TRUNCATED: "Wait until it is written; if it stays as it is, make it again.",
    UnusableReason.UNDECODABLE: "Look at the disk it comes from, and make it again.",
    UnusableReason.TOO_LARGE: (
        f"Make it smaller: {MAX_PIXELS // 1_000_000} megapixels, {MAX_FRAMES} frames and"
        f" {MAX_PICTURE_BYTES // 2**20} MB are the most."
    ),
    UnusableReason.NOT_MEDIA: "Keep it elsewhere: only pictures, films and sound are kept here.",
}


def unusable(reason: UnusableReason, what: str) -> UnusableFile:
    """The error for a file that is no good; `what` is a sentence that names the file."""
    return UnusableFile(what, _TODO[reason], reason=reason)


def refuse_too_large(name: str, width: int, height: int) -> None:
    """Make sure that decoding a picture of that size is safe.

    Raises:
        UnusableFile: it has no pixels, or too many.
    """
    if width <= 0 or height <= 0:
        raise unusable(UnusableReason.UNDECODABLE, f"{name} has no pixels.")
    if width * height > MAX_PIXELS:
        raise unusable(UnusableReason.TOO_LARGE, f"{name} has {width} x {height} pixels.")


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Whatever a decoder trips over becomes an UnusableFile; what the disk says passes.

    Decoders are written for whole files: of forged ones they raise anything, from SyntaxError
    to struct.error.
    """
    try:
        yield
    except AnimeError:
        raise
    except MemoryError as fault:
        raise StorageError(
            f"{name} needs more memory than there is.", "Look at it again when less is going on."
        ) from fault
    except Exception as fault:
        if isinstance(fault, OSError) and fault.errno is not None:
            raise
        is_cut = any(sign in str(fault).lower() for sign in ("truncated", "end of file"))
        reason = UnusableReason.TRUNCATED if is_cut else UnusableReason.UNDECODABLE
        shown = str(fault).rstrip(".") or type(fault).__name__
        raise unusable(reason, f"{name} cannot be decoded: {shown}.") from fault
