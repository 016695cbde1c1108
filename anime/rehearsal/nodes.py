"""The node classes that the rehearsal server knows, with the limits ComfyUI 0.3.64 sets."""

from collections.abc import Iterable

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.node_types import NodeInput, NodeType

MAX_SIDE = 16_384  # pixels
MAX_SEED = 2**64 - 1
_SAMPLER_NAMES = """
euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms
dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m
dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde
dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep res_multistep_cfg_pp
res_multistep_ancestral res_multistep_ancestral_cfg_pp gradient_estimation
gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc uni_pc_bh2
"""
_SCHEDULER_NAMES = """
simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal
"""
SAMPLERS = tuple(_SAMPLER_NAMES.split())
SCHEDULERS = tuple(_SCHEDULER_NAMES.split())
RESIZE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
LATENT_RESIZE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "bislerp")
WEBP_EFFORTS = {"default": 4, "fastest": 0, "slowest": 6}


def node_catalogue(config: RehearsalConfig, input_files: Iterable[str] = ()) -> dict[str, NodeType]:
    """Every node class by name. `input_files` are the choices that LoadImage shows."""
    types = (
        *_loaders(config),
        *_conditioning(),
        *_latents(),
        _sampler(),
        *_vae(),
        *_images(input_files),
        _empty_image(),
        _image_scaler(),
        *_savers(),
    )
    return {node_type.name: node_type for node_type in types}


def _integer(name: str, default: int, minimum: int, maximum: int, step: int = 1) -> NodeInput:
    limits = {"default": default, "min": minimum, "max": maximum, "step": step}
    return NodeInput(name, "INT", limits)


def _number(name: str, default: float, minimum: float, maximum: float, step: float) -> NodeInput:
    limits = {"default": default, "min": minimum, "max": maximum, "step": step}
    return NodeInput(name, "FLOAT", limits)


def _size(default: int, minimum: int, step: int) -> tuple[NodeInput, NodeInput]:
    return (
        _integer("width", default, minimum, MAX_SIDE, step),
        _integer("height", default, minimum, MAX_SIDE, step),
    )


def _loaders(config: RehearsalConfig) -> tuple[NodeType, ...]:
    return (
        NodeType(
            "CheckpointLoaderSimple",
            (NodeInput("ckpt_name", config.checkpoints),),
            ("MODEL", "CLIP", "VAE"),
            category="loaders",
            display_name="Load Checkpoint",
        ),
        NodeType(
            "LoraLoader",
            (
                NodeInput("model", "MODEL"),
                NodeInput("clip", "CLIP"),
                NodeInput("lora_name", config.loras),
                _number("strength_model", 1.0, -100.0, 100.0, 0.01),
                _number("strength_clip", 1.0, -100.0, 100.0, 0.01),
            ),
            ("MODEL", "CLIP"),
            category="loaders",
            display_name="Load LoRA",
        ),
        NodeType(
            "VAELoader",
            (NodeInput("vae_name", config.vaes),),
            ("VAE",),
            category="loaders",
            display_name="Load VAE",
        ),
    )


def _conditioning() -> tuple[NodeType, ...]:
    text = NodeInput("text", "STRING", {"multiline": True, "dynamicPrompts": True})
    return (
        NodeType(
            "CLIPTextEncode",
            (text, NodeInput("clip", "CLIP")),
            ("CONDITIONING",),
            category="conditioning",
            display_name="CLIP Text Encode (Prompt)",
        ),
        NodeType(
            "CLIPSetLastLayer",
            (NodeInput("clip", "CLIP"), _integer("stop_at_clip_layer", -1, -24, -1)),
            ("CLIP",),
            category="conditioning",
            display_name="CLIP Set Last Layer",
        ),
    )


def _latents() -> tuple[NodeType, ...]:
    return (
        NodeType(
            "EmptyLatentImage",
            (*_size(512, 16, 8), _integer("batch_size", 1, 1, 4096)),
            ("LATENT",),
            category="latent",
            display_name="Empty Latent Image",
        ),
        NodeType(
            "LatentUpscaleBy",
            (
                NodeInput("samples", "LATENT"),
                NodeInput("upscale_method", LATENT_RESIZE_METHODS),
                _number("scale_by", 1.5, 0.01, 8.0, 0.01),
            ),
            ("LATENT",),
            category="latent",
            display_name="Upscale Latent By",
        ),
    )


def _vae() -> tuple[NodeType, ...]:
    return (
        NodeType(
            "VAEDecode",
            (NodeInput("samples", "LATENT"), NodeInput("vae", "VAE")),
            ("IMAGE",),
            category="latent",
            display_name="VAE Decode",
        ),
        NodeType(
            "VAEEncode",
            (NodeInput("pixels", "IMAGE"), NodeInput("vae", "VAE")),
            ("LATENT",),
            category="latent",
            display_name="VAE Encode",
        ),
    )


def _sampler() -> NodeType:
    seed = {"default": 0, "min": 0, "max": MAX_SEED, "control_after_generate": True}
    cfg = {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}
    return NodeType(
        "KSampler",
        (
            NodeInput("model", "MODEL"),
            NodeInput("seed", "INT", seed),
            NodeInput("steps", "INT", {"default": 20, "min": 1, "max": 10_000}),
            NodeInput("cfg", "FLOAT", cfg),
            NodeInput("sampler_name", SAMPLERS),
            NodeInput("scheduler", SCHEDULERS),
            NodeInput("positive", "CONDITIONING"),
            NodeInput("negative", "CONDITIONING"),
            NodeInput("latent_image", "LATENT"),
            _number("denoise", 1.0, 0.0, 1.0, 0.01),
        ),
        ("LATENT",),
        category="sampling",
        description="Draws a placeholder instead of denoising.",
    )


def _images(input_files: Iterable[str]) -> tuple[NodeType, ...]:
    return (
        NodeType(
            "LoadImage",
            (NodeInput("image", tuple(input_files), {"image_upload": True}),),
            ("IMAGE", "MASK"),
            display_name="Load Image",
            checks_files=True,
        ),
        NodeType(
            "ImageBatch",
            (NodeInput("image1", "IMAGE"), NodeInput("image2", "IMAGE")),
            ("IMAGE",),
            display_name="Batch Images",
        ),
        NodeType(
            "ImageInvert",
            (NodeInput("image", "IMAGE"),),
            ("IMAGE",),
            display_name="Invert Image",
        ),
    )


def _empty_image() -> NodeType:
    color = {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}
    return NodeType(
        "EmptyImage",
        (
            *_size(512, 1, 1),
            _integer("batch_size", 1, 1, 4096),
            NodeInput("color", "INT", color),
        ),
        ("IMAGE",),
    )


def _image_scaler() -> NodeType:
    return NodeType(
        "ImageScale",
        (
            NodeInput("image", "IMAGE"),
            NodeInput("upscale_method", RESIZE_METHODS),
            *_size(512, 0, 1),
            NodeInput("crop", ("disabled", "center")),
        ),
        ("IMAGE",),
        category="image/upscaling",
        display_name="Upscale Image",
    )


def _savers() -> tuple[NodeType, ...]:
    images = NodeInput("images", "IMAGE")
    prefix = NodeInput("filename_prefix", "STRING", {"default": "ComfyUI"})
    fps = _number("fps", 6.0, 0.01, 1000.0, 0.01)
    lossless = NodeInput("lossless", "BOOLEAN", {"default": True})
    webp = (lossless, _integer("quality", 80, 0, 100), NodeInput("method", tuple(WEBP_EFFORTS)))
    return (
        _saver("SaveImage", (images, prefix), display_name="Save Image"),
        _saver("PreviewImage", (images,), display_name="Preview Image"),
        _saver("SaveAnimatedWEBP", (images, prefix, fps, *webp)),
        _saver("SaveAnimatedPNG", (images, prefix, fps, _integer("compress_level", 4, 0, 9))),
    )


def _saver(name: str, inputs: tuple[NodeInput, ...], display_name: str = "") -> NodeType:
    animated = name.startswith("SaveAnimated")
    return NodeType(
        name,
        inputs,
        category="image/animation" if animated else "image",
        display_name=display_name,
        is_output=True,
        takes_graph=True,
    )
