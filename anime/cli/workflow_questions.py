"""What was found in a workflow that is imported: the table, and a question for each doubt."""

import sys
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

import typer

from anime.cli.terminal import print_note
from anime.errors import InvalidWorkflow

if TYPE_CHECKING:
    from anime.assets.workflow_import import ConvertedWorkflow, WorkflowImport
    from anime.core.graphs import Graph

_VALUE_CHARS = 60
_LEAVE_OUT = 0


def choices_with_answers(
    converted: "ConvertedWorkflow", choices: Mapping[str, str], *, confirmed: Collection[str]
) -> dict[str, str]:
    """The choices, with a person's answer for each doubt that is left.

    `confirmed` are inputs that were confirmed for the graph before.

    Raises:
        InvalidWorkflow: nobody is there to ask.
    """
    if not sys.stdin.isatty():
        raise InvalidWorkflow(
            "Nobody is there to confirm what was found.",
            "Give --yes to take what is certain, and --bind for the rest.",
        )
    answers = dict(choices)
    converted = converted.with_output(answers.get("output"))
    while open_doubt := next(
        (each for each in converted.proposals.doubts() if each[0] not in {*answers, *confirmed}),
        None,
    ):
        name, doubt = open_doubt
        print_note(f"\n{name}: {doubt}")
        answers[name] = _answer(name, converted)
        if name == "output":
            converted = converted.with_output(answers[name])
    return answers


def show_plan(plan: "WorkflowImport") -> None:
    """Write on stderr what is bound, by what signal, and which node classes are used."""
    record = plan.record()
    print_note(f"\n{record.name}: makes {record.output}")
    for each in record.inputs:
        places = ", ".join(each.places)
        value = _shown(plan.template.graph, each.places[0])
        print_note(f"  {each.name:<16} {places}  {value}  ({each.signal or 'confirmed before'})")
    print_note(f"  node classes: {', '.join(record.node_classes)}")


def tell_findings(plan: "WorkflowImport") -> None:
    """Write on stderr what is left out, lost, missing or refused by the server."""
    for remark in plan.record().remarks():
        print_note(remark)


def _answer(name: str, converted: "ConvertedWorkflow") -> str:
    """What a person chooses for one input; empty to leave it out."""
    candidates = converted.proposals.candidates(name)
    for number, candidate in enumerate(candidates, start=1):
        print_note(f"  {number}  {candidate}  {_shown(converted.graph, candidate)}")
    least = 1 if name == "output" else _LEAVE_OUT
    if least == _LEAVE_OUT:
        print_note(f"  {_LEAVE_OUT}  leave it out")
    numbers = range(least, len(candidates) + 1)
    number = typer.prompt(name, default="1", err=True, value_proc=partial(_number_in, numbers))
    return "" if number == _LEAVE_OUT else candidates[number - 1]


def _number_in(numbers: range, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) not in numbers:
        raise typer.BadParameter(f"Give a number from {numbers[0]} to {numbers[-1]}.")
    return int(text)


def _shown(graph: "Graph", candidate: str) -> str:
    """The value at a place, or the title of a node, on one line and cut."""
    from anime.core.graph_validation import shown
    from anime.core.graphs import title_of

    node_id, _, name = candidate.partition(".")
    if node_id not in graph:
        return ""
    value = graph[node_id]["inputs"].get(name) if name else title_of(graph[node_id])
    return f'"{shown(value, _VALUE_CHARS)}"'
