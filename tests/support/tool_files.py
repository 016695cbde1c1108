"""What tools for making pictures write, whole and in the files that they write it into.

Each says the same: a red bicycle, fog unwanted, seed 4711, 9 steps, cfg 6.5, model studio_a.
"""

import gzip
import json
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

PROMPT, NEGATIVE, SEED = "red bicycle", "fog", 4711
RAW_PROMPT = "red bicycle,\nby a canal"
SIZE = (64, 48)
HASH = "ab12" * 16

SWARMUI: dict[str, Any] = {
    "sui_image_params": {
        "prompt": PROMPT,
        "negativeprompt": NEGATIVE,
        "model": "OfficialStableDiffusion/studio_a",
        "images": 1,
        "seed": SEED,
        "steps": 9,
        "cfgscale": 6.5,
        "aspectratio": "Custom",
        "width": 64,
        "height": 48,
        "sampler": "euler",
        "scheduler": "normal",
        "refinercontrolpercentage": 0.2,
        "refinermethod": "PostApply",
        "refinerupscale": 1.5,
        "refinersteps": 12,
        "refinermodel": "studio_refiner",
        "loras": ["inky"],
        "loraweights": ["0.7"],
        "lorasectionconfinement": ["0"],
        "automaticvae": True,
        "swarm_version": "0.9.7.4",
    },
    "sui_extra_data": {
        "date": "2026-02-01",
        "original_prompt": "red bicycle <lora:inky:0.7>",
        "prep_time": "0.01 sec",
        "generation_time": "2.72 sec",
    },
    "sui_models": [
        {"name": "inky.safetensors", "param": "loras", "hash": None},
        {
            "name": "OfficialStableDiffusion/studio_a.safetensors",
            "param": "model",
            "hash": f"0x{HASH}",
        },
    ],
}
MIDJOURNEY = (
    f"{PROMPT} --ar 4:3 --no {NEGATIVE} --stylize 750 --seed {SEED} --v 7 "
    "Job ID: 8323d5b0-1888-4fd7-a239-9d4bb8222ce3"
)
WANGP: dict[str, Any] = {
    "image_mode": 1,
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "resolution": "64x48",
    "batch_size": 1,
    "seed": SEED,
    "num_inference_steps": 9,
    "guidance_scale": 6.5,
    "flow_shift": 5,
    "sample_solver": "unipc",
    "activated_loras": ["inky"],
    "loras_multipliers": "0.7",
    "model_type": "t2v",
    "model_filename": "https://huggingface.co/somebody/wan/resolve/main/studio_a",
    "generation_time": 41,
    "creation_date": "2026-02-01T10:00:00",
    "type": "WanGP v10.70 by DeepBeepMeep - Text2video 14B",
    "settings_version": 2.49,
}
MFLUX: dict[str, Any] = {
    "mflux_version": "0.18.0",
    "model": "studio_a",
    "base_model": "None",
    "seed": SEED,
    "steps": 9,
    "guidance": 6.5,
    "height": 48,
    "width": 64,
    "precision": "mlx.core.bfloat16",
    "quantize": 8,
    "generation_time_seconds": 41.2,
    "created_at": "2026-02-01T10:00:00",
    "lora_paths": ["/Users/somebody/loras/inky"],
    "lora_scales": [0.7],
    "image_path": None,
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
}
FOOOCUS: dict[str, Any] = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "studio_a",
    "base_model_hash": "ab12cd34ef",
    "full_negative_prompt": [NEGATIVE, "worst quality"],
    "full_prompt": [f"cinematic still {PROMPT} . emotional, harmonious"],
    "guidance_scale": 6.5,
    "lora_combined_1": "inky : 0.7",
    "loras": [["inky", 0.7, "99aabbccdd"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": NEGATIVE,
    "performance": "Speed",
    "prompt": PROMPT,
    "prompt_expansion": "",
    "refiner_model": "studio_refiner",
    "refiner_model_hash": "00aa",
    "refiner_switch": 0.5,
    "resolution": "(64, 48)",
    "sampler": "euler",
    "scheduler": "normal",
    "seed": str(SEED),
    "sharpness": 2.0,
    "steps": 9,
    "styles": "['Fooocus V2', 'Fooocus Enhance']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}
FOOOCUS_A1111 = (
    f"cinematic still {PROMPT} . emotional, harmonious\n"
    f"Negative prompt: {NEGATIVE}, worst quality\n"
    f"Steps: 9, Sampler: Euler, Seed: {SEED}, Size: 64x48, CFG scale: 6.5, Sharpness: 2.0, "
    'ADM Guidance: "(1.5, 0.8, 0.3)", Model: studio_a, Model hash: ab12cd34ef, '
    "Performance: Speed, Scheduler: normal, VAE: Default (model), "
    f"Raw prompt: {json.dumps(RAW_PROMPT)}, Raw negative prompt: {NEGATIVE}, "
    "Refiner: studio_refiner, Refiner hash: 00aa, "
    'Lora hashes: "inky: 99aabbccdd", Lora weights: "inky: 0.7", Version: Fooocus v2.5.5'
)
A1111 = (
    f"{PROMPT} <lora:inky:0.7>\nNegative prompt: {NEGATIVE}\n"
    f"Steps: 9, Sampler: Euler, Schedule type: Karras, CFG scale: 6.5, Seed: {SEED}, "
    "Size: 64x48, Model hash: ab12cd34ef, Model: studio_a, VAE hash: 11aa, VAE: wide.safetensors, "
    "Denoising strength: 0.4, Clip skip: 2, Hires sampler: DPM++ 2M, Hires upscale: 2, "
    "Hires steps: 6, Hires upscaler: 4x-Sharp, Refiner: studio_refiner [7440042bbd], "
    'Refiner switch at: 0.8, Lora hashes: "inky: 99aabbccdd", Version: v1.10.1'
)
FORGE = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\n"
    f"Steps: 9, Sampler: Euler, Schedule type: Simple, CFG scale: 6.5, Distilled CFG Scale: 3.5, "
    f"Seed: {SEED}, Size: 64x48, Model hash: ab12cd34ef, Model: studio_a, Hires Module 1: Use same "
    "choices, Hires CFG Scale: 1, Hires upscale: 2, Hires steps: 6, Hires upscaler: Latent, "
    "Denoising strength: 0.7, Version: f2.0.1v1.10.1-previous-659, Module 1: ae, Module 2: clip_l"
)
SD_NEXT = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\n"
    f"Steps: 9, Seed: {SEED}, Sampler: Euler, CFG scale: 6.5, Size: 64x48, Parser: native, "
    "Model: studio_a, Model hash: ab12cd34ef, Backend: Diffusers, App: SD.Next, Version: 04a5071, "
    "Operations: txt2img; hires, Pipeline: StableDiffusionXLPipeline, Second pass: True, Hires "
    "force: False, Hires steps: 6, Hires upscaler: 4x-Sharp, Hires scale: 2.0, Hires size: "
    "128x96, Denoising strength: 0.4, Hires sampler: Euler a"
)
SD_NEXT_2026 = (  # the template of a picture is there as soon as it has styles
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\nTemplate: a bicycle,\nSteps: many\n"
    "Negative template: haze\n"
    f"Steps: 9, Size: 64x48, Scheduler: EulerDiscreteScheduler, Seed: {SEED}, CFG scale: 6.5, "
    "App: SD.Next, Version: 058a7f0, Pipeline: StableDiffusionXLPipeline, "
    "Operations: hires; txt2img; upscale, Model: studio_a, Model hash: ab12cd34ef, Refine: True, "
    "HiRes mode: 1, Hires upscaler: 4x-Sharp, Hires scale: 2.0, Hires size: 128x96, "
    "Hires force: True, Hires steps: 6, Hires strength: 0.4, Hires sampler: Euler a, "
    'Hires CFG scale: 5, Sampler sigma: karras, LoRA networks: "inky, soft"'
)
SD_CPP = (
    f"{PROMPT} <lora:inky:0.7>\nNegative prompt: {NEGATIVE}\n"
    "Steps: 9, CFG scale: 6.500000, SLG scale: 2.500000, Skip layers: [7, 8, 9, ], "
    "Skip layer start: 0.010000, Skip layer end: 0.200000, Guidance: 3.500000, Eta: 0.000000, "
    f"Seed: {SEED}, Size: 64x48, Model: , RNG: cuda, Sampler: dpm++2m karras, TE: clip_l.gguf, "
    "Unet: studio_a, VAE: ae.gguf, Hires upscale: Latent, Hires scale: 2.000000, "
    "Hires resize: 0x0, Hires steps: 0, Denoising strength: 0.700000, "
    "Version: stable-diffusion.cpp, SDCPP: "
    + json.dumps({"schema": "sdcpp.image.params/v1", "seed": SEED, "prompt": {"positive": "?"}})
)
SD_CPP_XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:sdcpp="https://github.com/leejet/stable-diffusion.cpp/ns/1.0/">
      <sdcpp:parameters>{escape(SD_CPP)}</sdcpp:parameters>
    </rdf:Description>
  </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
MOCHI = (
    f"Include in Image: {PROMPT}; Exclude from Image: {NEGATIVE}; Model: studio_a; Steps: 9; "
    f"Guidance Scale: 6.5; Seed: {SEED}; Size: 64x48; Scheduler: DPM-Solver++; "
    "ML Compute Unit: CPU & GPU; Generator: Mochi Diffusion 6.0"
)
MOCHI_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">{escape(MOCHI)}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""
SD_SCRIPTS = {
    "prompt": PROMPT,
    "seed": str(SEED),
    "sampler": "ddim",
    "steps": "9",
    "scale": "6.5",
    "negative-prompt": NEGATIVE,
    "original-height": "1024",
    "original-width": "1024",
}
CIVITAI_ASKED: dict[str, Any] = {  # beside a graph that only makes a picture larger
    "prompt": PROMPT,
    "negativePrompt": NEGATIVE,
    "steps": 9,
    "cfgScale": 6.5,
    "sampler": "euler",
    "workflowId": "img2img-upscale",
    "resources": [{"modelVersionId": 128078, "strength": 1}],
    "seed": SEED,
}
ANIMAGINE: dict[str, Any] = {
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "resolution": "64 x 48",
    "guidance_scale": 6.5,
    "num_inference_steps": 9,
    "style_preset": "(None)",
    "seed": SEED,
    "sampler": "Euler a",
    "Model": "studio_a",
    "Model hash": "ab12cd34ef",
    "use_upscaler": {
        "upscale_method": "nearest-exact",
        "upscaler_strength": 0.55,
        "upscale_by": 1.5,
        "new_resolution": "96 x 72",
    },
}
ANIMAGINE_3: dict[str, Any] = {
    **ANIMAGINE,
    "Model": {"Model": "studio_a", "Model hash": "ab12cd34ef"},
    "use_lora": {"selected_lora": "inky", "multiplier": 0.7},
    "use_upscaler": None,
}
TENSOR_ART: dict[str, Any] = {
    "prompt": PROMPT,
    "negativePrompt": NEGATIVE,
    "width": 64,
    "height": 48,
    "seed": str(SEED),
    "steps": 9,
    "cfgScale": 6.5,
    "clipSkip": 2,
    "baseModel": {"modelFileName": "studio_a", "hash": "AB12CD34EF"},
}
CIVITAI_A1111 = (
    f"{PROMPT}\nNegative prompt: {NEGATIVE}\n"
    f"Steps: 9, Sampler: Euler, CFG scale: 6.5, Seed: {SEED}, Size: 64x48, Clip skip: 2, "
    "Created Date: 2025-01-05T10:00:00.0000000Z, Civitai resources: "
    + json.dumps(
        [
            {
                "type": "checkpoint",
                "modelVersionId": 1,
                "modelName": "studio_a",
                "modelVersionName": "v1",
            },
            {"type": "lora", "weight": 0.7, "modelVersionId": 2, "modelName": "inky"},
        ]
    )
    + ", Civitai metadata: {}"
)
INVOKEAI: dict[str, Any] = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "width": 64,
    "height": 48,
    "seed": SEED,
    "rand_device": "cpu",
    "cfg_scale": 6.5,
    "cfg_rescale_multiplier": 0.0,
    "steps": 9,
    "scheduler": "euler",
    "seamless_x": False,
    "model": {
        "key": "0c2f",
        "hash": "blake3:ab12",
        "name": "studio_a",
        "base": "sdxl",
        "type": "main",
    },
    "loras": [{"model": {"key": "1", "name": "inky", "type": "lora"}, "weight": 0.7}],
    "positive_style_prompt": PROMPT,
    "refiner_model": {"key": "2", "hash": "blake3:00", "name": "studio_refiner", "type": "main"},
    "refiner_cfg_scale": 7.5,
    "refiner_steps": 6,
    "refiner_scheduler": "ddim",
    "refiner_start": 0.8,
    "app_version": "5.6.0",
}
INVOKEAI_2: dict[str, Any] = {
    "model": "stable diffusion",
    "model_weights": "studio_a",
    "model_hash": "ab12cd34ef",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": f"{PROMPT} [{NEGATIVE}]", "weight": 1.0}],
        "steps": 9,
        "cfg_scale": 6.5,
        "threshold": 0,
        "perlin": 0,
        "height": 48,
        "width": 64,
        "seed": SEED,
        "seamless": False,
        "hires_fix": False,
        "type": "txt2img",
        "postprocessing": None,
        "sampler": "k_euler",
        "variations": [],
    },
}
DREAM = f"{PROMPT} [{NEGATIVE}] -s 9 -S {SEED} -W 64 -H 48 -C 6.5 -A k_euler"
NOVELAI: dict[str, Any] = {
    "prompt": PROMPT,
    "steps": 9,
    "height": 48,
    "width": 64,
    "scale": 6.5,
    "uncond_scale": 0.0,
    "cfg_rescale": 0.0,
    "seed": SEED,
    "n_samples": 1,
    "noise_schedule": "karras",
    "legacy_v3_extend": False,
    "reference_information_extracted_multiple": [],
    "v4_prompt": {
        "caption": {
            "base_caption": PROMPT,
            "char_captions": [
                {"char_caption": "girl, rider", "centers": [{"x": 0.5, "y": 0.5}]},
                {"char_caption": "boy, sitting", "centers": [{"x": 0.5, "y": 0.5}]},
            ],
        },
        "use_coords": False,
        "use_order": True,
        "legacy_uc": False,
    },
    "v4_negative_prompt": {
        "caption": {
            "base_caption": NEGATIVE,
            "char_captions": [
                {"char_caption": "", "centers": [{"x": 0.5, "y": 0.5}]},
                {"char_caption": "hat", "centers": [{"x": 0.5, "y": 0.5}]},
            ],
        },
        "use_coords": False,
        "use_order": False,
        "legacy_uc": False,
    },
    "sampler": "k_euler",
    "controlnet_strength": 1.0,
    "controlnet_model": None,
    "dynamic_thresholding": False,
    "sm": False,
    "sm_dyn": False,
    "skip_cfg_above_sigma": None,
    "lora_unet_weights": None,
    "uc": NEGATIVE,
    "request_type": "PromptGenerateRequest",
    "signed_hash": "wOTyzWt95rON2w==",
}
NOVELAI_TEXTS = {
    "Title": "AI generated image",
    "Description": PROMPT,
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4.5 4BDE2A90",
    "Generation time": "3.2",
    "Comment": json.dumps(NOVELAI),
}
DRAW_THINGS: dict[str, Any] = {
    "c": PROMPT,
    "uc": NEGATIVE,
    "model": "studio_a_f16.ckpt",
    "sampler": "Euler A",
    "scale": 6.5,
    "seed": SEED,
    "seed_mode": "Scale Alike",
    "size": "64x48",
    "steps": 9,
    "strength": 1,
    "mask_blur": 5,
    "lora": [{"model": "inky_lora_f16.ckpt", "weight": 0.7}],
    "v2": {
        "model": "studio_a_f16.ckpt",
        "guidanceScale": 6.5,
        "sampler": 1,
        "steps": 9,
        "seed": SEED,
        "width": 64,
        "height": 48,
        "loras": [{"file": "inky_lora_f16.ckpt", "weight": 0.7}],
        "refinerModel": "studio_refiner_f16.ckpt",
        "refinerStart": 0.8,
    },
    "profile": {"timings": [], "duration": 12.5},
}
DRAW_THINGS_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"><exif:UserComment><rdf:Alt>
<rdf:li xml:lang="x-default">{json.dumps(DRAW_THINGS).replace("&", "&amp;")}</rdf:li></rdf:Alt>
</exif:UserComment><xmp:CreatorTool>Draw Things</xmp:CreatorTool><dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">{PROMPT}
-{NEGATIVE}
Steps: 9, Sampler: Euler A, Guidance Scale: 6.5, Seed: {SEED}, Size: 64x48, Model: studio_a_f16.ckpt
</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""
RUINED: dict[str, Any] = {
    "Prompt": PROMPT,
    "Negative": NEGATIVE,
    "steps": 9,
    "cfg": 6.5,
    "width": 64,
    "height": 48,
    "seed": SEED,
    "sampler_name": "euler",
    "scheduler": "normal",
    "base_model_name": "studio_a.safetensors",
    "base_model_hash": HASH,
    "loras": [[HASH, "0.7 - inky.safetensors"]],
    "start_step": 0,
    "denoise": None,
    "clip_skip": 1,
    "software": "RuinedFooocus",
}

SIMPLE: dict[str, Any] = {  # SimpleSDXL, which writes Fooocus' settings under what it calls them
    "ADM Guidance": "(1.5, 0.8, 0.3)",
    "Base Model": "studio_a",
    "Base Model Hash": "ab12cd34ef",
    "Fooocus V2 Expansion": "",
    "Full Negative Prompt": [NEGATIVE, "worst quality"],
    "Full Prompt": [f"cinematic still {PROMPT} . emotional, harmonious"],
    "Guidance Scale": 6.5,
    "LoRA 1": "inky : 0.7",
    "LoRAs": [["inky", 0.7, "99aabbccdd"]],
    "Metadata Scheme": "simple",
    "Negative Prompt": NEGATIVE,
    "Performance": "Speed",
    "Prompt": PROMPT,
    "Refiner Model": "studio_refiner",
    "Refiner Switch": 0.5,
    "Resolution": "(64, 48)",
    "Sampler": "euler",
    "Scheduler": "normal",
    "Seed": str(SEED),
    "Sharpness": 2.0,
    "Steps": 9,
    "Styles": "['Fooocus V2', 'Fooocus Enhance']",
    "VAE": "Default (model)",
    "Version": "Fooocus v2.5.5",
}
EASY_DIFFUSION: dict[str, Any] = {
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "seed": SEED,
    "use_stable_diffusion_model": "studio_a",
    "clip_skip": False,
    "use_vae_model": None,
    "sampler_name": "euler",
    "width": 64,
    "height": 48,
    "num_inference_steps": 9,
    "guidance_scale": 6.5,
    "use_lora_model": ["pens\\inky", "it's"],
    "lora_alpha": [0.7, 0.25],
    "tiling": None,
    "use_face_correction": None,
    "use_upscale": None,
}
EASY_DIFFUSION_LABELLED: dict[str, Any] = {  # where it writes text files, too
    "Prompt": PROMPT,
    "Negative Prompt": NEGATIVE,
    "Seed": SEED,
    "Stable Diffusion model": "studio_a",
    "Clip Skip": False,
    "VAE model": None,
    "Sampler": "euler",
    "Width": 64,
    "Height": 48,
    "Steps": 9,
    "Guidance Scale": 6.5,
    "LoRA model": "pens\\inky, it's",
    "LoRA Strength": "0.7, 0.25",
}


def picture() -> Image.Image:
    return Image.effect_noise(SIZE, 60).convert("RGB")


def png(path: Path, texts: Mapping[str, str], *, image: Image.Image | None = None) -> Path:
    """A PNG with these texts; what does not fit Latin-1 and XMP become iTXt."""
    info = PngInfo()
    for name, text in texts.items():
        if name == "XML:com.adobe.xmp":
            info.add_itxt(name, text)
        else:
            info.add_text(name, text)
    (image or picture()).save(path, pnginfo=info)
    return path


def commented(path: Path, comment: bytes) -> Path:
    """A picture with a user comment where the standard has it."""
    exif = Image.Exif()
    exif[ExifTags.Base.ResolutionUnit] = 2  # Pillow writes none with an empty first directory
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    picture().save(path, exif=exif)
    return path


def saved(path: Path, **how: Any) -> Path:
    """A picture that Pillow saves with these options."""
    picture().save(path, **how)
    return path


def captioned(path: Path, caption: str) -> Path:
    """A JPEG with a caption of IPTC, in UTF-8, as Photoshop's resources hold it."""
    records = ((1, 90, b"\x1b%G"), (2, 0, b"\0\2"), (2, 120, caption.encode()))
    iptc = b"".join(
        struct.pack(">BBBH", 0x1C, record, number, len(body)) + body
        for record, number, body in records
    )
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
    segment = b"Photoshop 3.0\0" + resource
    whole = saved(path).read_bytes()
    head = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    path.write_bytes(whole[:2] + head + whole[2:])
    return path


def utf_16(text: str, order: Literal["le", "be"]) -> bytes:
    """A user comment in that order of bytes: ImageSharp writes the one, piexif the other."""
    return b"UNICODE\0" + text.encode(f"utf-16-{order}")


def fooocus_exif(path: Path, text: str, scheme: str) -> Path:
    """A picture as Fooocus writes JPEG and WEBP: its tags lie in the first directory, as texts."""
    exif = Image.Exif()
    exif[ExifTags.Base.UserComment] = text
    exif[ExifTags.Base.Software] = "Fooocus v2.5.5"
    exif[ExifTags.Base.MakerNote] = scheme
    picture().save(path, exif=exif)
    return path


def hiding(
    text: str, channels: Literal["png", "rgb"], *, is_packed: bool, size: tuple[int, int] = (64, 96)
) -> Image.Image:
    """A picture with a text in the last bits of its alpha channel, or of its colours."""
    body = gzip.compress(text.encode()) if is_packed else text.encode()
    name = f"stealth_{channels}{'comp' if is_packed else 'info'}".encode()
    said = name + (len(body) * 8).to_bytes(4, "big") + body
    bits = "".join(f"{byte:08b}" for byte in said)
    depth, (width, height) = (1 if channels == "png" else 3), size
    assert len(bits) <= depth * width * height, "the picture is too small for the text"
    image = Image.new("RGBA" if channels == "png" else "RGB", size)
    noise = random.Random(1).randbytes(len(image.getbands()) * width * height)
    pixels = bytearray(value & 0xFE for value in noise)  # so that rows are filtered in many ways
    for number, bit in enumerate(bits):
        place, at = divmod(number, depth)
        column, row = divmod(place, height)
        first = 3 if channels == "png" else 0
        pixels[(row * width + column) * len(image.getbands()) + first + at] |= int(bit)
    return Image.frombytes(image.mode, size, bytes(pixels))
