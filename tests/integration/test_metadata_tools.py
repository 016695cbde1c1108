"""What other tools write, whole and in real files, is read with the right values."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.metadata import LoraUse, Recipe, SamplerUse
from anime.cli.app import app
from tests.support.tool_files import (
    A1111,
    ANIMAGINE,
    ANIMAGINE_3,
    CIVITAI_A1111,
    CIVITAI_ASKED,
    DRAW_THINGS_XMP,
    DREAM,
    EASY_DIFFUSION,
    EASY_DIFFUSION_LABELLED,
    FOOOCUS,
    FOOOCUS_A1111,
    FORGE,
    HASH,
    INVOKEAI,
    INVOKEAI_2,
    MFLUX,
    MIDJOURNEY,
    MOCHI,
    MOCHI_XMP,
    NOVELAI_TEXTS,
    RAW_PROMPT,
    RUINED,
    SD_CPP,
    SD_CPP_XMP,
    SD_NEXT,
    SD_NEXT_2026,
    SD_SCRIPTS,
    SIMPLE,
    SWARMUI,
    TENSOR_ART,
    WANGP,
    captioned,
    commented,
    fooocus_exif,
    hiding,
    png,
    saved,
    utf_16,
)

SAID: dict[str, Any] = {
    "prompt": "red bicycle",
    "negative_prompt": "fog",
    "seed": "4711",
    "steps": 9,
    "cfg": 6.5,
    "model": "studio_a",
}
INKY = (LoraUse(name="inky", strength=0.7),)
SWARM = {
    "model": "OfficialStableDiffusion/studio_a",
    "model_hash": HASH,
    "models": ("OfficialStableDiffusion/studio_a", "studio_refiner"),
    "loras": INKY,
    "sampler": "euler",
    "scheduler": "normal",
    "samplers": (
        SamplerUse(node="base", seed="4711", steps=9, cfg=6.5, sampler="euler", scheduler="normal"),
        SamplerUse(node="refiner", steps=12),
    ),
}
FOCUS = {
    "model_hash": "ab12cd34ef",
    "models": ("studio_a", "studio_refiner"),
    "loras": INKY,
    "sampler": "euler",
}
FOCUS_A1111 = {**FOCUS, "prompt": RAW_PROMPT, "sampler": "Euler", "scheduler": "normal"}
EASY = {"loras": (LoraUse(name="pens\\inky", strength=0.7), LoraUse(name="it's", strength=0.25))}
SIMPLY = {**FOCUS, "scheduler": "normal"}
SIMPLE_TEXT = json.dumps(SIMPLE)
WEB_UI = {
    "prompt": "red bicycle <lora:inky:0.7>",
    "loras": INKY,
    "model_hash": "ab12cd34ef",
    "models": ("studio_a", "studio_refiner [7440042bbd]"),
    "samplers": (
        SamplerUse(node="base", seed="4711", steps=9, cfg=6.5, sampler="Euler", scheduler="Karras"),
        SamplerUse(node="hires", steps=6, sampler="DPM++ 2M", denoise=0.4),
    ),
}
INVOKE = {
    "model_hash": "blake3:ab12",
    "models": ("studio_a", "studio_refiner"),
    "loras": INKY,
    "samplers": (
        SamplerUse(node="base", seed="4711", steps=9, cfg=6.5, sampler="euler"),
        SamplerUse(node="refiner", steps=6, cfg=7.5, sampler="ddim"),
    ),
}
CHARACTERS = {
    "prompt": "red bicycle\ngirl, rider\nboy, sitting",
    "negative_prompt": "fog\nhat",
    "model": "NovelAI Diffusion V4.5 4BDE2A90",
    "sampler": "k_euler",
    "scheduler": "karras",
}
SWARM_TEXT, FOCUS_TEXT = json.dumps(SWARMUI, indent=2), json.dumps(FOOOCUS)
SD_NEXT_SAID: dict[str, Any] = {
    "sampler": "EulerDiscreteScheduler",
    "scheduler": "karras",
    "loras": (LoraUse(name="inky"), LoraUse(name="soft")),
    "samplers": (
        SamplerUse(
            node="base",
            seed="4711",
            steps=9,
            cfg=6.5,
            sampler="EulerDiscreteScheduler",
            scheduler="karras",
        ),
        SamplerUse(node="hires", steps=6, cfg=5, sampler="Euler a", denoise=0.4),
    ),
}
SD_CPP_SAID: dict[str, Any] = {
    "prompt": "red bicycle <lora:inky:0.7>",
    "sampler": "dpm++2m",
    "scheduler": "karras",
    "loras": INKY,
    "guidance": None,  # which it writes of models, too, that are given none
    "samplers": (
        SamplerUse(
            node="base", seed="4711", steps=9, cfg=6.5, sampler="dpm++2m", scheduler="karras"
        ),
        SamplerUse(node="hires", denoise=0.7),
    ),
}
MOCHI_SAID = {"sampler": "DPM-Solver++"}
Make = Callable[[Path], Path]


def in_png(name: str, text: str) -> Make:
    return lambda folder: png(folder / "a.png", {name: text})


def in_png_each(settings: dict[str, Any]) -> Make:
    texts = {name: str(value) for name, value in settings.items()}
    return lambda folder: png(folder / "a.png", texts)


def in_comment(suffix: str, comment: bytes) -> Make:
    return lambda folder: commented(folder / f"a.{suffix}", comment)


def in_focus(suffix: str, text: str, scheme: str) -> Make:
    return lambda folder: fooocus_exif(folder / f"a.{suffix}", text, scheme)


FILES: dict[str, tuple[str, dict[str, Any], Make]] = {
    "SwarmUI PNG": ("swarmui", SWARM, in_png("parameters", SWARM_TEXT)),
    **{
        f"SwarmUI {suffix}": ("swarmui", SWARM, in_comment(suffix, utf_16(SWARM_TEXT, "le")))
        for suffix in ("jpg", "webp")
    },
    "Fooocus PNG": (
        "fooocus",
        FOCUS,
        lambda folder: png(
            folder / "a.png", {"parameters": FOCUS_TEXT, "fooocus_scheme": "fooocus"}
        ),
    ),
    "Fooocus a1111 PNG": (
        "automatic1111",
        FOCUS_A1111,
        lambda folder: png(
            folder / "a.png", {"parameters": FOOOCUS_A1111, "fooocus_scheme": "a1111"}
        ),
    ),
    **{
        f"Fooocus {scheme} {suffix}": (source, said, in_focus(suffix, text, scheme))
        for suffix in ("jpg", "webp")
        for scheme, source, said, text in (
            ("fooocus", "fooocus", FOCUS, FOCUS_TEXT),
            ("a1111", "automatic1111", FOCUS_A1111, FOOOCUS_A1111),
        )
    },
    "AUTOMATIC1111 PNG": ("automatic1111", WEB_UI, in_png("parameters", A1111)),
    **{
        f"AUTOMATIC1111 {suffix} {order}": (
            "automatic1111",
            WEB_UI,
            in_comment(suffix, utf_16(A1111, order)),
        )
        for suffix in ("jpg", "webp", "avif")
        for order in ("le", "be")
    },
    "Forge PNG": (
        "automatic1111",
        {
            "guidance": 3.5,
            "samplers": (
                SamplerUse(
                    node="base", seed="4711", steps=9, cfg=6.5, sampler="Euler", scheduler="Simple"
                ),
                SamplerUse(node="hires", steps=6, cfg=1, denoise=0.7),
            ),
        },
        in_png("parameters", FORGE),
    ),
    "SD.Next PNG": (
        "automatic1111",
        {
            "samplers": (
                SamplerUse(node="base", seed="4711", steps=9, cfg=6.5, sampler="Euler"),
                SamplerUse(node="hires", steps=6, sampler="Euler a", denoise=0.4),
            )
        },
        in_png("parameters", SD_NEXT),
    ),
    "SD.Next JPEG": ("automatic1111", {}, in_comment("jpg", utf_16(SD_NEXT, "be"))),
    "SD.Next of 2026 PNG": ("automatic1111", SD_NEXT_SAID, in_png("parameters", SD_NEXT_2026)),
    "stable-diffusion.cpp PNG": ("automatic1111", SD_CPP_SAID, in_png("parameters", SD_CPP)),
    "stable-diffusion.cpp JPEG": (
        "automatic1111",
        SD_CPP_SAID,
        lambda folder: saved(folder / "a.jpg", comment=b"parameters\0" + SD_CPP.encode()),
    ),
    "stable-diffusion.cpp WEBP": (
        "automatic1111",
        SD_CPP_SAID,
        lambda folder: saved(folder / "a.webp", xmp=SD_CPP_XMP.encode()),
    ),
    "Mochi Diffusion PNG": ("mochidiffusion", MOCHI_SAID, in_png("XML:com.adobe.xmp", MOCHI_XMP)),
    "Mochi Diffusion JPEG": (
        "mochidiffusion",
        MOCHI_SAID,
        lambda folder: captioned(folder / "a.jpg", MOCHI),
    ),
    "Midjourney PNG": (
        "midjourney",
        {"steps": None, "cfg": None, "model": "v 7"},
        in_png("Description", MIDJOURNEY),
    ),
    "Midjourney JPEG": (
        "midjourney",
        {"steps": None, "cfg": None, "model": "v 7"},
        lambda folder: captioned(folder / "a.jpg", MIDJOURNEY),
    ),
    "mflux PNG": (
        "mflux",
        {"cfg": None, "guidance": None, "loras": INKY},
        in_comment("png", b"ASCII\0\0\0" + json.dumps(MFLUX).encode()),
    ),
    **{
        f"WanGP {name}": ("wangp", {"sampler": "unipc", "loras": INKY}, make)
        for name, make in (
            ("PNG", in_png("comment", json.dumps(WANGP))),
            ("JPEG", lambda folder: saved(folder / "a.jpg", comment=json.dumps(WANGP).encode())),
            ("WEBP", in_comment("webp", utf_16(json.dumps(WANGP), "le"))),
        )
    },
    "sd-scripts PNG": (
        "sdscripts",
        {"model": None, "sampler": "ddim", "width": 64},
        lambda folder: png(folder / "a.png", SD_SCRIPTS),
    ),
    "TensorArt PNG": (
        "tensorart",
        {"model_hash": "AB12CD34EF"},
        in_png("generation_data", json.dumps(TENSOR_ART) + "\0\0"),
    ),
    "Animagine 3 PNG": (
        "animagine",
        {"model_hash": "ab12cd34ef", "loras": INKY, "samplers": ()},
        in_png("parameters", json.dumps(ANIMAGINE_3)),
    ),
    "Animagine 4 PNG": (
        "animagine",
        {
            "model_hash": "ab12cd34ef",
            "samplers": (
                SamplerUse(node="base", seed="4711", steps=9, cfg=6.5, sampler="Euler a"),
                SamplerUse(node="hires", denoise=0.55),
            ),
        },
        in_png("parameters", json.dumps(ANIMAGINE)),
    ),
    "Civitai PNG": (
        "civitai",
        {"model": None, "sampler": "euler"},
        in_png("extraMetadata", json.dumps(CIVITAI_ASKED)),
    ),
    **{
        f"Civitai JPEG {order}": (
            "automatic1111",
            {"model": "studio_a v1", "loras": INKY},
            in_comment("jpg", utf_16(CIVITAI_A1111, order)),
        )
        for order in ("le", "be")
    },
    "InvokeAI 5 PNG": ("invokeai", INVOKE, in_png("invokeai_metadata", json.dumps(INVOKEAI))),
    "InvokeAI 2 PNG": (
        "invokeai",
        {"model_hash": "ab12cd34ef", "sampler": "k_euler"},
        lambda folder: png(
            folder / "a.png", {"Dream": DREAM, "sd-metadata": json.dumps(INVOKEAI_2)}
        ),
    ),
    "InvokeAI 2 PNG, rewritten": (
        "invokeai",
        {"model": None, "sampler": "k_euler"},
        in_png("Dream", DREAM),
    ),
    "NovelAI PNG": (
        "novelai",
        CHARACTERS,
        lambda folder: png(folder / "a.png", NOVELAI_TEXTS),
    ),
    "NovelAI PNG of an editor": (
        "novelai",
        CHARACTERS,
        lambda folder: png(folder / "a.png", {**NOVELAI_TEXTS, "Software": "Adobe Photoshop"}),
    ),
    "NovelAI WEBP": (
        "novelai",
        CHARACTERS,
        in_comment("webp", b"ASCII\0\0\0" + json.dumps(NOVELAI_TEXTS).encode()),
    ),
    "Draw Things PNG": (
        "drawthings",
        {
            "model": "studio_a_f16.ckpt",
            "models": ("studio_a_f16.ckpt", "studio_refiner_f16.ckpt"),
            "loras": (LoraUse(name="inky_lora_f16.ckpt", strength=0.7),),
        },
        in_png("XML:com.adobe.xmp", DRAW_THINGS_XMP),
    ),
    "SimpleSDXL PNG": ("fooocus", SIMPLY, in_png("Comment", SIMPLE_TEXT)),
    "SimpleSDXL WEBP": ("fooocus", SIMPLY, in_focus("webp", SIMPLE_TEXT, "simple")),
    **{
        f"Easy Diffusion PNG, {names}": ("easydiffusion", EASY, in_png_each(settings))
        for names, settings in (("named", EASY_DIFFUSION), ("labelled", EASY_DIFFUSION_LABELLED))
    },
    **{
        f"Easy Diffusion {suffix}": (
            "easydiffusion",
            EASY,
            in_comment(suffix, utf_16(json.dumps(settings), "be")),
        )
        for suffix, settings in (("jpg", EASY_DIFFUSION), ("webp", EASY_DIFFUSION_LABELLED))
    },
    "RuinedFooocus PNG": (
        "ruinedfooocus",
        {
            "model": "studio_a.safetensors",
            "model_hash": HASH,
            "loras": (LoraUse(name="inky.safetensors", strength=0.7),),
        },
        in_png("parameters", json.dumps(RUINED)),
    ),
}


def shown(recipe: Recipe, names: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in names}


@pytest.mark.parametrize("name", FILES)
def test_the_files_of_a_tool_are_read(tmp_path: Path, name: str) -> None:
    source, more, make = FILES[name]
    expected = {**SAID, "source": source, **more}
    assert shown(inspect_file(make(tmp_path)).recipe(), expected) == expected


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("channels", ["png", "rgb"])
@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("size", [(64, 500), (600, 50)])
def test_what_hides_in_pixels_is_read_beside_texts_that_say_nothing(
    tmp_path: Path, suffix: str, channels: Any, is_packed: bool, size: tuple[int, int]
) -> None:
    image = hiding(json.dumps(NOVELAI_TEXTS), channels, is_packed=is_packed, size=size)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        png(path, {"date:create": "2026-01-01T00:00:00", "Software": "ImageMagick"}, image=image)
    else:
        image.save(path, lossless=True, exact=True)
    recipe = inspect_file(path).recipe()
    assert shown(recipe, CHARACTERS) == CHARACTERS


def filtered(image: Image.Image, how: int) -> bytes:
    """A PNG whose rows are all filtered in that way."""
    (width, height), pixels, bands = image.size, image.tobytes(), len(image.getbands())
    above, lines = bytes(width * bands), b""
    for at in range(0, len(pixels), width * bands):
        row = pixels[at : at + width * bands]
        left = bytes(bands) + row[:-bands]
        corner = bytes(bands) + above[:-bands]
        guesses: list[Callable[[int, int, int], int]] = [
            lambda a, b, c: 0,
            lambda a, b, c: a,
            lambda a, b, c: b,
            lambda a, b, c: (a + b) // 2,
            lambda a, b, c: min((a, b, c), key=lambda near: abs(a + b - c - near)),
        ]
        guess = map(guesses[how], left, above, corner)
        lines += bytes([how, *((x - y) % 256 for x, y in zip(row, guess, strict=True))])
        above = row
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if bands == 4 else 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


@pytest.mark.parametrize("channels", ["png", "rgb"])
@pytest.mark.parametrize("how", range(5))
def test_what_hides_in_pixels_is_seen_through_any_filter(
    tmp_path: Path, how: int, channels: Any
) -> None:
    image = hiding(A1111, channels, is_packed=True, size=(40, 130))
    (tmp_path / "a.png").write_bytes(filtered(image, how))
    assert inspect_file(tmp_path / "a.png").texts == {"parameters": A1111}


def test_what_swarmui_hides_in_pixels_is_read(tmp_path: Path) -> None:
    image = hiding(SWARM_TEXT, "png", is_packed=True, size=(64, 200))
    recipe = inspect_file(png(tmp_path / "a.png", {}, image=image)).recipe()
    assert (recipe.source, recipe.model_hash) == ("swarmui", HASH)


def test_pixels_are_not_looked_into_if_a_text_tells_how_the_picture_was_made(
    tmp_path: Path,
) -> None:
    image = hiding(json.dumps(NOVELAI_TEXTS), "png", is_packed=True)
    path = png(tmp_path / "a.png", {"parameters": A1111}, image=image)
    assert inspect_file(path).recipe().source == "automatic1111"


def test_pixels_that_hide_nothing_are_left_alone(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA"):
        for filtering in ("noise", "flat"):
            image = (
                Image.effect_noise((200, 150), 60)
                if filtering == "noise"
                else Image.new("L", (9, 9))
            )
            assert inspect_file(png(tmp_path / "a.png", {}, image=image.convert(mode))).texts == {}


def test_a_prompt_that_begins_with_a_brace_is_a_prompt(tmp_path: Path) -> None:
    said = json.dumps({**FOOOCUS, "prompt": "{red|blue} bicycle"})
    recipe = inspect_file(fooocus_exif(tmp_path / "a.jpg", said, "fooocus")).recipe()
    assert (recipe.prompt, recipe.seed, recipe.source) == ("{red|blue} bicycle", "4711", "fooocus")


def test_a_command_says_how_little_a_file_says(tmp_path: Path) -> None:
    silent = png(tmp_path / "silent.png", {})
    odd = png(tmp_path / "odd.png", {"Comment": "taken at the harbour"})
    edited = png(tmp_path / "edited.png", {"workflow": '{"nodes": []}'})
    told = png(tmp_path / "told.png", {"parameters": A1111})
    files = [str(path) for path in (silent, odd, edited, told)]
    lines = CliRunner().invoke(app, ["metadata", *files]).stdout
    of_silent, of_odd, of_edited, of_told = lines.split(str(tmp_path))[1:]
    assert "It says nothing of how it was made." in of_silent
    assert "its texts are of no kind that is known; --raw prints them" in of_odd
    assert "only the editor's workflow" in of_edited
    assert "It " not in of_told
