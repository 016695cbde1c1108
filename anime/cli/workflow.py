"""`anime workflow`: workflows of ComfyUI."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import JsonValue

from anime.cli.error_boundary import EXPECTED
from anime.cli.terminal import print_error, print_json, print_note, print_result
from anime.errors import AlreadyExists, AnimeError, InvalidWorkflow, WorkflowNotConvertible

if TYPE_CHECKING:
    from anime.comfyui.object_info import ServerClasses
    from anime.core.conversion.findings import Conversion
    from anime.core.graph_validation import GraphProblem

_SERVER_SECONDS = 60.0  # for an answer of some megabytes

workflow = typer.Typer(name="workflow", help="Workflows of ComfyUI.", no_args_is_help=True)


@workflow.callback()
def _group() -> None:
    """Workflows of ComfyUI."""


@workflow.command()
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(help="Workflows: JSON, or pictures and films that ComfyUI made."),
    ],
    object_info: Annotated[
        str,
        typer.Option(
            "--object-info",
            metavar="FILE|URL",
            help="The node classes: a server's answer to /object_info, or the server.",
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option("--output-dir", metavar="DIR", help="Where NAME.json is written.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace graphs that are there already.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Convert workflows of ComfyUI's editor to the API format; exit 1 if any is refused."""
    from anime.comfyui.object_info import load_object_info

    _refuse_same_name(files)
    classes = asyncio.run(load_object_info(object_info, timeout_seconds=_SERVER_SECONDS))
    outcomes = [
        _convert(file, output_dir / f"{file.stem}.json", classes, may_replace=replace)
        for file in files
    ]
    if json:
        print_json([outcome.as_json() for outcome in outcomes])
    else:
        for outcome in outcomes:
            outcome.show()
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(EXPECTED)


@dataclass(frozen=True)
class FileConversion:
    """What became of one file: a graph, or the reason why there is none.

    `problems` are what the server would refuse in the graph.
    """

    file: Path
    output: Path
    conversion: "Conversion | None" = None
    problems: "tuple[GraphProblem, ...]" = ()
    error: AnimeError | None = None

    def as_json(self) -> JsonValue:
        """For programs: `output` is there if a graph was written, else `error`."""
        if self.conversion:
            return {
                "file": str(self.file),
                "output": str(self.output),
                "warnings": [asdict(warning) for warning in self.conversion.warnings],
                "missing_models": [asdict(model) for model in self.conversion.missing_models],
                "problems": [asdict(problem) for problem in self.problems],
            }
        refusals = self.error.refusals if isinstance(self.error, WorkflowNotConvertible) else ()
        return {
            "file": str(self.file),
            "error": str(self.error),
            "refusals": [asdict(refusal) for refusal in refusals],
        }

    def show(self) -> None:
        """Print the path of the graph, and on stderr what is to be said of it."""
        if self.error:
            print_error(self.error)
        if not self.conversion:
            return
        for warning in self.conversion.warnings:
            print_note(f"{self.file}: {warning}")
        models = self.conversion.missing_models
        for model in models:
            source = f"get it from {model.url}" if model.url else "the file does not say from where"
            print_note(f"{self.file}: the server has no {model.name}; {source}.")
        for problem in self.problems:
            if not any(model.name in problem.fault for model in models):
                print_note(f"{self.file}: the server would refuse {problem}")
        print_result(str(self.output))


def _convert(
    file: Path, output: Path, classes: "ServerClasses", *, may_replace: bool
) -> FileConversion:
    from anime.assets.workflow_files import load_workflow, write_graph
    from anime.core.conversion.sources import convert_source

    try:
        conversion = convert_source(load_workflow(file), classes.definitions)
        write_graph(conversion.graph, output, may_replace=may_replace)
    except InvalidWorkflow as refused:
        refused.what = f"{file}: {refused.what}"
        return FileConversion(file, output, error=refused)
    except AlreadyExists as refused:
        return FileConversion(file, output, error=refused)
    return FileConversion(file, output, conversion, classes.problems_of(conversion.graph))


def _refuse_same_name(files: Sequence[Path]) -> None:
    """Make sure that no two files would become one graph."""
    names: dict[str, Path] = {}
    for file in files:
        if file.stem in names:
            raise InvalidWorkflow(
                f"{names[file.stem]} and {file} would both become {file.stem}.json.",
                "Convert them one after the other, into two folders.",
            )
        names[file.stem] = file
