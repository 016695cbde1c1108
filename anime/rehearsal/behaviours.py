"""What each node class does when it runs: one function for each class, in `BEHAVIOURS`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from anime.rehearsal import saving_nodes
from anime.rehearsal.folders import annotated_path
from anime.rehearsal.node_calls import Behaviour, NodeCall, NodeResult
from anime.rehearsal.painting.painter import Scene, paint
from anime.rehearsal.values import Conditioning, Frame, Images, Latent, Model, flat_frame

UNSAMPLED = (127, 127, 127)  # what an empty latent decodes to
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


async def load_vae(call: NodeCall) -> NodeResult:
    """A VAE of its own."""
    return NodeResult((Model(call.inputs["vae_name"]),))


async def encode_text(call: NodeCall) -> NodeResult:
    """The prompt as conditioning."""
    return NodeResult((Conditioning(call.inputs["text"]),))


async def set_last_layer(call: NodeCall) -> NodeResult:
    """The text encoder as it is: a placeholder has no layers."""
    return NodeResult((call.inputs["clip"],))


async def make_latent(call: NodeCall) -> NodeResult:
    """An empty batch of the given size, its sides cut to multiples of 8 as latents are."""
    width, height = (call.inputs[side] // 8 * 8 for side in ("width", "height"))
    frames = (flat_frame(width, height, UNSAMPLED),) * call.inputs["batch_size"]
    return NodeResult((Latent(width, height, frames, is_empty=True),))


async def sample(call: NodeCall) -> NodeResult:
    """A latent that decodes to paintings; each step takes the configured time."""
    latent = call.input("latent_image", Latent)
    await call.gpu.load(call.input("model", Model).checkpoint)
    frames = tuple(_painting(call, latent, take, under) for take, under in enumerate(latent.frames))
    for step in range(1, call.inputs["steps"] + 1):
        await asyncio.sleep(call.config.step_seconds)
        await call.on_step(step, call.inputs["steps"], frames[0])
    return NodeResult((Latent(latent.width, latent.height, frames),))


def _painting(call: NodeCall, latent: Latent, take: int, under: Frame) -> Frame:
    model = call.input("model", Model)
    scene = Scene(
        prompt=call.input("positive", Conditioning).text,
        seed=call.inputs["seed"],
        width=latent.width,
        height=latent.height,
        take=take,
        takes=len(latent.frames),
        model=model.checkpoint,
        loras=model.loras,
        sampler=f"{call.inputs['sampler_name']}/{call.inputs['scheduler']}",
        steps=call.inputs["steps"],
        cfg=call.inputs["cfg"],
        denoise=1.0 if latent.is_empty else call.inputs["denoise"],
    )
    return Frame(latent.width, latent.height, partial(_paint_over, scene, under))


def _paint_over(scene: Scene, under: Frame, phase: float | None) -> Image.Image:
    return paint(scene, phase, under.draw(phase) if scene.denoise < 1 else None)


async def decode(call: NodeCall) -> NodeResult:
    """The pictures of a latent."""
    return NodeResult((Images(call.input("samples", Latent).frames),))


async def encode(call: NodeCall) -> NodeResult:
    """The latent of pictures, their sides cut to multiples of 8."""
    frames = call.input("pixels", Images).frames
    width, height = (max(8, side // 8 * 8) for side in (frames[0].width, frames[0].height))
    return NodeResult((_resized_latent(frames, width, height, Image.Resampling.BICUBIC),))


async def upscale_latent(call: NodeCall) -> NodeResult:
    """The latent at another size."""
    latent, factor = call.input("samples", Latent), call.inputs["scale_by"]
    width, height = (max(8, round(side * factor / 8) * 8) for side in (latent.width, latent.height))
    method = RESAMPLING[call.inputs["upscale_method"]]
    resized = _resized_latent(latent.frames, width, height, method)
    return NodeResult((replace(resized, is_empty=latent.is_empty),))


def _resized_latent(
    frames: Sequence[Frame], width: int, height: int, method: Image.Resampling
) -> Latent:
    return Latent(width, height, tuple(frame.resized(width, height, method) for frame in frames))


async def load_image(call: NodeCall) -> NodeResult:
    """The picture of an input file, and its mask."""
    path = annotated_path(call.config.folders, call.inputs["image"])
    picture = await asyncio.to_thread(_read_picture, path)
    frame = Frame(picture.width, picture.height, lambda _phase: picture)
    return NodeResult((Images((frame,)), None))


def _read_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


async def make_image(call: NodeCall) -> NodeResult:
    """A batch of pictures of one colour."""
    color = call.inputs["color"]
    channels = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
    frame = flat_frame(call.inputs["width"], call.inputs["height"], channels)
    return NodeResult((Images((frame,) * call.inputs["batch_size"]),))


async def batch_images(call: NodeCall) -> NodeResult:
    """Both batches one after the other, at the size of the first."""
    first, second = call.input("image1", Images), call.input("image2", Images)
    width, height = first.frames[0].width, first.frames[0].height
    fitted = (
        frame
        if (frame.width, frame.height) == (width, height)
        else frame.resized(width, height, Image.Resampling.BILINEAR)
        for frame in second.frames
    )
    return NodeResult((Images((*first.frames, *fitted)),))


async def invert_image(call: NodeCall) -> NodeResult:
    """The negatives."""
    frames = call.input("image", Images).frames
    return NodeResult((Images(tuple(frame.inverted() for frame in frames)),))


async def scale_image(call: NodeCall) -> NodeResult:
    """The pictures at another size; a side of 0 follows from the other."""
    frames, method = call.input("image", Images).frames, call.inputs["upscale_method"]
    wide, high = frames[0].width, frames[0].height
    width, height = call.inputs["width"], call.inputs["height"]
    width, height = (
        width or max(1, round(wide * height / high)) if height else width or wide,
        height or max(1, round(high * width / wide)) if width else height or high,
    )
    resized = (frame.resized(width, height, RESAMPLING[method]) for frame in frames)
    return NodeResult((Images(tuple(resized)),))


BEHAVIOURS: dict[str, Behaviour] = {
    "CheckpointLoaderSimple": load_checkpoint,
    "LoraLoader": load_lora,
    "VAELoader": load_vae,
    "CLIPTextEncode": encode_text,
    "CLIPSetLastLayer": set_last_layer,
    "EmptyLatentImage": make_latent,
    "KSampler": sample,
    "VAEDecode": decode,
    "VAEEncode": encode,
    "LatentUpscaleBy": upscale_latent,
    "LoadImage": load_image,
    "EmptyImage": make_image,
    "ImageBatch": batch_images,
    "ImageInvert": invert_image,
    "ImageScale": scale_image,
    "SaveImage": saving_nodes.save_images,
    "PreviewImage": saving_nodes.preview_images,
    "SaveAnimatedWEBP": saving_nodes.save_animated_webp,
    "SaveAnimatedPNG": saving_nodes.save_animated_png,
}
