"""The samplers: each step takes the configured time, and the latent decodes to paintings."""

import asyncio
from dataclasses import replace
from functools import partial

from PIL import Image

from anime.rehearsal.node_calls import NodeCall, NodeResult
from anime.rehearsal.painting.painter import Scene, paint
from anime.rehearsal.values import Conditioning, Frame, Latent, Model, Value, found, setting

SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
USUAL_STEPS = 8  # where sigmas are given without the number of steps


async def sample(call: NodeCall) -> NodeResult:
    """A latent that decodes to paintings, twice: samplers with two outputs say it both ways.

    Raises:
        KeyError, TypeError: it has no model, prompt or latent: validation accepts constants for
            links.
    """
    latent = call.input("latent_image", Latent)
    model = _input(call, "model", Model)
    await call.gpu.load(model.checkpoint)
    scene = _scene(call, latent, model)
    frames = tuple(_painting(scene, take, under) for take, under in enumerate(latent.frames))
    for step in range(1, scene.steps + 1):
        await asyncio.sleep(call.config.step_seconds)
        await call.on_step(step, scene.steps, frames[0])
    sampled = replace(latent, frames=frames, is_empty=False)
    return NodeResult((sampled, sampled))


def _input(call: NodeCall, name: str, kind: type[Value]) -> Value:
    """The input of that name, or what the sampler's guider was given."""
    value = None if name in call.inputs else found(call.inputs, kind, name)
    return call.input(name, kind) if value is None else value


def _scene(call: NodeCall, latent: Latent, model: Model) -> Scene:
    inputs = call.inputs
    steps = setting(inputs, "steps", default=USUAL_STEPS)
    first, last = inputs.get("start_at_step", 0), inputs.get("end_at_step", steps)
    names = setting(inputs, "sampler_name", default=""), setting(inputs, "scheduler", default="")
    return Scene(
        prompt=_input(call, "positive", Conditioning).text,
        seed=setting(inputs, "seed", "noise_seed", default=0),
        width=latent.width,
        height=latent.height,
        takes=len(latent.frames),
        model=model.checkpoint,
        loras=model.loras,
        sampler="/".join(name for name in names if name),
        steps=max(0, min(last, steps) - first),
        cfg=setting(inputs, "cfg", default=1.0),
        denoise=1.0 if latent.is_empty else setting(inputs, "denoise", default=1.0),
    )


def _painting(scene: Scene, take: int, under: Frame) -> Frame:
    scene = replace(scene, take=take)
    return Frame(scene.width, scene.height, partial(_paint_over, scene, under))


def _paint_over(scene: Scene, under: Frame, phase: float | None) -> Image.Image:
    return paint(scene, phase, under.draw(phase) if scene.denoise < 1 else None)
