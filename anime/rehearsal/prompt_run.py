"""One prompt from execution_start to its history entry."""

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from anime.core.graphs import is_link, title_of
from anime.rehearsal.behaviours import BEHAVIOURS
from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.events import Sockets
from anime.rehearsal.fault_injector import FaultInjector
from anime.rehearsal.faults import SimulatedNodeError
from anime.rehearsal.folders import annotated_path, content_hash, listed_files
from anime.rehearsal.generic_node import pass_on
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_calls import NodeCall, NodeResult
from anime.rehearsal.node_progress import PromptProgress, preview_jpeg, small_picture
from anime.rehearsal.node_types import JsonObject, NodeType
from anime.rehearsal.prompt_queue import QueueItem
from anime.rehearsal.saving import Metadata
from anime.rehearsal.schedule import execution_order, reachable_nodes, signatures, sources_of
from anime.rehearsal.values import Frame

logger = logging.getLogger(__name__)

HOLD_LOOK_SECONDS = 0.02
PREVIEW_METHODS = frozenset({"none", "auto", "latent2rgb", "taesd"})


class RehearsalInterrupted(Exception):
    """The prompt was stopped by POST /interrupt."""


@dataclass
class RehearsalState:
    """What all prompts of a server share, and the state of the running one."""

    config: RehearsalConfig
    types: Mapping[str, NodeType]
    sockets: Sockets
    gpu: Gpu
    injector: FaultInjector
    cached_results: dict[str, NodeResult] = field(default_factory=dict)
    """Results of the last prompt's nodes, by signature."""
    client_id: str | None = None
    node_id: str | None = None
    """The running node, which is sent to a client that connects meanwhile."""
    is_interrupted: bool = False


class PromptRun:
    """One prompt being executed."""

    def __init__(self, item: QueueItem, state: RehearsalState) -> None:
        _number, self.prompt_id, graph, self.extra_data, self.outputs = item
        self.graph = {node_id: {**node} for node_id, node in graph.items()}  # which is written to
        self.item = item
        self.state = state
        self.client_id: str | None = self.extra_data.get("client_id")
        self.progress = PromptProgress(
            self.prompt_id,
            self.client_id,
            state.sockets,
            tells_every_step=state.config.profile is Profile.V0_3_64,
        )
        self.results: dict[str, NodeResult] = {}
        self.executed: list[str] = []
        self.shown: dict[str, JsonObject] = {}  # what nodes told of their outputs, in that order
        self.messages: list[list[object]] = []
        self.wants_previews = self._wants_previews()
        self.preview_image = Image.new("RGB", (1, 1))  # drawn at the first step

    def _wants_previews(self) -> bool:
        """As the prompt asks, if ComfyUI heeds that; else as the server is set."""
        config = self.state.config
        method = self.extra_data.get("preview_method")
        if config.profile is Profile.V0_3_64 or method not in PREVIEW_METHODS:
            return config.previews
        return bool(method != "none")

    async def execute(self) -> JsonObject:
        """Run the prompt and send its messages; returns its history entry."""
        state = self.state
        state.client_id, state.is_interrupted = self.client_id, False
        self._send_and_keep("execution_start")
        needed = reachable_nodes(self.graph, self.outputs)
        keys = await asyncio.to_thread(signatures, self.graph, needed, self._content_of)
        self.results = {
            node: state.cached_results[key]
            for node, key in keys.items()
            if key in state.cached_results
        }
        state.cached_results = {keys[node]: result for node, result in self.results.items()}
        cached = tuple(self.results)
        self._send_and_keep("execution_cached", nodes=list(cached))
        succeeded = await self._run_nodes(keys, cached)
        if succeeded:
            self._send_and_keep("execution_success")
        return self._history_entry(succeeded=succeeded)

    def close(self) -> None:
        """Send the client that the prompt has ended, in whatever way."""
        self.state.node_id = None
        self._send("executing", {"node": None, "prompt_id": self.prompt_id})

    async def _run_nodes(self, keys: dict[str, str], cached: tuple[str, ...]) -> bool:
        needs = {node: sources_of(self.graph, node, but=self._lazy_inputs(node)) for node in keys}
        for node_id in execution_order(needs, self.outputs, cached):
            if node_id in cached:
                self._send_outputs(node_id)
                self.progress.skip(node_id)
                continue
            try:
                self._begin(node_id)
                if missing := self._missing_sources(node_id):
                    needs[node_id] += missing
                    continue
                self.results[node_id] = await self._run_node(node_id)
            except RehearsalInterrupted:
                self._send_and_keep("execution_interrupted", **self._node_details(node_id))
                return False
            except Exception as fault:  # noqa: BLE001  any error of a node is sent to the client
                logger.warning("Node %s failed: %s", title_of(self.graph[node_id]), fault)
                self._send_and_keep(
                    "execution_error",
                    **self._node_details(node_id),
                    **self._error_details(node_id, fault),
                )
                return False
            self.state.cached_results[keys[node_id]] = self.results[node_id]
            self.executed.append(node_id)
            self._send_outputs(node_id)
            self.progress.finish(node_id)
        for node_id in cached:
            if node_id not in self.outputs:  # it shows something on the way to them
                self._send_outputs(node_id)
        return True

    def _lazy_inputs(self, node_id: str) -> set[str]:
        """The inputs of which a node says which it needs once it has the others."""
        node_type = self.state.types[self.graph[node_id]["class_type"]]
        return {wanted.name for wanted in node_type.inputs if wanted.options.get("lazy")}

    def _missing_sources(self, node_id: str) -> list[str]:
        """The nodes that have not run and whose values this one turns out to need."""
        lazy = self._lazy_inputs(node_id)
        if lazy and "switch" in (given := self._input_values(node_id)):
            lazy -= {"on_false" if given["switch"] else "on_true"}
        values = (self.graph[node_id]["inputs"].get(name) for name in sorted(lazy))
        sources = (value[0] for value in values if is_link(value))
        return [source for source in sources if source not in self.results]

    def _begin(self, node_id: str) -> None:
        self._raise_if_interrupted()
        self.progress.start(node_id)
        self.state.node_id = node_id
        node = {"node": node_id, "display_node": node_id, "prompt_id": self.prompt_id}
        self._send("executing", node)

    async def _run_node(self, node_id: str) -> NodeResult:
        class_type = self.graph[node_id]["class_type"]
        self.state.injector.before_node(class_type, self.graph)
        result = await BEHAVIOURS.get(class_type, pass_on)(self._call(node_id))
        for path in listed_files(self.state.config.folders, result.ui or {}):
            await self.state.injector.spoil_file(path)
        return result

    def _call(self, node_id: str) -> NodeCall:
        async def on_step(step: int, steps: int, frame: Frame) -> None:
            preview = None
            if self.wants_previews:
                if step == 1:
                    self.preview_image = await asyncio.to_thread(small_picture, frame)
                preview = await asyncio.to_thread(preview_jpeg, self.preview_image, step / steps)
            self.progress.step(node_id, step, steps, preview)
            await self.state.injector.after_step()
            while not self.state.is_interrupted and self.state.injector.holds(step, steps):
                await asyncio.sleep(HOLD_LOOK_SECONDS)
            self._raise_if_interrupted()

        extra = self.extra_data.get("extra_pnginfo") or {}
        metadata = Metadata(self.graph, extra, is_written=self.state.config.writes_metadata)
        node_type = self.state.types[self.graph[node_id]["class_type"]]
        inputs = self._input_values(node_id)
        return NodeCall(node_type, inputs, self.state.config, self.state.gpu, metadata, on_step)

    def _input_values(self, node_id: str) -> JsonObject:
        return {
            name: self._linked_value(*value) if is_link(value) else value
            for name, value in self.graph[node_id]["inputs"].items()
        }

    def _hidden_values(self, node_id: str) -> JsonObject:
        """What a node of the old kind is given besides its inputs; it is spelled as a text."""
        known: JsonObject = {
            "PROMPT": self.graph,
            "EXTRA_PNGINFO": self.extra_data.get("extra_pnginfo"),
            "UNIQUE_ID": node_id,
        }
        hidden = self.state.types[self.graph[node_id]["class_type"]].hidden
        return {
            name: known[kind]
            for name, kind in hidden.items()
            if isinstance(kind, str) and kind in known
        }

    def _linked_value(self, source: str, slot: int) -> object:
        """What a node returned; None for an unchecked link that has no source."""
        values = self.results[source].values if source in self.results else ()
        return values[slot] if slot < len(values) else None

    def _raise_if_interrupted(self) -> None:
        if self.state.is_interrupted:
            self.state.is_interrupted = False
            raise RehearsalInterrupted

    def _content_of(self, node_id: str) -> str:
        """The hash of the input file that the node names, if it names one; kept with the node.

        So the files have it in their graph, and the history has not.
        """
        node = self.graph[node_id]
        for wanted in self.state.types[node["class_type"]].inputs:
            if wanted.media:
                name = str(node["inputs"][wanted.name])
                found = content_hash(annotated_path(self.state.config.folders, name))
                node["is_changed"] = [found]
                return found
        return ""

    def _send_outputs(self, node_id: str) -> None:
        ui = self.results[node_id].ui
        if ui is not None:
            self.shown[node_id] = ui
            node = {"node": node_id, "display_node": node_id, "output": ui}
            self._send("executed", {**node, "prompt_id": self.prompt_id})

    def _send_and_keep(self, kind: str, **details: object) -> None:
        """Send a message, and keep it for the history entry."""
        about = {"prompt_id": self.prompt_id, **details, "timestamp": int(time.time() * 1000)}
        if kind == "execution_cached":
            about = {"nodes": about.pop("nodes"), **about}
        self.messages.append([kind, about])
        self._send(kind, about)

    def _send(self, kind: str, payload: JsonObject) -> None:
        if self.client_id is not None:
            self.state.sockets.send(kind, payload, self.client_id)

    def _node_details(self, node_id: str) -> JsonObject:
        return {
            "node_id": node_id,
            "node_type": self.graph[node_id]["class_type"],
            "executed": list(self.executed),
        }

    def _error_details(self, node_id: str, fault: Exception) -> JsonObject:
        kind = type(fault)
        name = kind.__qualname__
        if isinstance(fault, SimulatedNodeError):
            name = fault.reported_as
        elif kind.__module__ != "builtins":
            name = f"{kind.__module__}.{kind.__qualname__}"
        values = self._input_values(node_id) | self._hidden_values(node_id)
        return {
            "exception_message": f"{fault}\n",
            "exception_type": name,
            "traceback": traceback.format_tb(fault.__traceback__),
            "current_inputs": {key: [_shown(value)] for key, value in values.items()},
            "current_outputs": list(self.graph),
        }

    def _history_entry(self, *, succeeded: bool) -> JsonObject:
        return {
            "prompt": list(self.item),
            "outputs": self.shown,
            "status": {
                "status_str": "success" if succeeded else "error",
                "completed": succeeded,
                "messages": self.messages,
            },
            "meta": {
                node: {
                    "node_id": node,
                    "display_node": node,
                    "parent_node": None,
                    "real_node_id": node,
                }
                for node in self.shown
            },
        }


def _shown(value: object) -> object:
    """A value as an error shows it: plain ones as they are, all others as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)
