"""Small files of every kind, as the programs that make them write them."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

FPS, FRAMES, SIZE = 12, 18, (64, 48)
GRAPH = {
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "petals"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 4, "positive": ["6", 0]}},
}
TEXTS = {"prompt": json.dumps(GRAPH), "workflow": json.dumps({"nodes": []})}
PARAMETERS = "petals\nNegative prompt: rain\nSteps: 4, Sampler: Euler, Seed: 7, Size: 64x48"
FILMS = {
    "film.mp4": ("libx264", "aac"),
    "film.webm": ("libvpx-vp9", None),
    "film.mkv": ("libx264", "flac"),
    "film.mov": ("libx264", None),
}
SOUNDS = {
    "sound.flac": "flac",
    "sound.mp3": "libmp3lame",
    "sound.opus": "libopus",
    "sound.ogg": "libopus",
    "sound.wav": "pcm_s16le",
    "sound.m4a": "aac",
}
_QUIET = bytes(value & 0x3D for value in range(256))  # no NaN, whatever the samples are


def picture(shade: int = 0) -> Image.Image:
    """A picture that does not pack well."""
    return Image.effect_noise(SIZE, 90).convert("RGB").point(lambda value: (value + shade) % 256)


def draw(path: Path, *, frames: int = 1, texts: Mapping[str, str] = TEXTS) -> Path:
    """Save a picture or an animation, its texts as ComfyUI puts them into a file of that suffix."""
    info, exif = PngInfo(), Image.Exif()
    for distance, (key, text) in enumerate(texts.items()):
        info.add_text(key, text)
        exif[0x0110 - distance] = f"{key}:{text}"
    carriers: dict[str, dict[str, object]] = {
        ".png": {"pnginfo": info},
        ".webp": {"exif": exif},
        ".jpg": {"exif": exif},
    }
    rest = [picture(60 * number) for number in range(1, frames)]
    moving = {"save_all": True, "append_images": rest, "duration": 100} if rest else {}
    # What `save` takes differs from format to format.
    picture().save(path, **{**carriers.get(path.suffix, {}), **moving})  # type: ignore[arg-type]
    return path


def draw_with_comment(path: Path, comment: bytes) -> Path:
    """Save a picture with a user comment, where AUTOMATIC1111 puts its parameters."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    picture().save(path, exif=exif)
    return path


def film(path: Path, video: str, sound: str | None, texts: Mapping[str, str] = TEXTS) -> Path:
    """Save a film of one and a half seconds."""
    with av.open(str(path), "w", options=_options(path)) as clip:
        clip.metadata.update(texts)
        stream = clip.add_stream(video, rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        track = _track(clip, sound) if sound else None
        for number in range(FRAMES):
            frame = av.VideoFrame.from_image(picture(number))  # type: ignore[no-untyped-call]  # as PyAV has it
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
        if track:
            _play(clip, track)
    return path


def sound(path: Path, codec: str, texts: Mapping[str, str] = TEXTS) -> Path:
    """Save a sound of one and a half seconds."""
    with av.open(str(path), "w", options=_options(path)) as clip:
        clip.metadata.update(texts)
        _play(clip, _track(clip, codec))
    return path


def make(folder: Path, name: str) -> Path:
    """The film or sound of that name."""
    if name in FILMS:
        return film(folder / name, *FILMS[name])
    return sound(folder / name, SOUNDS[name])


def _options(path: Path) -> dict[str, str]:
    """What makes the MP4 family keep tags of any name, as ComfyUI has it."""
    is_of_family = path.suffix in {".mp4", ".mov", ".m4a"}
    return {"movflags": "use_metadata_tags"} if is_of_family else {}


def _track(clip: OutputContainer, codec: str) -> AudioStream:
    track = clip.add_stream(codec, rate=48_000, layout="mono")
    assert isinstance(track, AudioStream)
    return track


def _play(clip: OutputContainer, track: AudioStream) -> None:
    samples = track.codec_context.frame_size or 1024
    at = 0
    while at < 72_000:
        frame = av.AudioFrame(format=track.format.name, layout="mono", samples=samples)
        noise = picture(at % 251).tobytes().translate(_QUIET)
        plane = frame.planes[0]
        plane.update((noise * (plane.buffer_size // len(noise) + 1))[: plane.buffer_size])
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        clip.mux(track.encode(frame))
        at += samples
    clip.mux(track.encode(None))
