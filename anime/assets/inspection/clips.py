"""Films and sound, through FFmpeg: taken apart, but for the beginning not decoded."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from PIL import Image

from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.limits import decoding, refuse_too_large, unusable
from anime.core.paths import FileKind
from anime.core.png_metadata import tag_texts
from anime.errors import UnusableReason

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
_SPARE_SECONDS = 0.5  # by which containers err about their length, beside a twentieth of it

_Stream: TypeAlias = VideoStream | AudioStream


def read_clip(stream: BinaryIO, name: str, media_type: str) -> MediaFacts:
    """The facts of a film or sound.

    Raises:
        UnusableFile: it is cut short, damaged, forged or too large; `name` is in the message.
        OSError: the disk fails.
    """
    with decoding(name), open_clip(stream, media_type) as clip:
        film = film_of(clip)
        streams: list[_Stream] = [*([film] if film else []), *clip.streams.audio]
        if not streams:
            raise unusable(UnusableReason.NOT_MEDIA, f"{name} has neither pictures nor sound.")
        if film:
            refuse_too_large(name, film.width, film.height)
        seen = _take_apart(clip, streams)
        _refuse_incomplete(clip, streams, seen, name)
        changed = _WITH_PICTURES if film else _SOUND_ONLY
        return MediaFacts(
            media_type=changed.get(media_type, media_type),
            kind=FileKind.VIDEOS if film else FileKind.AUDIO,
            width=film.width if film else None,
            height=film.height if film else None,
            frames=seen.frames_of(film) if film else None,
            duration_seconds=_declared_seconds(clip) or seen.seconds,
            texts=tag_texts(_tags(clip)),
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
            return shown
    raise unusable(UnusableReason.UNDECODABLE, f"{name} has no picture that can be decoded.")


class _Seen:
    """What taking a clip apart has shown so far."""

    def __init__(self) -> None:
        self.is_whole = False
        self.seconds = 0.0
        self._packets: dict[int, int] = {}
        self._decoded: set[int] = set()

    def add(self, packet: "Packet[Stream]") -> None:
        """Take note of a packet, decoding until its stream has given something."""
        if packet.stream_index not in self._decoded and packet.decode():
            self._decoded.add(packet.stream_index)
        if not packet.size:  # the end of a stream
            return
        self._packets[packet.stream_index] = self.packets_of(packet.stream_index) + 1
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.seconds = max(self.seconds, end)

    def packets_of(self, stream_index: int) -> int:
        return self._packets.get(stream_index, 0)

    def has_decoded(self, stream: _Stream) -> bool:
        return stream.index in self._decoded

    def frames_of(self, film: VideoStream) -> int:
        """The pictures there are; what the film says of itself where not all were seen."""
        return self.packets_of(film.index) if self.is_whole else film.frames


def _take_apart(clip: InputContainer, streams: Sequence[_Stream]) -> _Seen:
    seen, give_up_at = _Seen(), time.monotonic() + _PATIENCE_SECONDS
    for packet in clip.demux(*streams):
        seen.add(packet)
        if time.monotonic() > give_up_at:
            return seen
    seen.is_whole = True
    return seen


def _refuse_incomplete(
    clip: InputContainer, streams: Sequence[_Stream], seen: _Seen, name: str
) -> None:
    """Make sure that as much is there as the container says.

    Raises:
        UnusableFile: it ends too early, or not even its beginning can be decoded.
    """
    if not all(seen.has_decoded(stream) for stream in streams):
        raise unusable(UnusableReason.UNDECODABLE, f"{name} has a stream without content.")
    if not seen.is_whole:
        return
    is_short = seen.seconds < 0.95 * (_declared_seconds(clip) or 0.0) - _SPARE_SECONDS
    if is_short or any(seen.packets_of(stream.index) < stream.frames for stream in streams):
        raise unusable(UnusableReason.TRUNCATED, f"{name} ends before it should.")


def _declared_seconds(clip: InputContainer) -> float | None:
    return clip.duration / av.time_base if clip.duration else None


def _tags(clip: InputContainer) -> dict[str, str]:
    """What the container says of itself, then its streams: Ogg keeps its tags there."""
    tags = dict(clip.metadata)
    for stream in clip.streams:
        tags = {**stream.metadata, **tags}
    return tags
