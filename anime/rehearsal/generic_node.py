"""What a node does that has no behaviour of its own: it passes on something of the right type."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from anime.rehearsal.node_calls import NodeCall, NodeResult
from anime.rehearsal.node_types import MATCH_TYPE, NodeInput, NodeType
from anime.rehearsal.values import (
    Audio,
    Conditioning,
    Frame,
    Images,
    Latent,
    Model,
    Opaque,
    Video,
    flat_frame,
    found,
    setting,
)

UNSAMPLED = (127, 127, 127)  # what an empty latent decodes to
USUAL_SIDE = 512  # pixels, where a node names no size
USUAL_FPS = 24.0
LATENT_CELL = 8  # pixels of a picture that one cell of a latent stands for
LENGTHS = ("length", "num_frames", "video_frames", "frames_number")  # in frames
MOST_FRAMES = 1024  # of one latent
NUMBERS: dict[str, Callable[[Any], object]] = {"INT": int, "FLOAT": float, "BOOLEAN": bool}
USUAL_NUMBERS: dict[str, float] = {"width": USUAL_SIDE, "height": USUAL_SIDE, "fps": USUAL_FPS}


async def pass_on(call: NodeCall) -> NodeResult:
    """For each output an input of its name or type, else what can be made of the inputs."""
    outputs = call.node_type.outputs
    return NodeResult(tuple(_value(call, slot, kind) for slot, kind in enumerate(outputs)))


def _value(call: NodeCall, slot: int, kind: str) -> object:
    """An input of the output's name and type, else the first of its type; the second output of a
    type takes the second such input.
    """
    given = [
        wanted
        for wanted in call.node_type.inputs_for(call.inputs)
        if call.inputs.get(wanted.name) is not None and _feeds(call.node_type, slot, wanted)
    ]
    if not given:
        return MAKERS.get(kind, _make_opaque)(call, slot)
    earlier = call.node_type.outputs[:slot].count(kind)
    named = (each for each in given if each.name == call.node_type.output_names[slot])
    chosen = next(named, given[min(earlier, len(given) - 1)])
    return _converted(kind, call.inputs[chosen.name])


def _feeds(node_type: NodeType, slot: int, wanted: NodeInput) -> bool:
    """Whether an output may pass that input on."""
    kind = node_type.outputs[slot]
    if kind != MATCH_TYPE:
        return kind in wanted.type_name.split(",")
    templates = node_type.shown.get("output_matchtypes") or ()
    template = wanted.options.get("template", {}).get("template_id")
    return wanted.kind == MATCH_TYPE and template in templates[slot : slot + 1]


def _converted(kind: str, value: object) -> object:
    """The value; a number as the kind of number that the output gives."""
    is_number = isinstance(value, bool | int | float)
    return NUMBERS[kind](value) if is_number and kind in NUMBERS else value


def empty_latent(width: int, height: int, count: int) -> Latent:
    """An empty batch, its sides cut to whole cells of a latent."""
    width, height = (max(1, side // LATENT_CELL) * LATENT_CELL for side in (width, height))
    frames = (flat_frame(width, height, UNSAMPLED),) * count
    return Latent(width, height, frames, is_empty=True)


def _make_latent(call: NodeCall, _slot: int) -> Latent:
    """Of the size that the node names, else that of its pictures; with all frames of a film."""
    pictures = found(call.inputs, Images)
    first = pictures.frames[0] if pictures else flat_frame(USUAL_SIDE, USUAL_SIDE, UNSAMPLED)
    if pictures and "width" not in call.inputs:
        return resized_latent(pictures.frames, first.width, first.height)
    width = setting(call.inputs, "width", default=first.width)
    height = setting(call.inputs, "height", default=first.height)
    length = setting(call.inputs, *LENGTHS, default=1)
    count = max(1, min(length * call.inputs.get("batch_size", 1), MOST_FRAMES))
    sound = found(call.inputs, Audio)
    seconds = call.inputs.get("seconds", sound.seconds if sound else None)
    return replace(empty_latent(width, height, count), seconds=seconds)


def resized_latent(
    frames: Sequence[Frame],
    width: int,
    height: int,
    method: Image.Resampling = Image.Resampling.BICUBIC,
) -> Latent:
    """The latent of pictures, their sides cut to whole cells of a latent."""
    empty = empty_latent(width, height, 1)
    resized = tuple(frame.resized(empty.width, empty.height, method) for frame in frames)
    return Latent(empty.width, empty.height, resized)


def _make_images(call: NodeCall, _slot: int) -> Images:
    """The pictures of a latent, a film or other pictures; else a flat one."""
    if pictures := found(call.inputs, Images):
        return pictures
    if latent := found(call.inputs, Latent):
        return Images(latent.frames)
    if video := found(call.inputs, Video):
        return video.images
    width = setting(call.inputs, "width", default=USUAL_SIDE)
    height = setting(call.inputs, "height", default=USUAL_SIDE)
    return Images((flat_frame(max(1, width), max(1, height), UNSAMPLED),))


def _make_model(call: NodeCall, _slot: int) -> Model:
    names = (value for value in call.inputs.values() if isinstance(value, str))
    return Model(next(names, ""))


def _make_conditioning(call: NodeCall, _slot: int) -> Conditioning:
    texts = (value for value in call.inputs.values() if isinstance(value, str))
    return Conditioning(max(texts, key=len, default=""))


def _make_video(call: NodeCall, slot: int) -> Video:
    fps = float(call.inputs.get("fps") or USUAL_FPS)
    return Video(_make_images(call, slot), fps, found(call.inputs, Audio))


def _make_audio(call: NodeCall, _slot: int) -> Audio:
    """The sound of a film or a latent, else one of the length that the node names."""
    video, latent = found(call.inputs, Video), found(call.inputs, Latent)
    if video and video.audio:
        return video.audio
    if latent:
        return Audio(latent.seconds or len(latent.frames) / USUAL_FPS)
    return Audio(float(call.inputs.get("duration") or call.inputs.get("seconds") or 1))


def _make_number(call: NodeCall, slot: int) -> float:
    """What the node's video or picture says of itself under that name; else a usual number."""
    name = call.node_type.output_names[slot]
    video, pictures = found(call.inputs, Video), found(call.inputs, Images)
    known = dict(USUAL_NUMBERS)
    if video:
        known["fps"] = video.fps
    if pictures:
        first = pictures.frames[0]
        known |= {"width": first.width, "height": first.height, "batch_size": len(pictures.frames)}
    number = known.get(name, 0)
    return int(number) if call.node_type.outputs[slot] == "INT" else float(number)


def _make_opaque(call: NodeCall, slot: int) -> Opaque:
    return Opaque(call.node_type.outputs[slot], call.inputs)


MAKERS: dict[str, Callable[[NodeCall, int], object]] = {
    "IMAGE": _make_images,
    "MASK": _make_images,
    "LATENT": _make_latent,
    "MODEL": _make_model,
    "CLIP": _make_model,
    "VAE": _make_model,
    "CONDITIONING": _make_conditioning,
    "VIDEO": _make_video,
    "AUDIO": _make_audio,
    "INT": _make_number,
    "FLOAT": _make_number,
    "STRING": lambda _call, _slot: "",
    "BOOLEAN": lambda _call, _slot: False,
}
