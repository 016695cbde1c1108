"""One attempt at a job that has ended well, and all that is known of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import cast
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from anime.assets.metadata import SavedFile, recipe_of_graph
from anime.comfyui.models import HistoryEntry, OutputFile
from anime.core.assets import Provenance
from anime.core.graph_facts import facts_of, lora_strengths, workflow_hash
from anime.core.graphs import Graph
from anime.core.paths import slug_of
from anime.schemas import GenerationRequest

# Node classes that number files as ComfyUI does and list none, and the suffix of their files.
_UNLISTED = {"SaveImageKJ": "png"}


@dataclass(frozen=True)
class RenderResult:
    """What ComfyUI made for one attempt; of one node's files if `output_node` is its id."""

    job_id: UUID
    request: GenerationRequest
    seed: int
    attempt: int
    prompt_id: UUID
    graph: Graph
    entry: HistoryEntry
    comfyui_url: str
    comfyui_version: str
    submitted_at: datetime
    output_node: str | None = None
    device: str = ""

    @property
    def saved(self) -> tuple[OutputFile, ...]:
        """The files that are the job's, in the order of their nodes, then those that none lists."""
        files = (*self.entry.saved, *self._unlisted())
        return tuple(file for file in files if self._is_of_take(file))

    @property
    def unkept(self) -> tuple[str, ...]:
        """What nodes list and nobody keeps, a few words each."""
        others = (file for file in self.entry.saved if not self._is_of_take(file))
        beside = (f"{file.filename} of node {file.node_id} (not the take)" for file in others)
        return (*self.entry.unkept, *beside)

    def _unlisted(self) -> Iterator[OutputFile]:
        """What nodes save and do not list, as a pattern of names."""
        for node_id, node in self.executed_graph.items():
            suffix = _UNLISTED.get(node["class_type"])
            prefix = node["inputs"].get("filename_prefix")
            if suffix and isinstance(prefix, str):
                folder, _, name = prefix.rpartition("/")
                yield OutputFile(
                    filename=f"{name}_%05d_.{suffix}",
                    subfolder=folder,
                    node_id=node_id,
                    key="unlisted",
                )

    def _is_of_take(self, file: OutputFile) -> bool:
        return self.output_node in (None, file.node_id)

    @property
    def project(self) -> str | None:
        """Slug of the project; None for none."""
        return slug_of(self.request.project) if self.request.project else None

    @property
    def executed_graph(self) -> Graph:
        """The graph as the server says it ran: its values as coerced there."""
        return self.entry.graph or self.graph

    @property
    def finished_at(self) -> datetime:
        """When the files were made: the server's word, else the time we sent the prompt."""
        return _utc(self.entry.ended_ms) or self.submitted_at

    def _timings(self) -> JsonValue:
        """When what happened, by our clock and the server's, and how long the GPU was at it."""
        started, finished = self.entry.started_ms, self.entry.ended_ms
        timings: JsonValue = to_jsonable_python(
            {
                "submitted_at": self.submitted_at,
                "started_at": _utc(started),
                "finished_at": _utc(finished),
                "render_seconds": (finished - started) / 1000 if started and finished else None,
            }
        )
        return timings

    def day(self, zone: tzinfo) -> date:
        """The day the files were made, in the studio's time zone."""
        return self.finished_at.astimezone(zone).date()

    def made_by(self, node_id: str | None) -> dict[str, JsonValue]:
        """How the files of one node were made, as its branch of the graph says."""
        graph = self.executed_graph
        made = recipe_of_graph(graph, SavedFile(node_id=node_id)).metadata()
        strengths = lora_strengths(graph)
        loras = cast("list[dict[str, JsonValue]]", made["loras"])
        made["loras"] = [{**lora, **strengths.get(str(lora["name"]), {})} for lora in loras]
        return {name: value for name, value in made.items() if name not in _ASKED}

    def metadata(self) -> dict[str, JsonValue]:
        """What the rows of this take's files keep beside their columns.

        The keys of a `Recipe`, as in the row of any file, and what is known of ours only.
        """
        graph = self.executed_graph
        return {
            **facts_of(graph),
            **self.made_by(self.output_node),
            "graph": cast("JsonValue", graph),
            "source": "anime",
            "prompt": self.request.prompt,
            "negative_prompt": self.request.negative_prompt,
            "seed": str(self.seed),
            "workflow": self.request.workflow_name,
            "workflow_sha256": workflow_hash(graph),
            "project": self.request.project,
            "character": self.request.first_character,
            "characters": cast("JsonValue", self.request.named_characters),
            "shot": self.request.shot,
            "prompt_id": str(self.prompt_id),
            "attempt": self.attempt,
            "server": {
                "url": self.comfyui_url,
                "comfyui_version": self.comfyui_version,
                "device": self.device,
            },
            "timings": self._timings(),
        }

    def origin(self, source: str, measures: Mapping[str, JsonValue]) -> Provenance:
        """What is to be known of a file of this take that cannot carry our stamp itself.

        `source` is its sub-folder and name in ComfyUI's output, `measures` its size and length.
        """
        return Provenance(
            job_id=self.job_id,
            project=self.request.project,
            project_slug=self.project,
            character=self.request.first_character,
            shot=self.request.shot,
            prompt=self.request.prompt,
            negative_prompt=self.request.negative_prompt,
            seed=str(self.seed),
            workflow=self.request.workflow_name,
            source_path=source,
            created_at=self.finished_at,
            metadata={**self.metadata(), **measures},
        )


# What was asked for counts before what the graph says, and the graph is the same for all nodes.
_ASKED = frozenset({"prompt", "negative_prompt", "seed", "source", "graph"})


def _utc(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
