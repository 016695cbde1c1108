"""The nodes that save files. Pictures are drawn here, as stills or as frames of an animation.

Since ComfyUI 0.33 most of them also pass on what they save.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from struct import pack
from uuid import uuid4

from PIL import Image

from anime.rehearsal.config import Profile
from anime.rehearsal.generic_node import pass_on
from anime.rehearsal.node_calls import Behaviour, NodeCall, NodeResult
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.recording import save_audio, save_video
from anime.rehearsal.saving import (
    Destination,
    make_destination,
    save_apng,
    save_stills,
    save_webp,
)
from anime.rehearsal.values import Audio, Images, Video

WEBP_EFFORTS = {"default": 4, "fastest": 0, "slowest": 6}
PREVIEW_NAME = "ComfyUI_temp_rehearsal"
MESH_PREVIEWS = {  # how the names of their files begin
    "Preview3DAdvanced": "preview3d_advanced",
    "PreviewGaussianSplat": "preview_splat",
    "PreviewPointCloud": "preview_pointcloud",
}
PLAIN_NAMES = frozenset(  # classes that write `x_00001.flac` and not `x_00001_.flac`
    {
        *("SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced", "PreviewAudio"),
        *("SaveImageAdvanced", "SaveText"),
        *("Save3DAdvanced", "SaveGaussianSplat", "SavePointCloud"),
    }
)


Save = Callable[[NodeCall], JsonObject]


def _in_thread(save: Save) -> Behaviour:
    """The behaviour of a node that saves and passes on what it was given."""

    @wraps(save)
    async def run(call: NodeCall) -> NodeResult:
        ui = await asyncio.to_thread(save, call)
        return NodeResult((call.inputs.get(call.node_type.inputs[0].name),), ui)

    return run


def _destination(call: NodeCall, size: tuple[int, int] = (0, 0)) -> Destination:
    root = call.config.folders["output"]
    return _ended(call, make_destination(root, call.inputs["filename_prefix"], size))


def _ended(call: NodeCall, destination: Destination) -> Destination:
    is_plain = call.node_type.name in PLAIN_NAMES and call.config.profile is Profile.V0_33
    return replace(destination, end="") if is_plain else destination


def _images(call: NodeCall) -> tuple[Images, Destination]:
    images = call.input("images", Images)
    first = images.frames[0]
    return images, _destination(call, (first.width, first.height))


@_in_thread
def save_images(call: NodeCall) -> JsonObject:
    """A PNG for each picture, in the output folder."""
    images, destination = _images(call)
    return {"images": _stills(call, images, destination)}


@_in_thread
def preview_images(call: NodeCall) -> JsonObject:
    """A PNG for each picture, in the temp folder."""
    return {"images": _stills(call, call.input("images", Images), _preview_destination(call))}


@_in_thread
def preview_mask(call: NodeCall) -> JsonObject:
    """A PNG for each mask, in the temp folder."""
    return {"images": _previews(call, call.input("mask", Images)), "animated": [False]}


@_in_thread
def compare_images(call: NodeCall) -> JsonObject:
    """PNGs of both batches, in the temp folder."""
    sides = {"a_images": "image_a", "b_images": "image_b"}
    return {
        key: _previews(call, call.input(name, Images))
        for key, name in sides.items()
        if name in call.inputs
    }


def _previews(call: NodeCall, images: Images) -> list[JsonObject]:
    """PNGs in the temp folder; newer classes write no graph into them."""
    bare = replace(call, metadata=replace(call.metadata, is_written=False))
    return _stills(bare, images, _preview_destination(call))


def _preview_destination(call: NodeCall) -> Destination:
    return _ended(call, make_destination(call.config.folders["temp"], PREVIEW_NAME, (0, 0)))


async def show_picture(call: NodeCall) -> NodeResult:
    """What any node passes on; its first picture is shown in the middle of a graph."""
    result = await pass_on(call)
    first = result.values[0]
    if not isinstance(first, Images):
        return result
    files = await asyncio.to_thread(_previews, call, first)
    return replace(result, ui={"images": files, "animated": [False]})


def _stills(call: NodeCall, images: Images, destination: Destination) -> list[JsonObject]:
    return save_stills((frame.draw(None) for frame in images.frames), destination, call.metadata)


@_in_thread
def save_animated_webp(call: NodeCall) -> JsonObject:
    """One animated WEBP in the output folder."""
    images, destination = _images(call)
    file = save_webp(
        _animation(images),
        destination,
        call.metadata,
        fps=call.inputs["fps"],
        lossless=call.inputs["lossless"],
        quality=call.inputs["quality"],
        effort=WEBP_EFFORTS[call.inputs["method"]],
    )
    return _animated(call, file, images)


@_in_thread
def save_animated_png(call: NodeCall) -> JsonObject:
    """One animated PNG in the output folder."""
    images, destination = _images(call)
    file = save_apng(
        _animation(images),
        destination,
        call.metadata,
        fps=call.inputs["fps"],
        compress_level=call.inputs["compress_level"],
    )
    return _animated(call, file, images)


def _animation(images: Images) -> list[Image.Image]:
    """The batch drawn as the frames of one loop."""
    frames = images.frames
    return [frame.draw(index / len(frames)) for index, frame in enumerate(frames)]


def _animated(call: NodeCall, file: JsonObject, images: Images) -> JsonObject:
    """What history shows; ComfyUI 0.3.64 calls a single picture animated, too."""
    is_animated = len(images.frames) > 1 or call.config.profile is Profile.V0_3_64
    return {"images": [file], "animated": [is_animated]}


@_in_thread
def save_film(call: NodeCall) -> JsonObject:
    """A film in the container and the codec that are asked for: by default MP4 with H.264."""
    container, codec = (call.inputs.get(name, "auto") for name in ("format", "format.codec"))
    container = "mp4" if container == "auto" else container
    if codec == "auto":
        codec = "av1" if container == "webm" else "h264"
    return _film(call, call.input("video", Video), container, codec)


@_in_thread
def save_webm(call: NodeCall) -> JsonObject:
    """A film of pictures in a WEBM."""
    video = Video(call.input("images", Images), call.inputs["fps"])
    return _film(call, video, "webm", call.inputs["codec"])


def _film(call: NodeCall, video: Video, container: str, codec: str) -> JsonObject:
    first = video.images.frames[0]
    destination = _destination(call, (first.width, first.height))
    path = destination.path(0, container)
    save_video(video, path, codec, call.metadata.texts())
    return {"images": [destination.describe(path)], "animated": [True]}


@_in_thread
def save_sound(call: NodeCall) -> JsonObject:
    """A sound in the format that the class or its input names."""
    formats = {"SaveAudioMP3": "mp3", "SaveAudioOpus": "opus"}
    extension = formats.get(call.node_type.name) or call.inputs.get("format", "flac")
    return {"audio": [_sound(call, _destination(call), extension)]}


def _sound(call: NodeCall, destination: Destination, extension: str) -> JsonObject:
    path = destination.path(0, extension)
    save_audio(call.input("audio", Audio), path, call.metadata.texts())
    return destination.describe(path)


@_in_thread
def preview_sound(call: NodeCall) -> JsonObject:
    """A FLAC in the temp folder."""
    return {"audio": [_sound(call, _preview_destination(call), "flac")]}


@_in_thread
def save_latent(call: NodeCall) -> JsonObject:
    """A latent without any numbers in it."""
    return {"latents": [_write(call, "latent", pack("<Q", 2) + b"{}")]}


@_in_thread
def save_mesh(call: NodeCall) -> JsonObject:
    """A glTF file without any shape in it."""
    return {"3d": [_write(call, "glb", _empty_mesh())]}


@_in_thread
def save_named_mesh(call: NodeCall) -> JsonObject:
    """The same, of which the history only has the path."""
    file = _write(call, "glb", _empty_mesh())
    return {"result": [str(Path(file["subfolder"], file["filename"])), None, []]}


@_in_thread
def preview_mesh(call: NodeCall) -> JsonObject:
    """The same in the temp folder."""
    name = f"{MESH_PREVIEWS[call.node_type.name]}_{uuid4().hex}.glb"
    (call.config.folders["temp"] / name).write_bytes(_empty_mesh())
    return {"result": [name, None, []]}


def _empty_mesh() -> bytes:
    scene = json.dumps({"asset": {"version": "2.0", "generator": "rehearsal"}}).encode()
    scene += b" " * (-len(scene) % 4)
    chunk = pack("<I4s", len(scene), b"JSON") + scene
    return pack("<4sII", b"glTF", 2, 12 + len(chunk)) + chunk


@_in_thread
def save_text(call: NodeCall) -> JsonObject:
    """A text file, which the history shows as well."""
    text = str(call.inputs["text"])
    return {"text": [text], "files": [_write(call, call.inputs["format"], text.encode())]}


@_in_thread
def save_drawing(call: NodeCall) -> JsonObject:
    """An empty SVG."""
    return {"images": [_write(call, "svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')]}


def _write(call: NodeCall, extension: str, content: bytes) -> JsonObject:
    destination = _destination(call)
    path: Path = destination.path(0, extension)
    path.write_bytes(content)
    return destination.describe(path)


@_in_thread
def show_text(call: NodeCall) -> JsonObject:
    """A value as text, which only history shows."""
    return {"text": [str(call.inputs.get("source"))]}


SAVERS: dict[str, Behaviour] = {
    "SaveImage": save_images,
    "SaveImageAdvanced": save_images,
    "PreviewImage": preview_images,
    "MaskPreview": preview_mask,
    "ImageCompare": compare_images,
    "SaveAnimatedWEBP": save_animated_webp,
    "SaveAnimatedPNG": save_animated_png,
    "SaveVideo": save_film,
    "SaveWEBM": save_webm,
    "SaveAudio": save_sound,
    "SaveAudioMP3": save_sound,
    "SaveAudioOpus": save_sound,
    "SaveAudioAdvanced": save_sound,
    "PreviewAudio": preview_sound,
    "SaveLatent": save_latent,
    **dict.fromkeys(("ImageCropV2", "GLSLShader", "Painter", "ImageCompositor"), show_picture),
    "SaveGLB": save_mesh,
    **dict.fromkeys(("Save3DAdvanced", "SaveGaussianSplat", "SavePointCloud"), save_named_mesh),
    **dict.fromkeys(MESH_PREVIEWS, preview_mesh),
    "SaveText": save_text,
    "SaveSVGNode": save_drawing,
    "PreviewAny": show_text,
}
