"""Writing films and sounds: pictures as H.264, VP9 or AV1, and a quiet tone for all that sounds."""

import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from importlib import import_module
from math import sin, tau
from pathlib import Path
from struct import pack
from typing import Any

from PIL import Image

from anime.rehearsal.values import Audio, Video

MOST_PICTURES = 24  # drawn for one film; each is shown for several of its frames if it is long
VIDEO_CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "crf": "26"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "36"}),
    "av1": ("libsvtav1", {"preset": "11", "crf": "45"}),
}
SOUND_CODECS = {"mp4": "aac", "mkv": "aac", "webm": "libopus"}
SOUND_FILE_CODECS = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus"}
EXACT = {"fflags": "+bitexact"}  # no random numbers in the file
SAMPLE_RATE = 24_000  # one that all these codecs take
TONE_HERTZ = 220
TONE_LEVEL = 1_000  # of 32,767


def save_video(video: Video, path: Path, codec: str, metadata: Mapping[str, str]) -> None:
    """Write a film; its sides are cut to even numbers, as its codecs want them."""
    av: Any = import_module("av")
    first = video.images.frames[0]
    width, height = max(2, first.width // 2 * 2), max(2, first.height // 2 * 2)
    name, speed = VIDEO_CODECS[codec]
    os.putenv("SVT_LOG", "1")  # else the AV1 encoder writes twenty lines for each film
    options = {"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}
    with av.open(path, "w", options=EXACT | options) as container:
        container.metadata.update(metadata)
        rate = Fraction(video.fps).limit_denominator(1_000)
        stream = container.add_stream(name, rate=rate, width=width, height=height, options=speed)
        stream.pix_fmt = "yuv420p"
        sound = video.audio and _add_sound(container, SOUND_CODECS[path.suffix[1:]])
        for picture in _pictures(video):
            fitted = picture.convert("RGB").crop((0, 0, width, height))
            container.mux(stream.encode(av.VideoFrame.from_image(fitted)))
        container.mux(stream.encode(None))
        if video.audio:
            _write_tone(container, sound, video.audio.seconds)


def _pictures(video: Video) -> Iterator[Image.Image]:
    frames = video.images.frames
    repeats = -(-len(frames) // MOST_PICTURES)
    for index in range(0, len(frames), repeats):
        picture = frames[index].draw(index / len(frames) if len(frames) > 1 else None)
        yield from [picture] * min(repeats, len(frames) - index)


def save_audio(audio: Audio, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a sound."""
    av: Any = import_module("av")
    with av.open(path, "w", options=EXACT) as container:
        container.metadata.update(metadata)
        stream = _add_sound(container, SOUND_FILE_CODECS[path.suffix[1:]])
        _write_tone(container, stream, audio.seconds)


def _add_sound(container: Any, codec: str) -> Any:  # of PyAV, which we load late
    """A stream of one channel, encoded as fast as the codec can."""
    fast = {"compression_level": "9"} if codec == "libmp3lame" else {}
    return container.add_stream(codec, rate=SAMPLE_RATE, layout="mono", options=fast)


def _write_tone(container: Any, stream: Any, seconds: float) -> None:  # of PyAV
    """Encode a tone second by second; at least one sample, since no sound is no file."""
    av: Any = import_module("av")
    left, position, tone = max(1, round(seconds * SAMPLE_RATE)), 0, _second_of_tone()
    while position < left:
        frame = av.AudioFrame("s16", "mono", min(SAMPLE_RATE, left - position))
        frame.sample_rate, frame.pts = SAMPLE_RATE, position
        frame.planes[0].update(tone[: frame.samples * len(tone) // SAMPLE_RATE])
        container.mux(stream.encode(frame))
        position += frame.samples
    container.mux(stream.encode(None))


@cache
def _second_of_tone() -> bytes:
    turns = (TONE_HERTZ * n / SAMPLE_RATE for n in range(SAMPLE_RATE))
    levels = (round(TONE_LEVEL * sin(tau * turn)) for turn in turns)
    return b"".join(pack("<h", level) for level in levels)
