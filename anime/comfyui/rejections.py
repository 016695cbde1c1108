"""ComfyUI's validation errors, in words for the person who made the graph."""

import difflib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from anime.core.graph_validation import listed, shown
from anime.core.graphs import Graph, title_of
from anime.errors import PromptRejected

MAX_CHOICES = 5
MAX_LINE = 300  # characters of a message of the server's

# JSON as it comes: custom nodes put anything here, so every step is checked.
Json = Any


def name_of(node_id: str, graph: Graph, class_name: str = "") -> str:
    """A node as the artist knows it: title, class and id.

    >>> name_of("4", {"4": {"class_type": "KSampler", "_meta": {"title": "Draw"}}})
    '“Draw” (KSampler, node 4)'
    """
    node = graph.get(node_id, {})
    class_name = class_name or str(node.get("class_type", ""))
    title = title_of(node) if node else class_name
    place = f"node {shown(node_id)}"
    if not class_name or title == class_name:
        return f"{shown(class_name) or 'the node'} ({place})"
    return f"“{shown(title)}” ({shown(class_name)}, {place})"


def rejection(server: str, answer: Json, graph: Graph) -> PromptRejected:
    """The error for a 400. Without node errors, the graph as a whole is at fault."""
    answer = answer if isinstance(answer, dict) else {}
    problems = problems_of(answer.get("node_errors"), graph)
    if not problems:
        problems = (_whole_problem(_dict(answer.get("error")), graph),)
    return PromptRejected(
        f"{server} refused the graph: {listed(problems, '; ')}.",
        "Correct the workflow or the values it was given.",
        problems=problems,
    )


def partial_rejection(server: str, problems: tuple[str, ...]) -> PromptRejected:
    """The error for a 200 that left outputs out."""
    return PromptRejected(
        f"{server} refused a part of the graph: {listed(problems, '; ')}.",
        "Correct those inputs.",
        problems=problems,
    )


def problems_of(node_errors: Json, graph: Graph) -> tuple[str, ...]:
    """One line for each fault: node, input, value, and what would do instead."""
    return tuple(
        f"{name_of(node_id, graph, str(found.get('class_type') or ''))}: {_problem(_dict(fault))}"
        for node_id, found in _dict(node_errors).items()
        if isinstance(found, dict)
        for fault in found.get("errors") or [{"message": "refused without a reason"}]
    )


def _problem(fault: dict[str, Json]) -> str:
    more = _dict(fault.get("extra_info"))
    name = shown(more.get("input_name") or "an input")
    value = more.get("received_value")
    config = more.get("input_config")
    limits = config[1] if isinstance(config, list) and len(config) > 1 else {}
    match fault.get("type"):
        case "value_not_in_list":
            return (
                f"{name} is {_quoted(value)}, which ComfyUI does not have{_instead(value, config)}"
            )
        case "value_bigger_than_max":
            return f"{name} is {shown(value)}, above its maximum of {_dict(limits).get('max', '?')}"
        case "value_smaller_than_min":
            return f"{name} is {shown(value)}, below its minimum of {_dict(limits).get('min', '?')}"
        case "required_input_missing":
            return f"{name} is missing"
        case "invalid_input_type":
            return f"{name} is {_quoted(value)}, which is no {_kind(config)}"
        case "exception_during_validation" | "exception_during_inner_validation":
            return f"a link or input cannot be followed ({_line(fault.get('details'))})"
    return ": ".join(filter(None, (_line(fault.get("message")), _line(fault.get("details")))))


def _whole_problem(error: dict[str, Json], graph: Graph) -> str:
    message, details = _line(error.get("message")), _line(error.get("details"))
    if error.get("type") == "prompt_outputs_failed_validation" and not details:
        return f"{message}, without naming a node; look for nodes linked in a circle"
    if found := re.search(r"#([^'\s]+)", details):
        return f"{name_of(found[1], graph)}: {message}"
    return ": ".join(filter(None, (message or "no reason given", details)))


def _instead(value: Json, config: Json) -> str:
    """The choices nearest to the value, compared without their file extensions.

    The server leaves out lists of more than 20 choices.
    """
    choices = [str(choice) for choice in _choices(config)]
    stems = {PurePosixPath(choice).stem.lower(): choice for choice in choices}
    stem = PurePosixPath(shown(value)).stem.lower()
    near = difflib.get_close_matches(stem, stems, MAX_CHOICES)
    if near:
        return f"; nearest: {_listed(stems[stem] for stem in near)}"
    if not choices:
        return ""
    return f"; it has {_listed(choices[:MAX_CHOICES])}{' …' * (len(choices) > MAX_CHOICES)}"


def _choices(config: Json) -> list[Json]:
    """The choices in either spelling: [[…], {…}] or ["COMBO", {"options": […]}]."""
    if not isinstance(config, list) or not config:
        return []
    if isinstance(config[0], list):
        return config[0]
    options = _dict(config[1]).get("options") if len(config) > 1 and config[0] == "COMBO" else None
    return options if isinstance(options, list) else []


def _kind(config: Json) -> str:
    return shown(config[0]) if isinstance(config, list) and config else "value of its kind"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(value: Json) -> str:
    return shown(repr(value))


def _line(text: Json) -> str:
    """The first line, cut and without the full stop: tracebacks are the server's business."""
    lines = str(text or "").strip().splitlines()
    return shown(lines[0], MAX_LINE).rstrip(". ") if lines else ""


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
