"""Which files a graph saves, where that can be told from the graph alone."""

from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath

from anime.core.graphs import Graph

# Node classes of ComfyUI that save, and the suffix of their files: one for each picture of a
# batch, or one for all.
_PER_PICTURE = {"SaveImage": "png"}
_ONE_FOR_ALL = {
    "SaveAnimatedPNG": "png",
    "SaveAnimatedWEBP": "webp",
    "SaveWEBM": "webm",
    "SaveVideo": "mp4",
}
_PER_BATCH = {"batch_size", "amount"}
_FRAMES = {"length", "frames", "num_frames", "video_frames", "frame_count"}


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file in ComfyUI's output folder, by the node that saves it."""

    node_id: str
    subfolder: str
    filename: str
    is_animated: bool


def expected_files(graph: Graph, prefix: str) -> tuple[ExpectedFile, ...]:
    """The files that the graph saves under a prefix of its own; empty if nobody can tell.

    ComfyUI numbers the files of a prefix from 1. That is told of one saving node of a known
    class, whose pictures are those of a batch and no frames of a film.

    >>> graph = {"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "jobs/7/a"}}}
    >>> [each.filename for each in expected_files(graph, "jobs/7/a")]
    ['a_00001_.png']
    """
    saving = [id_ for id_, node in graph.items() if "filename_prefix" in node["inputs"]]
    if len(saving) != 1:
        return ()
    [node_id] = saving
    class_name = graph[node_id]["class_type"]
    path = PurePosixPath(prefix)
    if class_name in _ONE_FOR_ALL:
        count, suffix = 1, _ONE_FOR_ALL[class_name]
    elif class_name in _PER_PICTURE and not _literals(graph, _FRAMES):
        count, suffix = prod(_literals(graph, _PER_BATCH)), _PER_PICTURE[class_name]
    else:
        return ()
    return tuple(
        ExpectedFile(
            node_id,
            str(path.parent),
            f"{path.name}_{number:05}_.{suffix}",
            is_animated=class_name.startswith("SaveAnimated"),
        )
        for number in range(1, count + 1)
    )


def _literals(graph: Graph, names: set[str]) -> list[int]:
    """The numbers above 1 that inputs of these names are set to."""
    return [
        value
        for node in graph.values()
        for name, value in node["inputs"].items()
        if name in names and isinstance(value, int) and value > 1
    ]
