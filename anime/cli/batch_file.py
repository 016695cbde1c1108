"""Reads a batch from a YAML file; errors name the line."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.constructor import SafeConstructor

from anime.core.batches import BatchRequest
from anime.core.field_errors import field_errors_of, said_of
from anime.core.strict_json import load_json
from anime.errors import InvalidRequest

MAX_BYTES = 4_000_000
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
_MERGE = "tag:yaml.org,2002:merge"
_TODO = "docs/batches.md says what a batch may hold."


def load_batch(path: Path) -> BatchRequest:
    """The batch in the file; its name is the file's unless it has one.

    Raises:
        InvalidRequest: the file cannot be read or is no batch; the message names the lines.
    """
    text = _read(path)
    try:
        fields = load_json(text)  # many times as fast, and means what programs have written
    except (ValueError, RecursionError):
        fields = _yaml_in(text, path)
    if not isinstance(fields, dict):
        raise InvalidRequest(f"{path.name} holds no batch: it is no list of fields.", _TODO)
    try:
        return BatchRequest.model_validate({"name": path.stem, **fields})
    except ValidationError as fault:
        errors = fault.errors(include_input=False, include_url=False)
        tree: yaml.Node | None = None
        with suppress(yaml.YAMLError):  # some JSON is no YAML
            tree = yaml.compose(text, Loader=_Loader)
        sentences = [
            f"{path.name}{_line_of(tree, error['loc'])}: {sentence}"
            for error, sentence in zip(errors, field_errors_of(errors), strict=True)
        ]
        raise InvalidRequest(said_of(sentences), _TODO) from None


def _yaml_in(text: str, path: Path) -> Any:  # of any YAML
    try:
        tree = yaml.compose(text, Loader=_Loader)
        repeated = list(_repeated_keys(tree))  # which what `<<` merges in would hide
        fields = SafeConstructor().construct_document(tree) if tree else None
    except yaml.YAMLError as fault:
        raise InvalidRequest(f"{path.name} is no YAML: {_one_line(fault)}.", _TODO) from None
    if repeated:
        sentences = [f"{path.name} {sentence}" for sentence in repeated]
        raise InvalidRequest(said_of(sentences), "Keep one of them, or join the two.")
    return fields


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidRequest(f"{path} is larger than {MAX_BYTES:,} bytes.", "Split the batch.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8"
        raise InvalidRequest(
            f"{path} cannot be read: {reason}.", "Give a YAML file that you may read."
        ) from None


def _repeated_keys(tree: yaml.Node | None) -> Iterator[str]:
    """A sentence for each repeated key, with both lines. YAML itself keeps the last one.

    A key that `<<` merges in may be given again: merging comes later.
    """
    seen: set[int] = set()  # an alias is the same node again, perhaps inside itself
    waiting: list[tuple[str, yaml.Node | None]] = [("", tree)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{path}{n}.", part) for n, part in enumerate(node.value)][::-1]
        elif isinstance(node, yaml.MappingNode):
            yield from _repeated_in(node, path)
            waiting += [(f"{path}{key.value}.", value) for key, value in node.value][::-1]


def _repeated_in(mapping: yaml.MappingNode, path: str) -> Iterator[str]:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        name, line = (key.tag, key.value), key.start_mark.line + 1
        if name in lines:
            yield f"line {line}: {path}{key.value} is in line {lines[name]} already."
        lines.setdefault(name, line)


def _line_of(tree: yaml.Node | None, path: Sequence[int | str]) -> str:
    """The line of a field, such as ` line 7`; that of the nearest parent if it is missing."""
    node = tree
    for step in path:
        child = _child_of(node, step)
        if child is None:
            break
        node = child
    return f" line {node.start_mark.line + 1}" if node is not None else ""


def _child_of(node: yaml.Node | None, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: Any = node.value[step]  # PyYAML's lists are of any node
        return found if isinstance(found, yaml.Node) else None
    return None


def _one_line(fault: yaml.YAMLError) -> str:
    return " ".join(str(fault).split())
