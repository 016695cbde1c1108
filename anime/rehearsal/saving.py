"""Writing pictures as ComfyUI does: names with a counter, and the graph inside each file.

Files contain no time: the same picture and graph give the same bytes.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.core.graphs import Graph
from anime.rehearsal.faults import SimulatedNodeError
from anime.rehearsal.node_types import JsonObject

COMPRESS_LEVEL = 4  # of PNG, as SaveImage uses
OWN_CHUNK = b"comf"
EXIF_PROMPT_TAG = 0x0110  # the graph; further keys go into the tags below it
MILLISECONDS = 1000


@dataclass(frozen=True)
class Metadata:
    """The metadata that is written into a file."""

    graph: Graph
    extra_pnginfo: JsonObject
    is_written: bool = True

    def texts(self) -> dict[str, str]:
        """JSON texts by key: the graph as `prompt`, then all of extra_pnginfo."""
        if not self.is_written:
            return {}
        extra = {str(key): json.dumps(value) for key, value in self.extra_pnginfo.items()}
        return {"prompt": json.dumps(self.graph), **extra}

    def png_chunks(self) -> PngInfo:
        """The texts as PNG chunks."""
        chunks = PngInfo()
        for key, text in self.texts().items():
            chunks.add_text(key, text)
        return chunks

    def animation_chunks(self) -> PngInfo:
        """The texts as ComfyUI's own chunks, which it writes behind the first picture."""
        chunks = PngInfo()
        for key, text in self.texts().items():
            chunks.add(OWN_CHUNK, f"{key}\0{text}".encode("latin-1"), after_idat=True)
        return chunks

    def exif(self) -> Image.Exif:
        """The texts as `key:text` in EXIF tags, from 0x0110 downwards."""
        exif = Image.Exif()
        for distance, (key, text) in enumerate(self.texts().items()):
            exif[EXIF_PROMPT_TAG - distance] = f"{key}:{text}"
        return exif


@dataclass(frozen=True)
class Destination:
    """The paths of the files of one save: `folder/name_00007_.png`, counted from `counter`.

    `end` is what comes before the suffix: classes that came with ComfyUI 0.33 write no `_` there.
    """

    root: Path
    folder: Path
    name: str
    counter: int
    end: str = "_"

    def path(self, index: int, extension: str) -> Path:
        """The path of the picture with that index in its batch."""
        name = self.name.replace("%batch_num%", str(index))
        return self.folder / f"{name}_{self.counter + index:05}{self.end}.{extension}"

    def describe(self, path: Path) -> JsonObject:
        """The file as history and `executed` name it; the type is that of the root folder."""
        subfolder = self.folder.relative_to(self.root).as_posix()
        return {
            "filename": path.name,
            "subfolder": "" if subfolder == "." else subfolder,
            "type": self.root.name,
        }


def make_destination(root: Path, prefix: str, size: tuple[int, int]) -> Destination:
    """The destination of a prefix; its folder is made.

    The counter is one more than the highest in the folder, so names repeat when files are moved.
    Copies that somebody made, such as `x_00016 (1).png`, do not count.

    Raises:
        SimulatedNodeError: the prefix names a folder outside of `root`.
    """
    prefix = prefix.replace("%width%", str(size[0])).replace("%height%", str(size[1]))
    subfolder, name = os.path.split(os.path.normpath(prefix))
    folder = Path(os.path.normpath(root / subfolder))
    if not folder.is_relative_to(root):
        reason = f"Saving outside {root} is not allowed: {prefix} means {folder}"
        raise SimulatedNodeError("Exception", reason)
    folder.mkdir(parents=True, exist_ok=True)
    counted = re.compile(rf"{re.escape(name)}_(\d+)(?:[_.]|$)")
    matches = (counted.match(entry.name) for entry in folder.iterdir())
    highest = max((int(found[1]) for found in matches if found), default=0)
    return Destination(root, folder, name, highest + 1)


def save_stills(
    pictures: Iterable[Image.Image], destination: Destination, metadata: Metadata
) -> list[JsonObject]:
    """Write a PNG for each picture; returns the files as history names them."""
    files = []
    for index, picture in enumerate(pictures):
        path = destination.path(index, "png")
        picture.save(path, pnginfo=metadata.png_chunks(), compress_level=COMPRESS_LEVEL)
        files.append(destination.describe(path))
    return files


def save_webp(
    pictures: Sequence[Image.Image],
    destination: Destination,
    metadata: Metadata,
    *,
    fps: float,
    lossless: bool,
    quality: int,
    effort: int,
) -> JsonObject:
    """Write an animated WEBP; returns the file as history names it."""
    path = destination.path(0, "webp")
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=int(MILLISECONDS / fps),
        exif=metadata.exif(),
        lossless=lossless,
        quality=quality,
        method=effort,
    )
    return destination.describe(path)


def save_apng(
    pictures: Sequence[Image.Image],
    destination: Destination,
    metadata: Metadata,
    *,
    fps: float,
    compress_level: int,
) -> JsonObject:
    """Write an animated PNG; returns the file as history names it."""
    path = destination.path(0, "png")
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=int(MILLISECONDS / fps),
        pnginfo=metadata.animation_chunks(),
        compress_level=compress_level,
    )
    return destination.describe(path)
