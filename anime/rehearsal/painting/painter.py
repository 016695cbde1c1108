"""Paints the placeholder for a prompt: an anime landscape with the request written below it.

The same scene gives the same pixels, in every process. A batch is a set of different takes on
one prompt; the frames of an animation are one take with its air, water, hair and clouds moving.
"""

import hashlib
from dataclasses import dataclass, replace

from PIL import Image

from anime.rehearsal.painting.canvas import Canvas
from anime.rehearsal.painting.caption import write_caption
from anime.rehearsal.painting.figure import paint_figure
from anime.rehearsal.painting.land import GROUND, paint_land
from anime.rehearsal.painting.sky import AIR, paint_particles, paint_sky

SMALLEST_CANVAS = 192  # pixels of the longer side; smaller pictures are painted larger and reduced
LARGEST_CANVAS = 1280  # larger pictures are painted smaller and enlarged


@dataclass(frozen=True)
class Scene:
    """What a sampler was asked for. Sizes in pixels; takes are counted from 0."""

    prompt: str
    seed: int
    width: int
    height: int
    take: int = 0
    takes: int = 1
    model: str = ""
    loras: tuple[str, ...] = ()
    sampler: str = ""
    steps: int = 20
    cfg: float = 7.0
    denoise: float = 1.0


def paint(
    scene: Scene, phase: float | None = None, under: Image.Image | None = None
) -> Image.Image:
    """The picture of a scene, over `under` as far as the scene's denoise leaves it visible.

    With a phase (0 ≤ phase < 1) it is the frame at that point of a loop, and always of take 0.
    """
    if phase is not None:
        scene = replace(scene, take=0)
    canvas = _start(scene, phase or 0.0)
    paint_sky(canvas)
    paint_land(canvas)
    paint_figure(canvas, (GROUND + 0.03) * canvas.height)
    if canvas.motif.weather in AIR:
        paint_particles(canvas, AIR[canvas.motif.weather])
    picture = canvas.image.resize((scene.width, scene.height), Image.Resampling.LANCZOS)
    if under is not None:
        base = under.convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)
        picture = Image.blend(base, picture, scene.denoise)
    write_caption(picture, scene.prompt or "(no prompt)", _facts(scene, phase))
    return picture


def _start(scene: Scene, phase: float) -> Canvas:
    """An empty canvas of the right shape that knows what is to be painted on it."""
    longest = max(scene.width, scene.height)
    scale = min(max(longest, SMALLEST_CANVAS), LARGEST_CANVAS) / longest
    size = max(8, round(scene.width * scale)), max(8, round(scene.height * scale))
    asked = f"{scene.prompt}|{scene.model}|{','.join(scene.loras)}|{scene.seed}|{scene.take}"
    key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
    return Canvas(size, scene.prompt, key, phase)


def _facts(scene: Scene, phase: float | None) -> str:
    facts = [f"seed {scene.seed}", f"{scene.width} x {scene.height}"]
    if phase is not None:
        facts.append(f"frame at {phase:.0%}")
    elif scene.takes > 1:
        facts.append(f"take {scene.take + 1}/{scene.takes}")
    facts += [scene.sampler, f"{scene.steps} steps", f"cfg {scene.cfg:g}"]
    return ", ".join(fact for fact in facts if fact)
