"""Forged texts and files for every reader of metadata, for as long as one likes.

    python -m tests.support.fuzz_metadata --minutes 10

No reader may raise anything but ours, take two seconds or need 300 MB. What does is written to
a file, and the run ends with 1. It is no part of the tests: those have a few such files each.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.metadata import SavedFile, recipe_of
from anime.core.paths import FileKind
from anime.errors import StorageError
from tests.integration.media_samples import FILMS, SOUNDS, draw, make
from tests.integration.test_metadata_files import tags, telephones_picture
from tests.integration.test_metadata_tools import FILES
from tests.support.tool_files import NOVELAI_TEXTS, hiding
from tests.unit.test_metadata_graphs import DIFFERENT, SAME
from tests.unit.test_metadata_readers import TOOLS

MAX_SECONDS, MAX_MEGABYTES = 2.0, 300
PICTURES = ("a.png", "moves.png", "a.jpg", "a.webp", "moves.webp", "a.gif", "a.avif", "a.tiff")
NAMES = ("kite_00001_.png", "", "x" * 300, "ComfyUI_temp_1_.png")
ODD: tuple[Any, ...] = (  # JSON of any kind
    *(None, True, -1, 2**64, 2**200, 1e308, -0.0, "", "\x00", "\ud800", "None", "9" * 5_000),
    *(
        "<lora:" * 2_000,
        '{"a":' * 200,
        [],
        {},
        ["1", 0],
        ["draw", -1],
        [["draw", 0]],
        "x" * 200_000,
    ),
)


def main(
    minutes: Annotated[float, typer.Option(help="How long to go on.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same forgeries.")] = 1,
) -> None:
    """Try forged texts and files until the time is over."""
    chance = random.Random(seed)
    until, tried, slowest = time.monotonic() + 60 * minutes, 0, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        files = _samples(Path(scratch))
        attempts: list[Callable[[], tuple[object, Callable[[], object]]]] = [
            lambda: _forged_graph(chance),
            lambda: _forged_texts(chance),
            lambda: _forged_file(chance, files, Path(scratch) / "forged"),
        ]
        while time.monotonic() < until:
            content, read = chance.choice(attempts)()
            begin = time.monotonic()
            try:
                read()
                fault = None
            except Exception as error:  # noqa: BLE001  each is a finding
                fault = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - begin
            slowest, tried = max(slowest, seconds), tried + 1
            if fault is None and seconds > MAX_SECONDS:
                fault = f"it took {seconds:.1f} s"
            if fault is None and _megabytes() > MAX_MEGABYTES:
                fault = f"it needed {_megabytes()} MB"
            if fault is not None:
                _report(fault, content)
    typer.echo(f"{tried:,} forgeries, the slowest {slowest:.2f} s, {_megabytes()} MB at most")


def _samples(folder: Path) -> list[bytes]:
    drawn = [draw(folder / name, frames=3 if "moves" in name else 1) for name in PICTURES]
    made = [make(folder, name) for name in (*FILMS, *SOUNDS)]
    contents = [path.read_bytes() for path in (*drawn, *made)]
    contents += [written(folder).read_bytes() for _, _, written in FILES.values()]
    contents.append(telephones_picture(folder / "a.heic", [(b"Exif\0", tags())]).read_bytes())
    for channels in ("png", "rgb"):
        hiding(json.dumps(NOVELAI_TEXTS), channels, is_packed=True).save(folder / "hides.png")
        contents.append((folder / "hides.png").read_bytes())
    return contents


def _forged_graph(chance: random.Random) -> tuple[object, Callable[[], object]]:
    graphs = [*SAME.values(), *(graph for graph, _ in DIFFERENT.values())]
    graph = _changed(chance, json.loads(json.dumps(chance.choice(graphs))))
    texts = {"prompt": json.dumps(graph)}
    size = chance.choice([None, (512, 768)])
    saved = SavedFile(chance.choice(NAMES), chance.choice([None, *FileKind]), size=size)
    return texts, lambda: json.dumps(recipe_of(texts, saved).metadata(), allow_nan=False)


def _forged_texts(chance: random.Random) -> tuple[object, Callable[[], object]]:
    _, texts = chance.choice(list(TOOLS.values()))
    forged = {name: _changed_text(chance, text) for name, text in texts.items()}
    return forged, lambda: json.dumps(recipe_of(forged).metadata(), allow_nan=False)


def _forged_file(
    chance: random.Random, files: list[bytes], path: Path
) -> tuple[object, Callable[[], object]]:
    content = bytearray(chance.choice(files))
    for _ in range(chance.randint(1, 20)):
        at = chance.randrange(len(content))
        content[at : at + chance.choice([1, 1, 4])] = chance.randbytes(chance.choice([0, 1, 4]))
    path.write_bytes(content)

    def read() -> None:
        with suppress(StorageError):
            inspect_file(path).recipe()

    return bytes(content), read


def _changed_text(chance: random.Random, text: str) -> str:
    """The text with parts changed: its values if it is JSON, else some of its characters."""
    if text.startswith("{") and chance.random() < 0.7:
        return json.dumps(_changed(chance, json.loads(text)))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text) + 1)
        text = (
            text[:at]
            + chance.choice(["", ":", ",", '"', "\n", "<lora:", "9" * 30])
            + text[at + 1 :]
        )
    return text * chance.choice([1, 1, 1, 200])


def _changed(chance: random.Random, value: Any) -> Any:  # JSON of any kind
    """The value with some of its parts replaced, dropped or linked to another place."""
    if isinstance(value, dict):
        names = list(value)
        changed = {name: _changed(chance, part) for name, part in value.items()}
        if names and chance.random() < 0.2:
            changed[chance.choice(names)] = chance.choice([*ODD, [chance.choice(names), 0]])
        if names and chance.random() < 0.1:
            changed.pop(chance.choice(names))
        return changed
    if isinstance(value, list):
        return [_changed(chance, part) for part in value]
    return chance.choice(ODD) if chance.random() < 0.03 else value


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _report(fault: str, content: object) -> None:
    """Write what was found to a file, say so and end."""
    with tempfile.NamedTemporaryFile("wb", prefix="forgery-", delete=False) as stream:
        stream.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    typer.echo(f"{fault}\n→ {stream.name}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
