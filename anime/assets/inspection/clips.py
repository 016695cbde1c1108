"""Films and sound, through FFmpeg: taken apart, but for the beginning not decoded.

Sources: PyAV 18.1 with FFmpeg 8; LAME's description of the Xing header (3.100).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from PIL import Image

from anime.assets.inspection.exr import exr_texts
from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.heif import heif_texts
from anime.assets.inspection.limits import decoding, refuse_too_large, unusable
from anime.assets.metadata.embedded_texts import tag_texts
from anime.core.paths import FileKind
from anime.errors import UnusableFile, UnusableReason

# The format is named, so that no other is tried: a playlist would open further files.
_FORMATS = {
    "video/mp4": "mp4",
    "audio/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "image/heic": "mov",
    "image/x-exr": "exr_pipe",
}
_OPTIONS = {"max_streams": "16"}
_SOUND_ONLY = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
}
_WITH_PICTURES = {"audio/mp4": "video/mp4", "audio/ogg": "video/ogg"}
_PATIENCE_SECONDS = 20.0  # for taking apart; what is not seen by then is believed
_QUARTER_TURN = 90  # degrees
_DECLARING = frozenset({"video/mp4", "audio/mp4", "video/quicktime", "audio/flac", "audio/wav"})
_MP3_FRAME_BYTES = 1441  # the longest of layer III, with what lies before its data
_SPARE_SECONDS = 0.5  # by which containers err about their length, beside a twentieth of it

_Stream: TypeAlias = VideoStream | AudioStream


def read_clip(stream: BinaryIO, name: str, media_type: str) -> MediaFacts:
    """The facts of a film or sound: those of its first film, or else of its first sound.

    Other streams may be shorter or longer, or hidden in part by an edit list: that is no damage.

    Raises:
        UnusableFile: it is cut short, damaged, forged or too large; `name` is in the message.
        OSError: the disk fails.
    """
    with decoding(name), open_clip(stream, media_type) as clip:
        film = film_of(clip)
        main = film or next(iter(clip.streams.audio), None)
        if main is None:
            raise unusable(UnusableReason.NOT_MEDIA, f"{name} has neither pictures nor sound.")
        if film:
            refuse_too_large(name, film.width, film.height)
        is_declared = _declares_length(stream, media_type)
        seen = _take_apart(clip, main)
        declared = _declared_seconds(main) if is_declared else None
        _refuse_incomplete(seen, declared, name)
        changed = _WITH_PICTURES if film else _SOUND_ONLY
        width, height = (film.width, film.height) if film else (None, None)
        if seen.is_turned:
            width, height = height, width
        return MediaFacts(
            media_type=changed.get(media_type, media_type),
            kind=FileKind.VIDEOS if film else FileKind.AUDIO,
            width=width,
            height=height,
            frames=seen.frames_of(film) if film else None,
            duration_seconds=declared or seen.length,
            texts=tag_texts(_tags(clip)),
        )


def read_still(stream: BinaryIO, name: str, media_type: str) -> MediaFacts:
    """The facts of a HEIF picture or an EXR.

    The size is left open where the picture lies in tiles, as those of telephones do.

    Raises:
        UnusableFile: FFmpeg, as it is built here, cannot decode it, so nothing of it is known.
        OSError: the disk fails.
    """
    try:
        with decoding(name), open_clip(stream, media_type) as clip:
            refuse_too_large(name, clip.streams.video[0].width, clip.streams.video[0].height)
            frame = next(clip.decode(video=0))
            is_tiled = len(clip.streams.video) > 1
    except UnusableFile as fault:
        if fault.reason is UnusableReason.TOO_LARGE:
            raise
        raise unusable(UnusableReason.NOT_MEDIA, f"{name} cannot be decoded here.") from fault
    return MediaFacts(
        media_type=media_type,
        kind=FileKind.IMAGES,
        width=None if is_tiled else frame.width,
        height=None if is_tiled else frame.height,
        frames=1,
        texts=(heif_texts if media_type == "image/heic" else exr_texts)(stream),
    )


@contextmanager
def open_clip(stream: BinaryIO, media_type: str) -> Iterator[InputContainer]:
    """The container of a film or sound, of a type that `media_type_by_content` gives.

    Raises:
        ValueError: what FFmpeg says is wrong with it.
    """
    try:
        with av.open(
            stream,
            mode="r",
            format=_FORMATS[media_type],
            options=_OPTIONS,
            metadata_errors="replace",
        ) as clip:
            yield clip
    except av.error.FFmpegError as fault:  # some are OSErrors as well, but none is of the disk
        raise ValueError(fault.strerror or str(fault)) from fault


def film_of(clip: InputContainer) -> VideoStream | None:
    """The stream of moving pictures; the cover of an album is none."""
    films = (each for each in clip.streams.video if not each.disposition & Disposition.attached_pic)
    return next(films, None)


def first_picture(stream: BinaryIO, name: str, media_type: str) -> Image.Image:
    """The first frame of a film; of a sound, its cover.

    Raises:
        UnusableFile: there is no picture in it that can be decoded.
        OSError: the disk fails.
    """
    if media_type not in _FORMATS:
        raise unusable(UnusableReason.NOT_MEDIA, f"{name} is no picture, film or sound we know.")
    with decoding(name), open_clip(stream, media_type) as clip:
        film = film_of(clip) or next(iter(clip.streams.video), None)
        if film is None:
            raise unusable(UnusableReason.NOT_MEDIA, f"{name} has no picture to show.")
        refuse_too_large(name, film.width, film.height)
        for frame in clip.decode(film):
            shown: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV has none
            return shown.rotate(frame.rotation, expand=True) if frame.rotation else shown
    raise unusable(UnusableReason.UNDECODABLE, f"{name} has no picture that can be decoded.")


class _Seen:
    """What taking a stream apart has shown so far; what an edit list hides does not count."""

    def __init__(self) -> None:
        self.is_whole = False
        self.is_decoded = False
        self.is_turned = False
        self._shown = 0
        self._begin: float | None = None
        self._end = 0.0

    @property
    def length(self) -> float | None:
        """Seconds that are shown; None where the end was not seen."""
        return self._end - (self._begin or 0.0) if self.is_whole else None

    def add(self, packet: "Packet[Stream]") -> None:
        """Count a packet, and decode until something has come out."""
        if not self.is_decoded and (frames := packet.decode()):
            self.is_decoded = True
            self.is_turned = getattr(frames[0], "rotation", 0) % 180 == _QUARTER_TURN
        if not packet.size or packet.is_discard:  # the end of the stream, or hidden
            return
        self._shown += 1
        if packet.pts is not None:
            begin = float(packet.pts * packet.time_base)
            self._begin = begin if self._begin is None else min(self._begin, begin)
            self._end = max(self._end, begin + float((packet.duration or 0) * packet.time_base))

    def frames_of(self, film: VideoStream) -> int:
        """The pictures there are; what the film says of itself where not all were seen."""
        return self._shown if self.is_whole else film.frames


def _take_apart(clip: InputContainer, main: _Stream) -> _Seen:
    seen, give_up_at = _Seen(), time.monotonic() + _PATIENCE_SECONDS
    for packet in clip.demux(main):
        seen.add(packet)
        if time.monotonic() > give_up_at:
            return seen
    seen.is_whole = True
    return seen


def _refuse_incomplete(seen: _Seen, declared: float | None, name: str) -> None:
    """Make sure that as much is there as the container says.

    Raises:
        UnusableFile: it ends too early, or not even its beginning can be decoded.
    """
    if not seen.is_decoded:
        raise unusable(UnusableReason.UNDECODABLE, f"{name} has a stream without content.")
    if (seen.length or 0.0) < 0.95 * (declared or 0.0) - _SPARE_SECONDS and seen.is_whole:
        raise unusable(UnusableReason.TRUNCATED, f"{name} ends before it should.")


def _declares_length(stream: BinaryIO, media_type: str) -> bool:
    """Whether the container says how long its streams are, rather than FFmpeg guessing it.

    An MP3 says so in its first frame, if its encoder knew (Xing, Info or VBRI header). FFmpeg's
    guess for one that does not goes by the bit rate of the beginning, and is off by much.
    """
    if media_type != "audio/mpeg":
        return media_type in _DECLARING
    at = stream.tell()
    stream.seek(0)
    head = stream.read(10)
    size = int("".join(f"{byte & 0x7F:07b}" for byte in head[6:10]), 2) + 10  # of the ID3 tag
    stream.seek(size if head.startswith(b"ID3") else 0)
    first_frame = stream.read(_MP3_FRAME_BYTES)
    stream.seek(at)
    return any(name in first_frame for name in (b"Xing", b"Info", b"VBRI"))


def _declared_seconds(main: _Stream) -> float | None:
    return float(main.duration * main.time_base) if main.duration and main.time_base else None


def _tags(clip: InputContainer) -> dict[str, str]:
    """What the container says of itself, then its streams: Ogg keeps its tags there."""
    tags = dict(clip.metadata)
    for stream in clip.streams:
        tags = {**stream.metadata, **tags}
    return tags
