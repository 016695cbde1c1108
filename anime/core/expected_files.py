"""Which files a graph saves, where that can be told from the graph alone."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Self

from anime.core.graphs import Graph, is_link

# Node classes of ComfyUI that save, and the suffix of their files: one for each picture of a
# batch, or one for all.
_PER_PICTURE = {"SaveImage": "png"}
_ONE_FOR_ALL = {
    "SaveAnimatedPNG": "png",
    "SaveAnimatedWEBP": "webp",
    "SaveWEBM": "webm",
    "SaveVideo": "mp4",
}
# Those that make as many pictures as their batch_size says, those that hand on as many as they get,
# by the input that takes them, and those that do so more than once.
_MAKERS = {"EmptyImage", "EmptyLatentImage", "EmptySD3LatentImage", "EmptyFlux2LatentImage"}
_HANDING_ON = {
    **dict.fromkeys(("SaveImage",), "images"),
    **dict.fromkeys(("KSampler", "KSamplerAdvanced"), "latent_image"),
    **dict.fromkeys(("SamplerCustom", "SamplerCustomAdvanced"), "latent_image"),
    **dict.fromkeys(("VAEDecode", "VAEDecodeTiled", "SetLatentNoiseMask"), "samples"),
    **dict.fromkeys(("LatentUpscale", "LatentUpscaleBy", "RepeatLatentBatch"), "samples"),
    **dict.fromkeys(("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint"), "pixels"),
    **dict.fromkeys(("ImageScale", "ImageScaleBy", "ImageScaleToTotalPixels"), "image"),
    **dict.fromkeys(("ImageUpscaleWithModel", "FluxKontextImageScale", "ImageInvert"), "image"),
    **dict.fromkeys(("ImageSharpen", "ImageBlur", "ImageCrop", "RepeatImageBatch"), "image"),
}
_REPEATING = {"RepeatLatentBatch", "RepeatImageBatch"}
_STILL = (".png", ".jpg", ".jpeg")  # LoadImage makes a picture of each frame of others


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file in ComfyUI's output folder, by the node that saves it."""

    node_id: str
    path: PurePosixPath  # what its name begins with
    number: int
    suffix: str
    is_animated: bool

    @property
    def subfolder(self) -> str:
        """Its folder."""
        return str(self.path.parent)

    @property
    def filename(self) -> str:
        """Its name."""
        return f"{self.path.name}_{self.number:05}_.{self.suffix}"

    @property
    def following(self) -> Self:
        """The file that the node would save next."""
        return replace(self, number=self.number + 1)


def expected_files(graph: Graph, prefix: str) -> tuple[ExpectedFile, ...]:
    """The files that the graph saves under a prefix of its own; empty if nobody can tell.

    ComfyUI numbers the files of a prefix from 1. That is told of one saving node of a known
    class, whose pictures come through nodes of which it is known how many they make.

    >>> graph = {
    ...     "8": {"class_type": "EmptyImage", "inputs": {"batch_size": 1}},
    ...     "9": {
    ...         "class_type": "SaveImage",
    ...         "inputs": {"filename_prefix": "jobs/7/a", "images": ["8", 0]},
    ...     },
    ... }
    >>> [each.filename for each in expected_files(graph, "jobs/7/a")]
    ['a_00001_.png']
    """
    saving = [id_ for id_, node in graph.items() if "filename_prefix" in node["inputs"]]
    if len(saving) != 1:
        return ()
    [node_id] = saving
    class_name = graph[node_id]["class_type"]
    suffix = _ONE_FOR_ALL.get(class_name) or _PER_PICTURE.get(class_name)
    if suffix is None:
        return ()
    is_animated = class_name.startswith("SaveAnimated")
    first = ExpectedFile(node_id, PurePosixPath(prefix), 1, suffix, is_animated)
    count = 1 if class_name in _ONE_FOR_ALL else _pictures_of(graph, node_id)
    return tuple(replace(first, number=number) for number in range(1, count + 1))


def _pictures_of(graph: Graph, node_id: str) -> int:
    """How many pictures the node hands on; 0 if that is not known."""
    count, seen = 1, set[str]()
    while node_id in graph and node_id not in seen:
        seen.add(node_id)
        class_name, inputs = graph[node_id]["class_type"], graph[node_id]["inputs"]
        if class_name in _MAKERS:
            return count * _number(inputs.get("batch_size"))
        if class_name == "LoadImage":
            return count * str(inputs.get("image")).lower().endswith(_STILL)
        if class_name in _REPEATING:
            count *= _number(inputs.get("amount"))
        link = inputs.get(_HANDING_ON.get(class_name, ""))
        node_id = link[0] if is_link(link) else ""
    return 0


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
