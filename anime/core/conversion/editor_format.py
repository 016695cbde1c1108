"""The format in which ComfyUI's editor saves a workflow: schema version 0.4."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from anime.core.field_errors import field_errors_of
from anime.errors import InvalidWorkflow

NEVER, BYPASSED = 2, 4  # modes; all others run as usual
SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = "-10", "-20"  # ids of the nodes that a subgraph's links meet
SETTER, GETTER = "SetNode", "GetNode"  # of KJNodes, joined by their only value: a name
NEWEST_VERSION = 0.4
_MOST_FAULTS = 5
_EXPORT = "Save it again with ComfyUI's editor, or export it there with 'Export (API)'."
_LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def _as_id(value: object) -> object:
    """Ids are numbers in most files and texts in some: `5` and `"5"` are the same node."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _as_type(value: object) -> object:
    """The type of a slot: a list of choices is a COMBO, and what is no text is any type."""
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) else "*"


def _as_link(value: object) -> object:
    """A link as an object; in older parts of a file it is a list of six."""
    if isinstance(value, list):
        return dict(zip(_LINK_FIELDS, value, strict=False))
    return value


def _none_as_empty(value: object) -> object:
    return [] if value is None else value


def _other_as_empty(value: object) -> object:
    """Properties are an object; what else a file may have there says nothing."""
    return value if isinstance(value, dict) else {}


def _other_as_unknown(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """What an extension has written in another form tells nothing."""
    try:
        return read(value)
    except ValidationError:
        return None


def _none_as_usual(value: object) -> object:
    return 0 if value is None else value


T = TypeVar("T")
_Id = Annotated[str, BeforeValidator(_as_id)]
_Several = Annotated[tuple[T, ...], BeforeValidator(_none_as_empty)]
_Object = Annotated[dict[str, Any], BeforeValidator(_other_as_empty)]
_SlotType = Annotated[str, BeforeValidator(_as_type)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class EditorInput(_Part):
    """An input slot. `widget` is there where the input can have a value of its own as well."""

    name: str = ""
    type: _SlotType = "*"
    link: _Id | None = None
    widget: Any = None


class EditorOutput(_Part):
    """An output slot."""

    name: str = ""
    type: _SlotType = "*"


class EditorNode(_Part):
    """A node as it was saved. Its values are any JSON."""

    id: _Id
    type: str
    mode: Annotated[int, BeforeValidator(_none_as_usual)] = 0
    title: str | None = None
    inputs: _Several[EditorInput] = ()
    outputs: _Several[EditorOutput] = ()
    properties: _Object = Field(default_factory=dict)
    widgets_values: Any = None
    widgets_values_named: Any = None

    @cached_property
    def links_by_name(self) -> dict[str, str]:
        """The links that come in, by the name of the input."""
        return {slot.name: slot.link for slot in self.inputs if slot.link is not None}

    @property
    def values(self) -> Sequence[Any]:
        """The values by place; empty where there are none, or only by name."""
        return self.widgets_values if isinstance(self.widgets_values, list) else ()

    @property
    def shared_name(self) -> str:
        """The name that a SetNode and its GetNodes have in common."""
        return str(next(iter(self.values), ""))

    @property
    def named_values(self) -> Mapping[str, Any]:
        """The values by name, where the file has them."""
        for named in (self.widgets_values, self.widgets_values_named):
            if isinstance(named, dict):
                return named
        return {}

    @property
    def promoted_widgets(self) -> tuple[tuple[str, str], ...]:
        """Inner node and widget for each value of an instance, as older editors noted them."""
        pairs = self.properties.get("proxyWidgets")
        return tuple(
            (str(pair[0]), str(pair[1]))
            for pair in (pairs if isinstance(pairs, list) else ())
            if isinstance(pair, list) and len(pair) > 1
        )

    @property
    def package(self) -> str | None:
        """The extension that the node comes from; None for ComfyUI's own, and if nothing says."""
        for key in ("cnr_id", "aux_id"):
            name = self.properties.get(key)
            if isinstance(name, str) and name and name != "comfy-core":
                return name
        return None


class EditorLink(_Part):
    """A link from an output slot to an input slot."""

    id: _Id
    origin_id: _Id
    origin_slot: int
    target_id: _Id
    target_slot: int
    type: _SlotType = "*"

    def renamed(self, ids: Mapping[str, str]) -> "EditorLink":
        """The same between the nodes with their new ids, by the old ones."""
        origin, target = (ids.get(each, each) for each in (self.origin_id, self.target_id))
        return self.model_copy(update={"origin_id": origin, "target_id": target})


class SubgraphSlot(_Part):
    """An input or output of a subgraph, and its links inside, the first first."""

    name: str
    type: _SlotType = "*"
    link_ids: Annotated[_Several[_Id], Field(alias="linkIds")] = ()


class Broadcast(_Part):
    """An output that feeds an input without a link, as cg-use-everywhere lists it."""

    upstream: _Id
    upstream_slot: int
    downstream: _Id
    downstream_slot: int


class GraphExtra(_Part):
    """What extensions of the editor write beside a graph."""

    ue_links: Annotated[tuple[Broadcast, ...] | None, WrapValidator(_other_as_unknown)] = None


class EditorGraph(_Part):
    """Nodes and the links between them."""

    nodes: tuple[EditorNode, ...]
    extra: Annotated[GraphExtra, BeforeValidator(_other_as_empty)] = GraphExtra()
    links: _Several[Annotated[EditorLink, BeforeValidator(_as_link)]] = ()

    @cached_property
    def nodes_by_id(self) -> dict[str, EditorNode]:
        """The nodes by id."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def links_by_id(self) -> dict[str, EditorLink]:
        """The links by id."""
        return {link.id: link for link in self.links}

    @cached_property
    def setters_by_name(self) -> dict[str, list[EditorNode]]:
        """The SetNodes by their name."""
        found: dict[str, list[EditorNode]] = {}
        for node in self.nodes:
            if node.type == SETTER:
                found.setdefault(node.shared_name, []).append(node)
        return found


class Subgraph(EditorGraph):
    """The definition of a subgraph; nodes whose type is its id are its instances."""

    id: str
    name: str = ""
    inputs: _Several[SubgraphSlot] = ()
    outputs: _Several[SubgraphSlot] = ()

    @cached_property
    def links_from_input(self) -> tuple[tuple[EditorLink, ...], ...]:
        """For each input, the links that it has inside."""
        links = [link for link in self.links if link.origin_id == SUBGRAPH_INPUTS]
        return tuple(
            _in_order(slot, [link for link in links if link.origin_slot == place])
            for place, slot in enumerate(self.inputs)
        )

    @cached_property
    def links_to_output(self) -> tuple[tuple[EditorLink, ...], ...]:
        """For each output, the links that it has inside."""
        links = [link for link in self.links if link.target_id == SUBGRAPH_OUTPUTS]
        return tuple(
            _in_order(slot, [link for link in links if link.target_slot == place])
            for place, slot in enumerate(self.outputs)
        )


class EditorWorkflow(EditorGraph):
    """A whole file: its top level, and the subgraphs."""

    last_node_id: int = 0
    subgraphs: tuple[Subgraph, ...] = ()
    group_nodes: _Object = Field(default_factory=dict)

    @cached_property
    def subgraphs_by_id(self) -> dict[str, Subgraph]:
        """The subgraphs by id."""
        return {subgraph.id: subgraph for subgraph in self.subgraphs}

    def graphs(self) -> Iterator[EditorGraph]:
        """The top level, then each subgraph in the order of the file."""
        yield self
        yield from self.subgraphs


def parse_editor_workflow(workflow: Mapping[str, Any]) -> EditorWorkflow:
    """The workflow, its form checked.

    Raises:
        InvalidWorkflow: it has another form or a newer version, or an id is there twice.
    """
    _refuse_other_version(workflow.get("version"))
    extra, definitions = (workflow.get(key) or {} for key in ("extra", "definitions"))
    try:
        parsed = EditorWorkflow.model_validate(
            {
                "nodes": workflow.get("nodes"),
                "links": workflow.get("links"),
                "extra": extra,
                "last_node_id": workflow.get("last_node_id") or 0,
                "subgraphs": _part(definitions, "subgraphs") or (),
                "group_nodes": _part(extra, "groupNodes") or {},
            }
        )
    except ValidationError as fault:
        errors = fault.errors(include_input=False, include_url=False)[:_MOST_FAULTS]
        raise InvalidWorkflow(
            " ".join(["The workflow has a form of its own:", *map(str, field_errors_of(errors))]),
            _EXPORT,
        ) from None
    _refuse_repeated_ids(parsed)
    return parsed


def _part(of: object, key: str) -> object:
    return of.get(key) if isinstance(of, dict) else None


def _in_order(slot: SubgraphSlot, links: list[EditorLink]) -> tuple[EditorLink, ...]:
    places = {link_id: place for place, link_id in enumerate(slot.link_ids)}
    return tuple(sorted(links, key=lambda link: places.get(link.id, len(places))))


def _refuse_other_version(version: object) -> None:
    is_known = version is None or (
        isinstance(version, int | float) and 0 <= version <= NEWEST_VERSION
    )
    if not is_known:
        raise InvalidWorkflow(
            f"The workflow has format version {str(version)[:20]}; the newest known here is"
            f" {NEWEST_VERSION}.",
            "Export it in ComfyUI with 'Export (API)', or save it with an editor of today.",
        )


def _refuse_repeated_ids(workflow: EditorWorkflow) -> None:
    for graph in workflow.graphs():
        where = f' in the subgraph "{graph.name[:60]}"' if isinstance(graph, Subgraph) else ""
        _refuse_repeated(f"nodes{where}", [node.id for node in graph.nodes])
        _refuse_repeated(f"links{where}", [link.id for link in graph.links])
    _refuse_repeated("subgraphs", [subgraph.id for subgraph in workflow.subgraphs])


def _refuse_repeated(what: str, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise InvalidWorkflow(f"Two {what} have the id {each[:60]}.", _EXPORT)
        seen.add(each)
