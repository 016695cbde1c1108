"""Which node's file is the take."""

from collections.abc import Collection

from anime.core.proposals.findings import OutputProposal
from anime.core.proposals.graph_view import GraphView

# The kind of file by what flows into the node that saves it.
_KINDS = {
    "IMAGE": "image",
    "SVG": "image",
    "VIDEO": "video",
    "AUDIO": "audio",
    "MESH": "3d",
    "SPLAT": "3d",
    "VOXEL": "3d",
}
_FILM_CLASSES = ("Video", "WEBM", "Animated", "GIF")
_STITCH = "ImageStitch"
_SETS_ONLY = frozenset({"MASK", "INT", "FLOAT", "BOOLEAN", "STRING"})  # flows, but is not shown
_MOST_STITCHES = 4  # that are looked at for one file
_MOST_COMPARED = 50  # by how much of the graph they need
_PREFERRED = ("3d", "video", "audio", "image")  # the rest of a graph's files are steps on the way


def propose_output(
    view: GraphView, shown: Collection[str], chosen: str | None = None
) -> OutputProposal | None:
    """The node that saves the take; None if no node saves a picture, film, sound or mesh.

    `shown` are the ids that App mode shows as outputs; `chosen` is what a person says is meant.
    """
    found = {node_id: _kind_of_file(view, node_id) for node_id in view.graph}
    kinds = {node_id: kind for node_id, kind in found.items() if kind}
    if not kinds:
        return None
    if chosen in kinds:
        rest = tuple(node_id for node_id in kinds if node_id != chosen)
        return OutputProposal(chosen, kinds[chosen], "chosen", others=rest)
    in_app = [node_id for node_id in kinds if node_id in shown]
    ranked = sorted(in_app or kinds, key=lambda node_id: _rank(view, kinds, node_id))
    best, others = ranked[0], tuple(ranked[1:])
    signal = f"{view.class_of(best)} saves what the graph makes"
    if in_app and len(kinds) > 1:
        signal = f"{view.class_of(best)} is an output in App mode"
    return OutputProposal(best, kinds[best], signal, _doubt(view, best, others, kinds), others)


def _kind_of_file(view: GraphView, node_id: str) -> str | None:
    """What a node saves for good; None if it saves nothing, or a text."""
    if "filename_prefix" not in view.values(node_id) or not view.definition(node_id).is_output:
        return None
    class_type = view.class_of(node_id)
    if any(word in class_type for word in _FILM_CLASSES):
        return "video"
    for each in view.definition(node_id).inputs:
        types = [part.strip() for part in each.kind.split(",")]
        for part in types:
            if part in _KINDS:
                return _KINDS[part]
            if part.startswith(("FILE_3D", "MODEL_3D", "LOAD_3D", "LOAD3D")):
                return "3d"
    if any(word in class_type for word in ("GLB", "3D", "Mesh")):
        return "3d"
    return None


def _rank(view: GraphView, kinds: dict[str, str], node_id: str) -> tuple[int, bool, int]:
    """Less is better: the kind, no comparison, then how much of the graph it is made of."""
    kind = _PREFERRED.index(kinds[node_id])
    if len(kinds) > _MOST_COMPARED:
        return kind, False, 0
    made_of = _made_of(view, node_id)
    return kind, _is_comparison(view, kinds, node_id, made_of), -len(made_of)


def _is_comparison(view: GraphView, kinds: dict[str, str], node_id: str, made_of: set[str]) -> bool:
    """Whether it shows what another node saves beside something that none does."""
    saved = set().union(*(_sources(view, each) for each in kinds if each != node_id))
    stitches = [each for each in view.graph if view.class_of(each) == _STITCH]
    for each in [each for each in stitches if saved and each in made_of][:_MOST_STITCHES]:
        sides = [_made_of(view, origin) for _, origin, _ in view.links(each)]
        if len(sides) > 1 and sum(bool(side & saved) for side in sides) == 1:
            return True
    return False


def _made_of(view: GraphView, node_id: str) -> set[str]:
    """The node and all whose pictures, sounds or meshes go into it, in whatever form."""
    found, waiting = {node_id}, [node_id]
    while waiting:
        for _, origin, slot in view.links(waiting.pop()):
            if origin not in found and view.output_type(origin, slot) not in _SETS_ONLY:
                found.add(origin)
                waiting.append(origin)
    return found


def _doubt(view: GraphView, chosen: str, others: tuple[str, ...], kinds: dict[str, str]) -> str:
    """Why the choice is not certain; empty if the other files are steps on the way to it."""
    on_the_way, made_of = set(view.upstream(chosen)), _made_of(view, chosen)
    last = _sources(view, chosen)
    for node_id in others:
        sources = _sources(view, node_id)
        is_alike = kinds[node_id] == kinds[chosen]
        if not sources <= (made_of - last if is_alike else on_the_way):
            return f"{len(others) + 1} nodes save files: which one is the take?"
    return ""


def _sources(view: GraphView, node_id: str) -> set[str]:
    return {origin for _, origin, _ in view.links(node_id)}
