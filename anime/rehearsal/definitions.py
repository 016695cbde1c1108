"""What ComfyUI 0.33 says of its core node classes, as facts without prose, and how to renew it.

`definitions.json.gz` has, for each class, its inputs with kinds, limits and choices, and its
outputs. It is read when the first class is asked for. To renew it from the /object_info of a
newer ComfyUI: `python -m anime.rehearsal.definitions OBJECT_INFO.json`
"""

import argparse
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from anime.rehearsal.node_types import JsonObject

DEFINITIONS = Path(__file__).with_name("definitions.json.gz")
MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".gguf")
PROSE = frozenset({"tooltip", "display_name", "placeholder", "label_on", "label_off"})
MAX_DEFAULT_CHARS = 100
SHOWN = (
    "category",
    "display_name",
    "experimental",
    "input",
    "output",
    "output_is_list",
    "output_name",
    "output_matchtypes",
    "output_node",
    "python_module",
    "is_input_list",
    "deprecated",
    "has_intermediate_output",
)


@cache
def definitions() -> dict[str, JsonObject]:
    """The entries of /object_info by class; choices that are names of files are left empty."""
    entries: dict[str, JsonObject] = json.loads(gzip.decompress(DEFINITIONS.read_bytes()))
    return entries


def reduced(object_info: dict[str, JsonObject]) -> dict[str, JsonObject]:
    """The core classes of an /object_info, without prose and without the names of its files."""
    return {
        name: {key: _facts(entry[key]) for key in SHOWN if entry.get(key) not in (None, False)}
        for name, entry in sorted(object_info.items())
        if not entry.get("api_node")
    }


def _facts(value: Any) -> Any:  # any part of an entry
    if isinstance(value, dict):
        return {key: _facts(each) for key, each in value.items() if not _is_prose(key, each)}
    if isinstance(value, list):
        is_file_list = any(str(each).endswith(MODEL_SUFFIXES) for each in value)
        return [] if is_file_list else [_facts(each) for each in value]
    return value


def _is_prose(key: str, value: Any) -> bool:  # any option of an input
    """Whether it is a text for people, or a program as the default of a text."""
    return key in PROSE or (key == "default" and len(str(value)) > MAX_DEFAULT_CHARS)


def main() -> None:
    """Rewrite the definitions from an /object_info, plain or compressed with gzip."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("object_info", type=Path)
    parser.add_argument("--output", type=Path, default=DEFINITIONS)
    given = parser.parse_args()
    content = given.object_info.read_bytes()
    plain = gzip.decompress(content) if given.object_info.suffix == ".gz" else content
    text = json.dumps(reduced(json.loads(plain)), separators=(",", ":"), ensure_ascii=False)
    given.output.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
