"""Makes folders of PNGs in little time, no two of them alike."""

import json
import struct
import zlib
from pathlib import Path
from random import Random

SIDE_PX = 184  # some 100 KB, as its pixels are noise
IN_A_FOLDER = 1000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NODES = 24  # of a graph; with the editor's workflow some 6 KB of text


def make_pictures(folder: Path, number: int, *, seed: int = 1, side_px: int = SIDE_PX) -> None:
    """Fill the folder with that many pictures, with the metadata that ComfyUI writes."""
    random = Random(seed)  # noqa: S311  the same pictures in each run
    for index in range(number):
        subfolder = folder / f"{index // IN_A_FOLDER:04}"
        if index % IN_A_FOLDER == 0:
            subfolder.mkdir(parents=True)
        (subfolder / f"ComfyUI_{index:06}_.png").write_bytes(_picture(random, side_px))


def make_small_pictures(folder: Path, number: int) -> None:
    """The same with a few bytes in each, for what does not depend on their size."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    end = _chunk(b"IEND", b"")
    for index in range(number):
        subfolder = folder / f"{index // IN_A_FOLDER:04}"
        if index % IN_A_FOLDER == 0:
            subfolder.mkdir(parents=True)
        pixel = _chunk(b"IDAT", zlib.compress(b"\0" + index.to_bytes(3, "big"), 1))
        content = _SIGNATURE + header + pixel + end
        (subfolder / f"ComfyUI_{index:06}_.png").write_bytes(content)


def _picture(random: Random, side_px: int) -> bytes:
    noise = memoryview(random.randbytes(side_px * side_px * 3))
    lines = (b"\0" + noise[at : at + side_px * 3] for at in range(0, len(noise), side_px * 3))
    texts = {"prompt": _graph(random), "workflow": _editor_workflow(random)}
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)),
            *(_chunk(b"tEXt", f"{name}\0{text}".encode()) for name, text in texts.items()),
            _chunk(b"IDAT", zlib.compress(b"".join(lines), 0)),
            _chunk(b"IEND", b""),
        )
    )


def _graph(random: Random) -> str:
    sampler = {"seed": random.getrandbits(64), "steps": 28, "cfg": 6.5, "sampler_name": "euler"}
    inputs = {**sampler, "scheduler": "normal", "positive": ["6", 0], "negative": ["7", 0]}
    nodes: dict[str, object] = {
        "3": {"class_type": "KSampler", "inputs": {**inputs, "model": ["4", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "ink.safetensors"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": _words(random, 60)}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry, lowres"}},
    }
    for number in range(100, 100 + _NODES):
        inputs_of_it = {"image": [str(number - 1), 0], "note": _words(random, 3)}
        nodes[str(number)] = {"class_type": "ImageScale", "inputs": inputs_of_it}
    return json.dumps(nodes)


def _editor_workflow(random: Random) -> str:
    boxes = [
        {"id": number, "pos": [number * 40, 60], "size": [210, 80], "title": _words(random, 2)}
        for number in range(_NODES)
    ]
    return json.dumps({"last_node_id": _NODES, "nodes": boxes, "links": [], "version": 0.4})


def _words(random: Random, number: int) -> str:
    return " ".join(f"word{random.getrandbits(11)}" for _ in range(number))


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return len(body).to_bytes(4, "big") + kind + body + checksum.to_bytes(4, "big")
