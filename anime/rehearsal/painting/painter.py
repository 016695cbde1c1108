"""Paints the placeholder for a prompt: an anime landscape with the request written below it.

The same scene gives the same pixels, in every process. A batch is a set of different takes on
one prompt; the frames of an animation are one take with its air, water, hair and clouds moving.
"""

import hashlib
from dataclasses import dataclass, replace

from PIL import Image

from anime.rehearsal.painting import air, figure, land, sky, town
from anime.rehearsal.painting.caption import write_caption
from anime.rehearsal.painting.palette import choose_palette
from anime.rehearsal.painting.sketch import Sketch, seeded_dice
from anime.rehearsal.painting.wording import Motif, Place, Weather, read_motif

SMALLEST_SHEET = 320  # pixels of the longer side; smaller pictures are painted larger and reduced
LARGEST_SHEET = 1280  # larger pictures are painted smaller and enlarged
GROUND = 0.8  # where a figure stands, as a fraction of the height


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
    sketch, motif = _start(scene, phase or 0.0)
    _paint_layers(sketch, motif)
    picture = sketch.canvas.resize((scene.width, scene.height), Image.Resampling.LANCZOS)
    if under is not None:
        base = under.convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)
        picture = Image.blend(base, picture, scene.denoise)
    write_caption(
        picture, scene.prompt or "(no prompt)", _facts(scene, phase), sketch.palette.horizon
    )
    return picture


def _start(scene: Scene, phase: float) -> tuple[Sketch, Motif]:
    """An empty sheet of the right shape, and what is to be painted on it."""
    longest = max(scene.width, scene.height)
    scale = min(max(longest, SMALLEST_SHEET), LARGEST_SHEET) / longest
    size = max(8, round(scene.width * scale)), max(8, round(scene.height * scale))
    asked = f"{scene.prompt}|{scene.model}|{','.join(scene.loras)}|{scene.seed}|{scene.take}"
    key = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
    dice = seeded_dice(key)
    motif = read_motif(scene.prompt, dice)
    horizon = 0.58 + 0.06 * dice.random()
    side, chance = dice.random(), dice.random()
    light_x = 0.16 + 0.2 * chance if side < 0.5 else 0.84 - 0.2 * chance
    light_at = (light_x, horizon * sky.light_height(motif.time, dice.random()))
    palette = choose_palette(motif.time, dice)
    return Sketch(Image.new("RGB", size), palette, key, phase, light_at, horizon), motif


def _paint_layers(sketch: Sketch, motif: Motif) -> None:
    """Everything, from the back to the front."""
    snowy = motif.weather is Weather.SNOW
    sky.paint_sky(sketch, motif.time)
    sky.paint_light(sketch, motif.time)
    sky.paint_clouds(sketch)
    if motif.place in (Place.CITY, Place.ROOFTOP):
        town.paint_skyline(sketch, motif.time)
    elif motif.place is Place.FOREST:
        land.paint_forest(sketch, snowy=snowy)
    elif motif.place is Place.SEA:
        land.paint_sea(sketch)
    else:
        land.paint_mountains(sketch, snowy=snowy)
    sketch.glow(sketch.light_at, sketch.unit * 0.9, sketch.palette.horizon, 0.22)
    if motif.place is Place.ROOFTOP:
        town.paint_rooftop(sketch, GROUND - 0.02)
    else:
        land.paint_meadow(sketch, GROUND, snowy=snowy)
    if motif.place is Place.CITY:
        town.paint_wires(sketch)
    tall = 0.5 * min(1.0, 1.15 * sketch.width / sketch.height)
    figure.paint_figure(sketch, motif.figure, motif.time, GROUND + 0.03, tall)
    air.paint_weather(sketch, motif.weather)


def _facts(scene: Scene, phase: float | None) -> str:
    facts = [f"seed {scene.seed}", f"{scene.width}×{scene.height}"]
    if phase is not None:
        facts.append(f"frame at {phase:.0%}")
    elif scene.takes > 1:
        facts.append(f"take {scene.take + 1}/{scene.takes}")
    facts += [scene.sampler, f"{scene.steps} steps", f"cfg {scene.cfg:g}"]
    return " · ".join(fact for fact in facts if fact)
