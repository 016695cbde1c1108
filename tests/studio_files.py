"""An output folder as a studio of years leaves it: many kinds, from a seed always the same."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from uuid import UUID

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.core.png_metadata import FileStamp

EACH = 34  # files of every kind
FIRST_MADE = 1_764_600_000  # seconds since the epoch: 2 December 2025 in Tokyo, before dawn
PROJECT, PROJECT_SLUG = "Neon City", "neon-city"
PROJECT_ID = UUID("11111111-2222-4333-8444-555555555555")
_SIZE = (16, 12)
_SOUNDS = (("flac", "flac"), ("mp3", "libmp3lame"), ("wav", "pcm_s16le"))
_STILLS = (("jpg", "JPEG"), ("webp", "WEBP"))


@dataclass(frozen=True)
class Made:
    """A file of the studio and what is to become of it; `outcome` is empty where none sees it."""

    path: str
    kind: str
    sha256: str
    outcome: str = "organised"
    job_id: UUID | None = None
    project: str | None = None  # its slug
    prompt: str | None = None
    seed: str | None = None


class _Studio:
    """Makes one file after the other."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.made: list[Made] = []

    def add(self, path: str, kind: str, content: bytes, **told: object) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        moment = FIRST_MADE + 3600 * len(self.made)
        os.utime(target, (moment, moment))
        sha256 = hashlib.sha256(content).hexdigest()
        # What a file is told of is named by Made's own fields.
        self.made.append(Made(path, kind, sha256, **told))  # type: ignore[arg-type]

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def facts(self) -> tuple[str, str]:
        """A prompt and a seed."""
        words = ("fox", "rain", "雪の森", "rooftop", "lantern", "O'Hara", "train", "夜")
        return " ".join(self.random.choices(words, k=4)), str(self.random.getrandbits(64))

    def picture(self) -> Image.Image:
        width, height = _SIZE
        return Image.frombytes("RGB", _SIZE, self.random.randbytes(width * height * 3))


def make_studio(folder: Path, seed: int = 1) -> list[Made]:
    """What was made in the folder: every kind `EACH` times, and the sidecars beside them."""
    studio = _Studio(folder, seed)
    for number in range(EACH):
        for make in _KINDS:
            make(studio, number)
    _add_duplicates(studio)
    return studio.made


def _stamped(studio: _Studio, number: int) -> None:
    job_id, (prompt, seed) = studio.uuid(), studio.facts()
    stamp = FileStamp(
        job_id=job_id,
        prompt=prompt,
        seed=seed,
        workflow="txt2img",
        workflow_sha256="ab" * 32,
        project=PROJECT,
    )
    content = _png(studio, {"anime": stamp.model_dump_json(), "prompt": _graph(prompt, seed)})
    told = {"job_id": job_id, "project": PROJECT_SLUG, "prompt": prompt, "seed": seed}
    studio.add(f"ours/{number:03}.png", "stamped", content, **told)


def _of_comfyui(studio: _Studio, number: int) -> None:
    prompt, seed = studio.facts()
    content = _png(studio, {"prompt": _graph(prompt, seed), "workflow": '{"nodes": []}'})
    studio.add(f"ComfyUI_{number:05}_.png", "comfyui", content, prompt=prompt, seed=seed)


def _of_automatic1111(studio: _Studio, number: int) -> None:
    prompt, seed = studio.facts()
    said = f"{prompt}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Seed: {seed}"
    content = _png(studio, {"parameters": said})
    studio.add(f"webui/{number:05}.png", "automatic1111", content, prompt=prompt, seed=seed)


def _still(studio: _Studio, number: int) -> None:
    suffix, form = _STILLS[number % len(_STILLS)]
    prompt, seed = studio.facts()
    content = _saved(studio.picture(), form, exif=_exif(prompt, seed))
    studio.add(f"stills/{number}.{suffix}", "still", content, prompt=prompt, seed=seed)


def _animated_webp(studio: _Studio, number: int) -> None:
    prompt, seed = studio.facts()
    content = _animation(studio, "WEBP", exif=_exif(prompt, seed), lossless=True)
    studio.add(f"loops/{number}.webp", "webp", content, prompt=prompt, seed=seed)


def _gif(studio: _Studio, number: int) -> None:
    studio.add(f"loops/{number}.gif", "gif", _animation(studio, "GIF"))


def _apng(studio: _Studio, number: int) -> None:
    studio.add(f"loops/{number}.apng", "apng", _animation(studio, "PNG"))


def _film(studio: _Studio, number: int) -> None:
    prompt, seed = studio.facts()
    texts = {"prompt": _graph(prompt, seed)}
    studio.add(f"films/{number}.mp4", "film", _mp4(studio, texts), prompt=prompt, seed=seed)


def _sound(studio: _Studio, number: int) -> None:
    suffix, codec = _SOUNDS[number % len(_SOUNDS)]
    studio.add(f"sounds/{number}.{suffix}", "sound", _clip(studio, suffix, codec))


def _beside_a_sidecar(studio: _Studio, number: int) -> None:
    job_id, (prompt, seed) = studio.uuid(), studio.facts()
    told = {"job_id": job_id, "project": "rain-town", "prompt": prompt, "seed": seed}
    studio.add(f"old/{number}/final.png", "sidecar", _png(studio, {}), **told)
    said = {"job_id": str(job_id), "project_name": "Rain Town", "prompt": prompt, "seed": seed}
    (studio.folder / f"old/{number}/job_metadata.json").write_text(json.dumps(said))


def _named(studio: _Studio, number: int) -> None:
    name = f"{PROJECT_ID}_{number}.png" if number % 2 else f"neon_city_take_{number}.png"
    studio.add(f"inbox/{name}", "named", _png(studio, {}), project=PROJECT_SLUG)


def _of_a_folder(studio: _Studio, number: int) -> None:
    job_id = studio.uuid()
    path = f"jobs/{job_id}/1/anime_{job_id}_{number:05}_.png"
    studio.add(path, "foldered", _png(studio, {}), job_id=job_id)


def _nested(studio: _Studio, number: int) -> None:
    deep = "/".join(f"level {depth}" for depth in range(number % 9 + 1))
    studio.add(f"{deep}/ComfyUI_00001_ ({number}).png", "nested", _png(studio, {}))


def _unusable(studio: _Studio, number: int) -> None:
    whole = _png(studio, {})
    forged = b"\x89PNG\r\n\x1a\n" + studio.random.randbytes(60)
    content = (b"", whole[: len(whole) // 2], forged)[number % 3]
    studio.add(f"broken/{number}.png", "unusable", content, outcome="quarantined")


def _temporary(studio: _Studio, number: int) -> None:
    name = (f"{number}.png.tmp", f".{number}.png", f"{number}.txt")[number % 3]
    studio.add(f"unfinished/{name}", "temporary", _png(studio, {})[:40], outcome="")


_KINDS: tuple[Callable[[_Studio, int], None], ...] = (
    *(_stamped, _of_comfyui, _of_automatic1111, _still, _animated_webp, _gif, _apng, _film),
    *(_sound, _beside_a_sidecar, _named, _of_a_folder, _nested, _unusable, _temporary),
)


def _add_duplicates(studio: _Studio) -> None:
    """Second copies of pictures, in a folder that comes after all others."""
    first = [made for made in studio.made if made.kind == "comfyui"]
    for number, made in enumerate(first):
        content = (studio.folder / made.path).read_bytes()
        studio.add(f"zz copies/{number}.png", "duplicate", content, outcome="duplicate")


def _graph(prompt: str, seed: str) -> str:
    """A graph as ComfyUI writes it."""
    sampler = {"seed": int(seed), "steps": 4, "positive": ["6", 0], "negative": ["7", 0]}
    nodes = {
        "3": {"class_type": "KSampler", "inputs": sampler},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry"}},
    }
    return json.dumps(nodes)


def _png(studio: _Studio, texts: Mapping[str, str]) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    return _saved(studio.picture(), "PNG", pnginfo=info)


def _exif(prompt: str, seed: str) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{_graph(prompt, seed)}"
    return exif


def _animation(studio: _Studio, form: str, **more: object) -> bytes:
    first, *rest = (studio.picture() for _ in range(3))
    return _saved(first, form, save_all=True, append_images=rest, duration=80, **more)


def _saved(picture: Image.Image, form: str, **how: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **how)
    return stream.getvalue()


def _mp4(studio: _Studio, texts: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4", options={"movflags": "use_metadata_tags"}) as clip:
        clip.metadata.update(texts)
        # Without lookahead: frames so small were once, in some thousand runs, encoded otherwise.
        quick = {"threads": "1", "preset": "ultrafast", "tune": "zerolatency"}
        track = clip.add_stream("libx264", rate=12, options=quick)
        assert isinstance(track, VideoStream)
        (track.width, track.height), track.pix_fmt = _SIZE, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_image(studio.picture())  # type: ignore[no-untyped-call]  # as PyAV has it
            frame.pts, frame.time_base = number, Fraction(1, 12)
            clip.mux(track.encode(frame))
        clip.mux(track.encode(None))
    return stream.getvalue()


def _clip(studio: _Studio, suffix: str, codec: str) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=suffix) as clip:
        track = clip.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(track, AudioStream)
        for frame in _noise(studio, track.codec_context.frame_size or 1024, track.format.name):
            clip.mux(track.encode(frame))
        clip.mux(track.encode(None))
    return stream.getvalue()


def _noise(studio: _Studio, samples: int, form: str) -> Iterator[av.AudioFrame]:
    for number in range(4):
        frame = av.AudioFrame(format=form, layout="mono", samples=samples)
        quiet = bytes(
            value & 0x3D for value in studio.random.randbytes(frame.planes[0].buffer_size)
        )
        frame.planes[0].update(quiet)
        frame.sample_rate, frame.pts = 48_000, number * samples
        frame.time_base = Fraction(1, 48_000)
        yield frame
