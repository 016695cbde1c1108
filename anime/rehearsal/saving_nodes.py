"""The nodes that save files. Pictures are drawn here, as stills or as frames of an animation."""

import asyncio

from PIL import Image

from anime.rehearsal.node_calls import NodeCall, NodeResult
from anime.rehearsal.nodes import WEBP_EFFORTS
from anime.rehearsal.saving import (
    Destination,
    make_destination,
    save_apng,
    save_stills,
    save_webp,
)
from anime.rehearsal.values import Images

PREVIEW_NAME = "ComfyUI_temp_rehearsal"


async def save_images(call: NodeCall) -> NodeResult:
    """A PNG for each picture, in the output folder."""
    return await asyncio.to_thread(_save_stills, call, "output", call.inputs["filename_prefix"])


async def preview_images(call: NodeCall) -> NodeResult:
    """A PNG for each picture, in the temp folder."""
    return await asyncio.to_thread(_save_stills, call, "temp", PREVIEW_NAME)


def _save_stills(call: NodeCall, folder: str, prefix: str) -> NodeResult:
    destination = _destination(call, folder, prefix)
    pictures = (frame.draw(None) for frame in call.input("images", Images).frames)
    return NodeResult(ui={"images": save_stills(pictures, destination, call.metadata)})


async def save_animated_webp(call: NodeCall) -> NodeResult:
    """One animated WEBP in the output folder."""
    return await asyncio.to_thread(_save_webp, call)


def _save_webp(call: NodeCall) -> NodeResult:
    destination = _destination(call, "output", call.inputs["filename_prefix"])
    file = save_webp(
        _animation(call),
        destination,
        call.metadata,
        fps=call.inputs["fps"],
        lossless=call.inputs["lossless"],
        quality=call.inputs["quality"],
        effort=WEBP_EFFORTS[call.inputs["method"]],
    )
    return NodeResult(ui={"images": [file], "animated": [True]})


async def save_animated_png(call: NodeCall) -> NodeResult:
    """One animated PNG in the output folder."""
    return await asyncio.to_thread(_save_apng, call)


def _save_apng(call: NodeCall) -> NodeResult:
    destination = _destination(call, "output", call.inputs["filename_prefix"])
    file = save_apng(
        _animation(call),
        destination,
        call.metadata,
        fps=call.inputs["fps"],
        compress_level=call.inputs["compress_level"],
    )
    return NodeResult(ui={"images": [file], "animated": [True]})


def _destination(call: NodeCall, folder: str, prefix: str) -> Destination:
    first = call.input("images", Images).frames[0]
    return make_destination(call.config.folders[folder], prefix, (first.width, first.height))


def _animation(call: NodeCall) -> list[Image.Image]:
    """The batch drawn as the frames of one loop."""
    frames = call.input("images", Images).frames
    return [frame.draw(index / len(frames)) for index, frame in enumerate(frames)]
