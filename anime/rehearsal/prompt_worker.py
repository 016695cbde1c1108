"""Runs the queued prompts one by one, and releases memory between them if /free asked for it."""

from collections.abc import Mapping

from anime.errors import ComfyUIError
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.events import Sockets
from anime.rehearsal.fault_injector import FaultInjector
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_types import JsonObject, NodeType
from anime.rehearsal.nodes import node_catalogue
from anime.rehearsal.prompt_log import PromptLog
from anime.rehearsal.prompt_queue import History, KeptQueue, PromptQueue, QueueItem
from anime.rehearsal.prompt_run import PromptRun, RehearsalState


class PromptWorker:
    """The state of one rehearsal server: all of it is lost when the process ends."""

    def __init__(self, config: RehearsalConfig) -> None:
        self.config = config
        self.types: Mapping[str, NodeType] = node_catalogue(config)
        self.sockets = Sockets()
        self.injector = FaultInjector(config.faults)
        gpu = Gpu(config.vram_total_mb, config.load_seconds)
        self.state = RehearsalState(config, self.types, self.sockets, gpu, self.injector)
        self.log = PromptLog(config.log, config.data_dir.name)
        self._kept = KeptQueue(config.data_dir) if config.faults.keep_queue else None
        self.queue = PromptQueue(self._on_queue_change, self._kept.read() if self._kept else ())
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
            await self.injector.before_prompt()
            while item := self._next():
                await self._run(item)
                self._free_if_asked()
                await self.injector.before_prompt()

    def _next(self) -> QueueItem | None:
        try:
            return self.queue.start_next()
        except TypeError as fault:
            raise ComfyUIError(
                "Two waiting prompts share number and id, so nothing runs any more, as in ComfyUI.",
                "Restart the rehearsal server; never send an id and a number twice.",
            ) from fault

    async def _run(self, item: QueueItem) -> None:
        faults = self.config.faults
        run = PromptRun(item, self.state)
        self.log.add("started", run.prompt_id)
        entry = await run.execute()
        self.log.add("succeeded" if entry["status"]["completed"] else "failed", run.prompt_id)
        await self.injector.after_prompt()
        if faults.odd_history:
            entry["status"] = None
        if not faults.lose_history:
            self.history.add(run.prompt_id, entry)
        self.queue.finish()
        run.close()
        if faults.stale_events:
            run.progress.send_all()
        self.injector.after_answer()

    def _free_if_asked(self) -> None:
        if self._unload_models:
            self.state.gpu.unload()
        if self._free_memory:
            self.state.cached_results.clear()
        self._unload_models = self._free_memory = False

    def _on_queue_change(self) -> None:
        if self._kept:
            self._kept.write(self.queue)
        self.sockets.send("status", {"status": self.status()}, None)
