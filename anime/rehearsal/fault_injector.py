"""The simulated errors of a running server: what has been counted, and what holds now."""

import asyncio
import json
import os
import signal
from pathlib import Path
from random import Random

from anime.core.graphs import Graph
from anime.rehearsal.faults import FOR_EVER, Faults, SimulatedNodeError
from anime.rehearsal.sampling import SAMPLERS

HALF = 2
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError",
    "Allocation on device 0 would exceed allowed memory. (rehearsed)",
)
GPU_FAULT = (
    "torch.AcceleratorError",
    "CUDA error: an illegal memory access was encountered (rehearsed)",
)


class FaultInjector:
    """Raises, waits or kills where the server's code asks it to."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.is_answering = asyncio.Event()
        self.is_answering.set()
        self.refuses = asyncio.Event()  # set once no connection is to be accepted
        self._steps = 0
        self._ended = 0
        self._out_of_memory_left = faults.out_of_memory
        self._errors_left = faults.server_errors
        self._random = Random(0)  # noqa: S311  the same answers break off each time

    async def before_prompt(self) -> None:
        """Return when the next prompt may begin; never, once the server is a zombie."""
        if self.faults.zombie_after is not None and self._ended >= self.faults.zombie_after:
            await asyncio.Event().wait()

    def before_node(self, class_type: str, graph: Graph) -> None:
        """Raise the error of that node, if it has one.

        Raises:
            SimulatedNodeError: as configured.
        """
        if class_type in self.faults.out_of_memory_at:
            raise SimulatedNodeError(*OUT_OF_MEMORY)
        if class_type not in SAMPLERS:
            return
        if self.faults.crash_on and self.faults.crash_on in json.dumps(graph, ensure_ascii=False):
            _die()
        if self.faults.gpu_fault_after is not None and self._ended >= self.faults.gpu_fault_after:
            raise SimulatedNodeError(*GPU_FAULT)
        if self._out_of_memory_left:
            self._out_of_memory_left -= 1
            raise SimulatedNodeError(*OUT_OF_MEMORY)

    async def after_step(self) -> None:
        """Die or freeze at the step that is configured."""
        self._steps += 1
        if self._steps == self.faults.crash_at_step:
            _die()
        if self._steps == self.faults.freeze_at_step:
            await self._freeze()

    def holds(self, step: int, steps: int) -> bool:
        """Whether a sampler that has taken that step stays there: before the last one."""
        file = self.faults.hold_while
        return file is not None and step >= steps - 1 and file.exists()

    async def after_prompt(self) -> None:
        """Wait for as long as the history comes late, and count the prompt."""
        await asyncio.sleep(self.faults.history_delay_seconds)
        self._ended += 1

    def after_answer(self) -> None:
        """Accept no connection from now on, if so many prompts have ended."""
        if self.faults.refuse_after is not None and self._ended >= self.faults.refuse_after:
            self.refuses.set()

    async def spoil_file(self, path: Path) -> None:
        """Cut a file that has just been saved, for a while or for ever."""
        if not self.faults.cut_files and not self.faults.write_seconds:
            return
        content = await asyncio.to_thread(path.read_bytes)
        half = len(content) // HALF
        os.truncate(path, half)
        if not self.faults.cut_files:
            await asyncio.sleep(self.faults.write_seconds)
            with path.open("ab") as file:
                file.write(content[half:])

    def is_server_error(self, path: str) -> bool:
        """Whether the request is to be answered with 500; counts it."""
        self._errors_left -= 1
        words = self.faults.server_errors_at
        return self._errors_left >= 0 or bool(words and words in path)

    def is_half_answer(self) -> bool:
        """Whether the answer is to break off."""
        return self._random.random() < self.faults.half_answers

    async def _freeze(self) -> None:
        self.is_answering.clear()
        if self.faults.freeze_seconds == FOR_EVER:
            await asyncio.Event().wait()
        await asyncio.sleep(self.faults.freeze_seconds)
        self.is_answering.set()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
