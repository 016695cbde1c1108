"""The node classes that a profile has: each is read from its definition when it is asked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from mimetypes import guess_type

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.definitions import definitions
from anime.rehearsal.node_types import JsonObject, NodeInput, NodeType, read_inputs

# The folder of models that an input's choices are in, by input, or by class and input.
MODEL_FOLDERS = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "text_encoder": "text_encoders",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "audio_encoder_name": "audio_encoders",
    "bg_removal_name": "background_removal",
    "existing_lora": "loras",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "photomaker_model_name": "photomaker",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "FrameInterpolationModelLoader.model_name": "frame_interpolation",
    "LatentUpscaleModelLoader.model_name": "latent_upscale_models",
    "LoadDA3Model.model_name": "geometry_estimation",
    "LoadMediaPipeFaceLandmarker.model_name": "detection",
    "LoadMoGeModel.model_name": "geometry_estimation",
    "ModelPatchLoader.name": "model_patches",
    "OpticalFlowLoader.model_name": "optical_flow",
    "UpscaleModelLoader.model_name": "upscale_models",
}
# What the profile 0.3.64 has, for a picture, an animation, a film or a sound of the plain kind.
CLASSES_OF_0_3_64 = (
    "CheckpointLoaderSimple",
    "LoraLoader",
    "VAELoader",
    "CLIPTextEncode",
    "CLIPSetLastLayer",
    "EmptyLatentImage",
    "LatentUpscaleBy",
    "KSampler",
    "VAEDecode",
    "VAEEncode",
    "LoadImage",
    "ImageBatch",
    "ImageInvert",
    "EmptyImage",
    "ImageScale",
    "SaveImage",
    "PreviewImage",
    "SaveAnimatedWEBP",
    "SaveAnimatedPNG",
    "SaveWEBM",
    "CreateVideo",
    "SaveVideo",
    "EmptyAudio",
    "SaveAudio",
)
# Choices that depend on the packages and the card of a server.
MACHINE_CHOICES = {"ModelAttentionBackend.attention": ("comfy kitchen attention",)}
SINCE_0_33 = frozenset({"is_input_list", "has_intermediate_output", "output_matchtypes"})
SAMPLERS_SINCE_0_33 = frozenset({"exp_heun_2_x0", "exp_heun_2_x0_sde"})
CHOICES_OF_0_3_64 = {"format": ("auto", "mp4"), "codec": ("auto", "h264")}  # of SaveVideo


def _model_folder(class_name: str, input_name: str) -> str | None:
    return MODEL_FOLDERS.get(f"{class_name}.{input_name}") or MODEL_FOLDERS.get(input_name)


def _kind_of(name: str) -> str:
    return guess_type(name, strict=False)[0] or ""


def models_named_in(graph: JsonObject) -> set[str]:
    """The models that a graph loads, as FOLDER/NAME: what a server needs to have to run it."""
    return {
        f"{folder}/{value}"
        for node in graph.values()
        for name, value in node["inputs"].items()
        if isinstance(value, str) and (folder := _model_folder(node["class_type"], name))
    }


def node_catalogue(
    config: RehearsalConfig, input_files: Iterable[str] = ()
) -> Mapping[str, NodeType]:
    """Every node class by name. `input_files` are the choices that LoadImage and its like show."""
    return NodeCatalogue(config, input_files)


class NodeCatalogue(Mapping[str, NodeType]):
    """The classes of a server; reads the definition of each once."""

    def __init__(self, config: RehearsalConfig, input_files: Iterable[str] = ()) -> None:
        self._config = config
        self._input_files = tuple(input_files)
        self._read: dict[str, NodeType] = {}

    def __getitem__(self, name: str) -> NodeType:
        if name not in self._read:
            is_old = self._config.profile is Profile.V0_3_64
            if is_old and name not in CLASSES_OF_0_3_64:
                raise KeyError(name)
            node_type = self._defined(name, definitions()[name])
            self._read[name] = _as_in_0_3_64(node_type) if is_old else node_type
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        is_old = self._config.profile is Profile.V0_3_64
        return iter(CLASSES_OF_0_3_64 if is_old else definitions())

    def __len__(self) -> int:
        return sum(1 for _name in self)

    def _defined(self, name: str, entry: JsonObject) -> NodeType:
        return NodeType(
            name,
            tuple(self._with_files(name, wanted) for wanted in read_inputs(entry["input"])),
            tuple(entry["output"]),
            is_output=entry.get("output_node", False),
            hidden=entry["input"].get("hidden", {}),
            shown={
                "is_input_list": False,
                "has_intermediate_output": False,
                **{key: value for key, value in entry.items() if key != "input"},
            },
        )

    def _with_files(self, name: str, wanted: NodeInput) -> NodeInput:
        """The input with the choices that a server finds on its machine."""
        if found := MACHINE_CHOICES.get(f"{name}.{wanted.name}"):
            return wanted.with_choices((*(wanted.choices or ()), *found))
        if wanted.media and "remote" not in wanted.options:  # those the editor asks for itself
            kinds = ("audio/", "video/") if wanted.media == "audio" else f"{wanted.media}/"
            files = self._input_files
            return wanted.with_choices(name for name in files if _kind_of(name).startswith(kinds))
        folder = _model_folder(name, wanted.name)
        if folder is None or wanted.choices is None:
            return wanted
        own = () if self._config.profile is Profile.V0_3_64 else wanted.choices
        return wanted.with_choices((*self._config.model_names(folder), *own))


def _as_in_0_3_64(node_type: NodeType) -> NodeType:
    """The class before 0.33: nothing that saves passes anything on, no input is dynamic."""
    inputs = tuple(_input_in_0_3_64(node_type.name, wanted) for wanted in node_type.inputs)
    shown = {key: value for key, value in node_type.shown.items() if key not in SINCE_0_33}
    if not node_type.is_output:
        return replace(node_type, inputs=inputs, shown=shown)
    shown |= {"output": [], "output_is_list": [], "output_name": []}
    return replace(node_type, inputs=inputs, outputs=(), shown=shown)


def _input_in_0_3_64(name: str, wanted: NodeInput) -> NodeInput:
    if name == "SaveVideo" and wanted.name in CHOICES_OF_0_3_64:
        return NodeInput(wanted.name, CHOICES_OF_0_3_64[wanted.name])
    if name == "KSampler" and wanted.name == "sampler_name":
        known = (each for each in wanted.choices or () if each not in SAMPLERS_SINCE_0_33)
        return wanted.with_choices(known)
    return wanted
