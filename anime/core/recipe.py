"""How a picture, film or sound was made, in one shape whoever made it."""

from collections.abc import Mapping
from functools import reduce
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from anime.core.automatic1111 import parameters_of
from anime.core.foreign_json import read_json, storable_text
from anime.core.graphs import Graph
from anime.core.ids import MAX_SEED
from anime.core.png_metadata import FileStamp, read_stamp
from anime.core.sampling import LoraUse, Sampling, sampling_of

_MAX_PROMPT_CHARS = 50_000
_MAX_NAME_CHARS = 500
_MAX_LORAS = 64
_MAX_NUMBER = 1_000_000  # of steps or pixels
_MAX_NODES = 5_000

Source = Literal["anime", "comfyui", "automatic1111"]
N = TypeVar("N", int, float)


class Recipe(BaseModel):
    """How a file was made; None for what it does not say.

    The seed is decimal text, as it may exceed 2^53. `graph`, `editor_workflow` and `parameters`
    are what the file holds, as it holds it.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: str | None = None
    model: str | None = None
    loras: tuple[LoraUse, ...] = ()
    sampler: str | None = None
    scheduler: str | None = None
    steps: int | None = None
    cfg: float | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    source: Source | None = None
    graph: Graph | None = None
    editor_workflow: JsonValue = None
    parameters: str | None = None

    def seen_in_file(
        self,
        *,
        width: int | None,
        height: int | None,
        frames: int | None,
        duration_seconds: float | None,
    ) -> "Recipe":
        """The same with the size and length the file really has, as it may be scaled or cut."""
        return self.model_copy(
            update={
                "width": self.width if width is None else width,
                "height": self.height if height is None else height,
                "frames": frames,
                "duration_seconds": duration_seconds,
            }
        )

    def metadata(self) -> dict[str, JsonValue]:
        """The fixed shape, all its keys, and beside it the raw texts there are."""
        shape: dict[str, JsonValue] = self.model_dump(mode="json", exclude=set(_RAW))
        raw = {name: getattr(self, name) for name in _RAW}
        return shape | {name: value for name, value in raw.items() if value is not None}


_RAW = ("graph", "editor_workflow", "parameters")


def recipe_of(texts: Mapping[str, str]) -> Recipe:
    """The recipe in the texts of a file. It never raises: foreign texts can hold anything.

    Our own stamp is believed first, then ComfyUI's graph, then AUTOMATIC1111's parameters; what
    one of them leaves open the next may fill.
    """
    stamp, graph = read_stamp(texts), graph_in(texts.get("prompt", ""))
    parameters = parameters_of(texts.get("parameters", ""))
    witnesses: dict[Source, Sampling | None] = {
        "anime": _stamped(stamp) if stamp else None,
        "comfyui": (sampling_of(graph) or Sampling()) if graph else None,
        "automatic1111": parameters,
    }
    heard = {source: said for source, said in witnesses.items() if said is not None}
    said = reduce(Sampling.filled_by, heard.values()) if heard else Sampling()
    return _recipe(said).model_copy(
        update={
            "source": next(iter(heard), None),
            "graph": graph,
            "editor_workflow": read_json(texts.get("workflow", "")),
            "parameters": storable_text(texts["parameters"]) if parameters else None,
        }
    )


def recipe_of_graph(graph: Graph) -> Recipe:
    """The recipe of a graph that was run here."""
    said = _recipe(sampling_of(graph) or Sampling())
    return said.model_copy(update={"source": "comfyui", "graph": graph})


def graph_in(text: str) -> Graph | None:
    """The graph in API format that a text holds; None when it holds none.

    >>> graph_in('{"1": {"class_type": "VAEDecode", "inputs": {}}}')
    {'1': {'class_type': 'VAEDecode', 'inputs': {}}}
    """
    value = read_json(text)
    if not isinstance(value, dict) or not 0 < len(value) <= _MAX_NODES:
        return None
    graph: Graph = {}
    for node_id, node in value.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            return None
        if not isinstance(node.get("inputs"), dict) or not isinstance(node.get("_meta", {}), dict):
            return None
        graph[node_id] = node
    return graph


def _stamped(stamp: FileStamp) -> Sampling:
    return Sampling(
        prompt=stamp.prompt, negative_prompt=stamp.negative_prompt, seed=int(stamp.seed)
    )


def _recipe(said: Sampling) -> Recipe:
    """What was said, as far as it can be true and is short enough to keep."""
    seed = said.seed
    return Recipe(
        prompt=_text(said.prompt, _MAX_PROMPT_CHARS),
        negative_prompt=_text(said.negative_prompt, _MAX_PROMPT_CHARS),
        seed=str(seed) if seed is not None and 0 <= seed <= MAX_SEED else None,
        model=_text(said.model, _MAX_NAME_CHARS),
        loras=tuple(_lora(each) for each in said.loras[:_MAX_LORAS]),
        sampler=_text(said.sampler, _MAX_NAME_CHARS),
        scheduler=_text(said.scheduler, _MAX_NAME_CHARS),
        steps=_number(said.steps),
        cfg=_number(said.cfg),
        width=_number(said.width),
        height=_number(said.height),
    )


def _lora(said: LoraUse) -> LoraUse:
    name = storable_text(said.name)[:_MAX_NAME_CHARS]
    return LoraUse(name=name, strength=_number(said.strength, least=-_MAX_NUMBER))


def _text(said: str | None, max_chars: int) -> str | None:
    return None if said is None else storable_text(said)[:max_chars]


def _number(said: N | None, *, least: int = 0) -> N | None:
    """The number, unless it is beyond all sense; a NaN is."""
    return said if said is not None and least <= said <= _MAX_NUMBER else None
