"""What the rules of a conversion do not cover."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from anime.core.conversion.definitions import AUTOGROW, DYNAMIC_COMBO
from anime.core.conversion.editor_format import EditorNode
from anime.core.conversion.findings import NodeRefused
from anime.core.conversion.widgets import WidgetValues

VIEWER = "LOAD_3D"  # what the editor's 3D viewer shows: a picture, a camera
_FROM_BROWSER = frozenset({"WEBCAM", "AUDIO_RECORD"})
_SUBGRAPH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def refuse_uncovered(node: EditorNode, values: WidgetValues) -> None:
    """Make sure that the rules cover each input.

    Raises:
        NodeRefused: they do not.
    """
    for name, each in values.slots.items():
        if each.widget_kind == VIEWER and name == "image":
            raise NodeRefused(
                "its picture is taken by the editor's 3D viewer, which only a browser has."
            )
        if each.widget_kind in _FROM_BROWSER:
            raise NodeRefused(f"{name} is recorded by the browser.")
        if each.kind == AUTOGROW and each.item and each.item.widget_kind:
            raise NodeRefused(f"{name} is a growing list of values, which no rule covers.")
    for slot in node.inputs:
        declared = values.slots.get(slot.name)
        if not (slot.widget and declared and declared.kind == slot.type):
            continue
        if declared.widget_kind is None and not declared.is_forced:
            raise NodeRefused(f"{slot.name} has a widget of an unknown kind, {declared.kind}.")
    if values.is_uncertain:
        raise NodeRefused(
            f"{values.wrong_count}: another version of it has saved them, and which belongs to"
            f" which input is not certain ({'; '.join(values.misfits)})."
        )


def refuse_other_choice(values: WidgetValues, sent: Mapping[str, JsonValue]) -> None:
    """Make sure that a node is `sent` no other choice than the one whose inputs are there.

    Raises:
        NodeRefused: a subgraph's instance or a PrimitiveNode does.
    """
    for name, each in values.inputs.items():
        brings_inputs = each.widget_kind == DYNAMIC_COMBO or each.inputs_beside
        if brings_inputs and sent.get(name) != values.values.get(name):
            raise NodeRefused(
                f"{name} is chosen elsewhere, and which inputs come with that choice is not"
                " certain."
            )


def why_unknown(node: EditorNode) -> str:
    """Why a node is of no class that the server has."""
    if _SUBGRAPH_ID.fullmatch(node.type):
        return "the subgraph that it stands for is not in the file."
    return "the server has no such node class."
