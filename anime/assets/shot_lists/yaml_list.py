"""A YAML list of mappings as rows of a shot list: a shot each, at its line."""

from collections.abc import Iterator

import yaml

from anime.core.shot_list import MAX_SHOTS, ListFault, ListRow, escaped, refusal_of
from anime.errors import InvalidRequest

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
_TODO = "A shot list in YAML is a list of mappings: docs/shots.md."
_NULL = "tag:yaml.org,2002:null"


def yaml_rows(text: str) -> Iterator[ListRow]:
    """The headings, which are all keys, and a row for each mapping; what it leaves out is None.

    Raises:
        InvalidRequest: it is no list of mappings; each fault is named with its line.
    """
    try:
        tree = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as fault:
        reason = " ".join(str(fault).split())
        raise InvalidRequest(f"The shot list is no YAML: {reason}.", _TODO) from None
    if not isinstance(tree, yaml.SequenceNode):
        raise InvalidRequest("The shot list is no list.", _TODO)
    if len(tree.value) > MAX_SHOTS:
        raise InvalidRequest(
            f"The shot list has {len(tree.value):,} shots; {MAX_SHOTS:,} are the most.", "Split it."
        )
    faults: list[ListFault] = []
    shots = [(_line_of(node), _cells_of(node, faults)) for node in tree.value]
    if faults:
        raise refusal_of(faults)
    headings = list(dict.fromkeys(key for _, cells in shots for key in cells))
    yield ListRow(0, headings, unit="Line")
    for line, cells in shots:
        yield ListRow(line, [cells.get(heading) for heading in headings], unit="Line")


def _cells_of(node: yaml.Node, faults: list[ListFault]) -> dict[str, str]:
    """The texts of a shot by key; what is wrong is added to the faults."""
    row = ListRow(_line_of(node), (), unit="Line")
    if not isinstance(node, yaml.MappingNode):
        faults.append(ListFault(row, "the shot", "is no mapping of fields"))
        return {}
    cells: dict[str, str] = {}
    for key, value in node.value:
        place = ListRow(_line_of(key), (), unit="Line")
        name = key.value if isinstance(key, yaml.ScalarNode) else "a key"
        text = _text_of(value)
        if not isinstance(key, yaml.ScalarNode) or text is None:
            faults.append(ListFault(place, name, "is no text, number or list of texts"))
        elif name in cells:
            faults.append(ListFault(place, name, "is there twice"))
        else:
            cells[name] = text
    return cells


def _text_of(node: yaml.Node) -> str | None:
    """A value as a cell; None for what fits in none."""
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag == _NULL else escaped(str(node.value))
    if isinstance(node, yaml.SequenceNode):
        parts = [_text_of(part) for part in node.value if isinstance(part, yaml.ScalarNode)]
        if len(parts) == len(node.value):
            return ", ".join(filter(None, parts))
    return None


def _line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
