"""What node classes do when they run: one function for each class, in `BEHAVIOURS`.

A class that is not there passes on what fits (`generic_node`).
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from PIL import Image

from anime.rehearsal.folders import annotated_path
from anime.rehearsal.generic_node import resized_latent
from anime.rehearsal.node_calls import Behaviour, NodeCall, NodeResult
from anime.rehearsal.number_nodes import MEGAPIXEL, calculate, choose_resolution
from anime.rehearsal.sampling import SAMPLERS, sample
from anime.rehearsal.saving_nodes import SAVERS
from anime.rehearsal.values import (
    Audio,
    Frame,
    Images,
    Latent,
    Model,
    Video,
    flat_frame,
    setting,
)

BLACK = (0, 0, 0)
MICROSECONDS = 1_000_000
SCALERS = (
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToTotalPixels",
    "ImageScaleToMaxDimension",
    "ResizeImagesByLongerEdge",
    "ResizeImageMaskNode",
)
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bislerp": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


async def load_checkpoint(call: NodeCall) -> NodeResult:
    """A model, its text encoder and its VAE; takes GPU memory."""
    model = Model(call.inputs["ckpt_name"])
    await call.gpu.load(model.checkpoint)
    return NodeResult((model, model, model))


async def load_lora(call: NodeCall) -> NodeResult:
    """The model and its text encoder with one more LoRA."""
    model, lora = call.input("model", Model), call.inputs["lora_name"]
    styled = replace(model, loras=(*model.loras, lora))
    return NodeResult((styled, styled))


async def upscale_latent(call: NodeCall) -> NodeResult:
    """The latent at another size."""
    latent, factor = call.input("samples", Latent), call.inputs["scale_by"]
    width, height = (round(side * factor / 8) * 8 for side in (latent.width, latent.height))
    method = RESAMPLING[call.inputs["upscale_method"]]
    resized = resized_latent(latent.frames, width, height, method)
    return NodeResult((replace(resized, is_empty=latent.is_empty),))


async def load_image(call: NodeCall) -> NodeResult:
    """The picture of an input file, and its mask."""
    path = annotated_path(call.config.folders, call.inputs["image"])
    picture = await asyncio.to_thread(_read_picture, path)
    frame = Frame(picture.width, picture.height, lambda _phase: picture)
    return NodeResult((Images((frame,)), Images((flat_frame(*picture.size, BLACK),))))


def _read_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


async def load_video(call: NodeCall) -> NodeResult:
    """A film of an input file: its first picture, as often as it has pictures."""
    path = annotated_path(call.config.folders, call.inputs["file"])
    return NodeResult((await asyncio.to_thread(_read_video, path),))


def _read_video(path: Path) -> Video:
    with import_module("av").open(path) as container:
        stream = container.streams.video[0]
        fps, count = float(stream.average_rate or 1), max(1, stream.frames)
        picture = next(container.decode(stream)).to_image()
        has_sound = bool(container.streams.audio)
    frame = Frame(picture.width, picture.height, lambda _phase: picture)
    return Video(Images((frame,) * count), fps, Audio(count / fps) if has_sound else None)


async def load_audio(call: NodeCall) -> NodeResult:
    """A sound as long as that of an input file."""
    path = annotated_path(call.config.folders, call.inputs["audio"])
    return NodeResult((Audio(await asyncio.to_thread(_length_of, path)),))


def _length_of(path: Path) -> float:
    with import_module("av").open(path) as container:
        return float((container.duration or MICROSECONDS) / MICROSECONDS)


async def make_image(call: NodeCall) -> NodeResult:
    """A batch of pictures of one colour."""
    color = call.inputs["color"]
    channels = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
    frame = flat_frame(call.inputs["width"], call.inputs["height"], channels)
    return NodeResult((Images((frame,) * call.inputs["batch_size"]),))


async def batch_images(call: NodeCall) -> NodeResult:
    """All batches one after the other, at the size of the first."""
    batches = [value for value in call.inputs.values() if isinstance(value, Images)]
    width, height = batches[0].frames[0].width, batches[0].frames[0].height
    fitted = (
        frame
        if (frame.width, frame.height) == (width, height)
        else frame.resized(width, height, Image.Resampling.BILINEAR)
        for batch in batches
        for frame in batch.frames
    )
    return NodeResult((Images(tuple(fitted)),))


async def invert_image(call: NodeCall) -> NodeResult:
    """The negatives."""
    frames = call.input("image", Images).frames
    return NodeResult((Images(tuple(frame.inverted() for frame in frames)),))


async def scale_image(call: NodeCall) -> NodeResult:
    """The pictures at another size, by whichever of its settings the class has."""
    pictures = call.input("input" if "input" in call.inputs else "image", Images)
    first = pictures.frames[0]
    width, height = (max(1, round(side)) for side in _new_size(call, first.width, first.height))
    method = setting(call.inputs, "upscale_method", "scale_method", default="bicubic")
    resized = (frame.resized(width, height, RESAMPLING[method]) for frame in pictures.frames)
    return NodeResult((Images(tuple(resized)),))


def _new_size(call: NodeCall, wide: int, high: int) -> tuple[float, float]:
    """The size in pixels that the settings mean; a side of 0 follows from the other."""
    given = {name.rpartition(".")[2]: value for name, value in call.inputs.items()}
    match = given.get("match")
    if isinstance(match, Images):
        return match.frames[0].width, match.frames[0].height
    if step := given.get("multiple"):
        return wide // step * step, high // step * step
    longest, shortest = max(wide, high), min(wide, high)
    factors: dict[str, Callable[[float], float]] = {
        "scale_by": lambda value: value,
        "multiplier": lambda value: value,
        "megapixels": lambda value: math.sqrt(value * MEGAPIXEL / (wide * high)),
        "largest_size": lambda value: value / longest,
        "longer_size": lambda value: value / longest,
        "longer_edge": lambda value: value / longest,
        "shorter_size": lambda value: value / shortest,
    }
    for name, factor in factors.items():
        if name in given:
            return wide * factor(given[name]), high * factor(given[name])
    width, height = given.get("width", 0), given.get("height", 0)
    return (
        width or (wide * height / high if height else wide),
        height or (high * width / wide if width else high),
    )


async def switch(call: NodeCall) -> NodeResult:
    """One of two values."""
    return NodeResult((call.inputs.get("on_true" if call.inputs["switch"] else "on_false"),))


async def join_texts(call: NodeCall) -> NodeResult:
    """Two texts with what is to stand between them."""
    first, second, between = (call.inputs[name] for name in ("string_a", "string_b", "delimiter"))
    return NodeResult((f"{first}{between}{second}",))


async def replace_text(call: NodeCall) -> NodeResult:
    """A text in which one text stands for another."""
    text, old, new = (str(call.inputs[name]) for name in ("string", "find", "replace"))
    return NodeResult((text.replace(old, new),))


BEHAVIOURS: dict[str, Behaviour] = {
    "CheckpointLoaderSimple": load_checkpoint,
    "LoraLoader": load_lora,
    "LoraLoaderModelOnly": load_lora,
    **dict.fromkeys(SAMPLERS, sample),
    "LatentUpscaleBy": upscale_latent,
    "LoadImage": load_image,
    "EmptyImage": make_image,
    "ImageBatch": batch_images,
    "ImageInvert": invert_image,
    **dict.fromkeys(SCALERS, scale_image),
    "BatchImagesNode": batch_images,
    "ComfySwitchNode": switch,
    "ComfyMathExpression": calculate,
    "ResolutionSelector": choose_resolution,
    "StringConcatenate": join_texts,
    "StringReplace": replace_text,
    "LoadVideo": load_video,
    "LoadAudio": load_audio,
    **SAVERS,
}
