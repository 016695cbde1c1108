"""Several processes that look into files, as many as there are cores.

Each ends with this program, so none outlives a sweep that was killed, and a file that takes its
decoder down takes neither the sweep nor the renders of a warm worker with it. `multiprocessing`
would give neither, and would load the sweep's main program (often all of Prefect) into each of them
once more.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Self

from anime.assets.inspection.content import read_files
from anime.assets.limited_process import (
    MAX_SECONDS_OF_OURS,
    LimitedFunction,
    LimitedProcess,
    ReaderDied,
    answers_to,
    kept_process,
)
from anime.core.sweep_plan import Found, ScannedFile, Unusable


def usable_cores() -> int:
    """The cores this process may use; all of them where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


FEW = 24  # files that one process reads: others take a third of a second each to start
_CHUNK = 25  # files in one question
_READ = LimitedFunction(read_files, list[Found])


class InspectionPool:
    """Readers that start when there is much to read; an asynchronous context manager."""

    def __init__(self) -> None:
        self._idle: asyncio.Queue[LimitedProcess] = asyncio.Queue()
        self._readers: list[LimitedProcess] = []

    async def read(self, sightings: Sequence[ScannedFile]) -> list[Found]:
        """What is in each file, in their order."""
        if not sightings:
            return []
        if len(sightings) <= FEW and not self._readers:
            # Most sweeps find nothing new, and need no readers of their own.
            with kept_process() as reader:
                return await _read_chunk(reader, sightings)
        if not self._readers:
            self._readers = [LimitedProcess() for _ in range(usable_cores())]
            for reader in self._readers:
                self._idle.put_nowait(reader)
        chunks = [sightings[at : at + _CHUNK] for at in range(0, len(sightings), _CHUNK)]
        answers = await asyncio.gather(*map(self._read_by_any, chunks))
        return [found for answer in answers for found in answer]

    async def _read_by_any(self, chunk: Sequence[ScannedFile]) -> list[Found]:
        reader = await self._idle.get()
        try:
            return await _read_chunk(reader, chunk)
        finally:
            self._idle.put_nowait(reader)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            await asyncio.to_thread(reader.stop)


async def _read_chunk(reader: LimitedProcess, chunk: Sequence[ScannedFile]) -> list[Found]:
    try:
        return await _ask(reader, chunk)
    except ReaderDied:
        return [await _read_alone(reader, sighting) for sighting in chunk]


async def _read_alone(reader: LimitedProcess, sighting: ScannedFile) -> Found:
    """The same of one file, after its chunk has taken a reader down."""
    try:
        return (await _ask(reader, [sighting]))[0]
    except ReaderDied:
        return Unusable("undecodable", "The program that looked into it crashed or got stuck.")


async def _ask(reader: LimitedProcess, sightings: Sequence[ScannedFile]) -> list[Found]:
    """What the reader finds; a wait that is cut off ends the reader."""
    try:
        return await asyncio.to_thread(answers_to, reader, _READ, sightings, MAX_SECONDS_OF_OURS)
    except asyncio.CancelledError:
        reader.stop()
        raise
