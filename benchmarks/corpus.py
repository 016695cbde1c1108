"""Converting many workflows: how many are converted, and how many equal what the editor exports.

Templates are a folder, or a package that is downloaded into a temporary folder. Samples are
what ComfyUI's own editor exported for some of them.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import typer

from anime.assets.workflow_files import load_workflow
from anime.comfyui.object_info import load_object_info
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.sources import WorkflowSource, convert_source
from anime.core.graphs import Graph, is_link
from anime.errors import ConfigurationError, InvalidWorkflow, WorkflowNotConvertible
from benchmarks.effort import CorpusPlace
from benchmarks.report import Reach, Row
from benchmarks.studio import scratch_folder

_UNKNOWN_CLASS = "the server has no such node class."
_DOWNLOAD_SECONDS = 300
_MOST_SHOWN = 20


@dataclass
class Outcome:
    """What became of the workflows, by name; seconds of CPU, from the file to the graph."""

    graphs: dict[str, Graph] = field(default_factory=dict)
    refused: dict[str, InvalidWorkflow] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def convert(self, name: str, path: Path, definitions: NodeDefinitions) -> None:
        """Convert one more."""
        begun = time.process_time()
        try:
            source = load_workflow(path)
            self.graphs[name] = convert_source(source, definitions).graph
        except InvalidWorkflow as fault:
            self.refused[name] = fault
        self.seconds[name] = time.process_time() - begun

    def convertible(self) -> int:
        """How many workflows have only classes that the server has."""
        return len(self.graphs) + sum(not _lacks_classes(fault) for fault in self.refused.values())


async def measure(place: CorpusPlace) -> list[Row]:
    """Convert all templates, and compare with the samples."""
    if not place.templates or not place.object_info:
        raise ConfigurationError(
            "There is nothing to convert.",
            "Give --templates FOLDER|PACKAGE==VERSION and --object-info FILE|URL.",
        )
    classes = await load_object_info(place.object_info, timeout_seconds=60)
    definitions = classes.definitions
    with scratch_folder() as scratch:
        outcome = await asyncio.to_thread(
            _convert_all, _templates(place.templates, scratch), definitions
        )
    for reason, count in _reasons(outcome).most_common():
        typer.echo(f"refused: {count} x {reason}")
    return [
        *_rows(outcome),
        *(_compared(outcome, Path(place.samples), definitions) if place.samples else ()),
    ]


def _convert_all(folder: Path, definitions: NodeDefinitions) -> Outcome:
    outcome = Outcome()
    for path in sorted(folder.rglob("*.json")):
        if _is_workflow(path):
            outcome.convert(path.stem, path, definitions)
    return outcome


def _is_workflow(path: Path) -> bool:
    """Whether it is one; packages have lists of them beside them."""
    content = json.loads(path.read_bytes())
    return isinstance(content, dict) and isinstance(content.get("nodes"), list)


def _templates(place: str, scratch: Path) -> Path:
    """The folder of the templates; a package is downloaded and unpacked."""
    if Path(place).is_dir():
        return Path(place)
    done = subprocess.run(  # the package's name is the caller's own
        [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(scratch), place],
        check=False,
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_SECONDS,
    )
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch / "templates")
        return scratch / "templates"
    raise ConfigurationError(
        f"{place} is neither a folder nor a package that can be downloaded.",
        done.stderr.strip()[-500:],
    )


def _lacks_classes(fault: InvalidWorkflow) -> bool:
    refusals = fault.refusals if isinstance(fault, WorkflowNotConvertible) else ()
    return any(refusal.reason == _UNKNOWN_CLASS for refusal in refusals)


def _reasons(outcome: Outcome) -> Counter[str]:
    """How many workflows are refused for each reason, without what is different in each."""
    found: Counter[str] = Counter()
    for fault in outcome.refused.values():
        refusals = fault.refusals if isinstance(fault, WorkflowNotConvertible) else ()
        reasons = {refusal.reason for refusal in refusals} or {fault.what}
        found.update({re.sub(r"\d+", "N", reason.partition(" (")[0]) for reason in reasons})
    return found


def _rows(outcome: Outcome) -> list[Row]:
    converted, convertible = len(outcome.graphs), outcome.convertible()
    return [
        Row("workflows", len(outcome.seconds)),
        Row("whose classes the server has", convertible),
        Row(
            "of these converted, %",
            100 * converted / max(convertible, 1),
            reach=Reach(95, at_least=True),
        ),
        Row("converted", converted),
        Row("refused", len(outcome.refused)),
        Row(
            "slowest, CPU ms",
            1000 * max(outcome.seconds.values(), default=0.0),
            reach=Reach(300),
            note=f"slowest: {max(outcome.seconds, key=outcome.seconds.__getitem__, default='')}",
        ),
        Row("all, CPU s", sum(outcome.seconds.values()), reach=Reach(60)),
    ]


def _compared(outcome: Outcome, folder: Path, definitions: NodeDefinitions) -> Iterator[Row]:
    """What is equal to the samples, and what is not; both are listed where they differ."""
    counts: Counter[str] = Counter()
    unstable = _json(folder / "unstable.json").get("anywhere", [])
    skewed = {name for part in _json(folder / "manifest.json").values() for name in part}
    for path in sorted(folder.rglob("*.json")):
        sample = _json(path)
        if not isinstance(sample.get("api"), dict):
            continue
        got = _graph_for(path.stem, sample, outcome, definitions)
        fault = "refused" if got is None else difference(sample["api"], got, unstable)
        kind = "equal" if fault is None else "refused" if got is None else "wrong"
        if fault and path.stem in skewed:
            kind = "set aside"
        counts[kind] += 1
        if fault and sum(counts.values()) - counts["equal"] <= _MOST_SHOWN:
            typer.echo(f"{kind}: {path.stem}: {fault}")
    yield Row("samples equal", counts["equal"])
    yield Row("samples refused", counts["refused"])
    yield Row(
        "samples set aside",
        counts["set aside"],
        note="set aside: differences that the samples' manifest expects",
    )
    yield Row("samples wrong", counts["wrong"], reach=Reach(0))


def _graph_for(
    name: str, sample: Mapping[str, Any], outcome: Outcome, definitions: NodeDefinitions
) -> Graph | None:
    """The graph to compare; a sample may bring its workflow."""
    if "workflow" not in sample:
        return outcome.graphs.get(name)
    try:
        return convert_source(WorkflowSource(None, sample["workflow"]), definitions).graph
    except InvalidWorkflow:
        return None


def difference(wanted: Graph, got: Graph, unstable: list[str]) -> str | None:
    """The first difference of two graphs in nodes, classes, inputs and links; None if equal.

    `unstable` are patterns such as `Load3D.image` for inputs that do not count.
    """
    for node_id in sorted(wanted.keys() | got.keys()):
        if node_id not in got or node_id not in wanted:
            return f"{node_id} is {'missing' if node_id in wanted else 'too many'}"
        ours, theirs = got[node_id], wanted[node_id]
        if ours["class_type"] != theirs.get("class_type"):
            return f"{node_id} is {ours['class_type']} instead of {theirs.get('class_type')}"
        for name in sorted(theirs["inputs"].keys() | ours["inputs"].keys()):
            if any(fnmatchcase(f"{ours['class_type']}.{name}", each) for each in unstable):
                continue
            one, other = (each["inputs"].get(name, "(nothing)") for each in (theirs, ours))
            if not _is_same(one, other):
                return f"{node_id} {ours['class_type']}.{name} is {other!r} instead of {one!r}"
    return None


def _is_same(one: object, other: object) -> bool:
    """Whether two values are equal, numbers as JavaScript knows them."""
    if is_link(one) or is_link(other):
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(one) == float(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes()) if path.exists() else {}
    return content if isinstance(content, dict) else {}
