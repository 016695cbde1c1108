"""Runs the queued prompts one by one, and releases memory between them if /free asked for it."""

import asyncio
from collections.abc import Mapping

from anime.errors import ComfyUIError
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.events import Sockets
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_types import JsonObject, NodeType
from anime.rehearsal.nodes import node_catalogue
from anime.rehearsal.prompt_queue import History, PromptQueue, QueueItem
from anime.rehearsal.prompt_run import PromptRun, RehearsalState


class PromptWorker:
    """The state of one rehearsal server: all of it is lost when the process ends."""

    def __init__(self, config: RehearsalConfig) -> None:
        self.config = config
        self.types: Mapping[str, NodeType] = node_catalogue(config)
        self.sockets = Sockets()
        self.state = RehearsalState(
            config, self.types, self.sockets, Gpu(config.vram_total_mb, config.load_seconds)
        )
        self.queue = PromptQueue(self._broadcast_status)
        self.history = History()
        self._unload_models = False
        self._free_memory = False

    def status(self) -> JsonObject:
        """The number of waiting and running prompts, as in GET /prompt and the `status` message."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop the running prompt at its next step or node, if it has that id or none is given."""
        running = self.queue.running
        if running and prompt_id in (None, running[1]):
            self.state.is_interrupted = True

    def cancel(self, prompt_id: str) -> bool:
        """Remove the prompt from the queue, or stop it if it runs; whether there was one."""
        if self.queue.running and self.queue.running[1] == prompt_id:
            self.state.is_interrupted = True
            return True
        return self.queue.delete([prompt_id])

    def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Unload models and drop cached results once the running prompt has ended."""
        self._unload_models |= unload_models or free_memory
        self._free_memory |= free_memory
        self.queue.wake.set()

    async def run(self) -> None:
        """Run prompts until cancelled.

        Raises:
            ComfyUIError: the queue cannot be sorted; HTTP goes on answering, as ComfyUI's does.
        """
        while True:
            await self.queue.wake.wait()
            self.queue.wake.clear()
            self._free_if_asked()
            while item := self._next():
                await self._run(item)
                self._free_if_asked()

    def _next(self) -> QueueItem | None:
        try:
            return self.queue.start_next()
        except TypeError as fault:
            raise ComfyUIError(
                "Two waiting prompts share number and id, so nothing runs any more, as in ComfyUI.",
                "Restart the rehearsal server; never send an id and a number twice.",
            ) from fault

    async def _run(self, item: QueueItem) -> None:
        run = PromptRun(item, self.state)
        entry = await run.execute()
        await asyncio.sleep(self.config.faults.history_delay_seconds)
        self.history.add(run.prompt_id, entry)
        self.queue.finish()
        run.close()

    def _free_if_asked(self) -> None:
        if self._unload_models:
            self.state.gpu.unload()
        if self._free_memory:
            self.state.cached_results.clear()
        self._unload_models = self._free_memory = False

    def _broadcast_status(self) -> None:
        self.sockets.send("status", {"status": self.status()}, None)
