"""Several processes that look into files, as many as there are cores.

Each is a program of its own that reads questions from its standard input: it ends when that
does, so none outlives a sweep that was killed, and a file that takes its decoder down takes
neither the sweep nor the renders of a warm worker with it. `multiprocessing` would give neither,
and would load the sweep's main program (often all of Prefect) into each of them once more.
"""

import asyncio
import os
import pickle
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from anime.core.sweep_plan import Found, ScannedFile, Unusable


def usable_cores() -> int:
    """The cores this process may use; all of them where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


FEW = 24  # files that are read in this process: a program of its own takes a third of a second
_CHUNK = 25  # files in one question
_CHUNK_SECONDS = 300.0  # a decoder that says nothing for so long is stuck
_STOP_SECONDS = 5.0
LENGTH = struct.Struct(">Q")
_COMMAND = (sys.executable, "-m", "anime.assets.inspection.process")


class ReaderDied(Exception):
    """A reader has crashed or got stuck over what it was asked."""


class InspectionPool:
    """Readers that start when there is much to read; an asynchronous context manager."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or usable_cores()
        self._idle: asyncio.Queue[_Reader] = asyncio.Queue()
        self._readers: list[_Reader] = []

    async def read(self, sightings: Sequence[ScannedFile]) -> list[Found]:
        """What is in each file, in their order."""
        if not sightings:
            return []
        if len(sightings) <= FEW and not self._readers:
            # Most sweeps find nothing new, and need none of the readers.
            from anime.assets.inspection.content import read_files

            return await asyncio.to_thread(read_files, sightings)
        self._start()
        chunks = [sightings[at : at + _CHUNK] for at in range(0, len(sightings), _CHUNK)]
        answers = await asyncio.gather(*map(self._read_chunk, chunks))
        return [found for answer in answers for found in answer]

    def _start(self) -> None:
        if not self._readers:
            self._readers = [_Reader() for _ in range(self._count)]
            for reader in self._readers:
                self._idle.put_nowait(reader)

    async def _read_chunk(self, chunk: Sequence[ScannedFile]) -> list[Found]:
        reader = await self._idle.get()
        try:
            return await reader.ask(chunk)
        except ReaderDied:
            return [await self._read_alone(reader, sighting) for sighting in chunk]
        finally:
            self._idle.put_nowait(reader)

    async def _read_alone(self, reader: "_Reader", sighting: ScannedFile) -> Found:
        """The same of one file, after its chunk has taken a reader down."""
        try:
            return (await reader.ask([sighting]))[0]
        except ReaderDied:
            return Unusable("undecodable", "The program that looked into it crashed or got stuck.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(reader.stop() for reader in self._readers))


class _Reader:
    """One process, started with the first question and anew after a crash."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, sightings: Sequence[ScannedFile]) -> list[Found]:
        try:
            async with asyncio.timeout(_CHUNK_SECONDS):
                return await self._ask(sightings)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as fault:
            await self.stop()
            raise ReaderDied from fault
        except BaseException:
            await self.stop()  # an answer that nobody waits for would be taken for the next
            raise

    async def _ask(self, sightings: Sequence[ScannedFile]) -> list[Found]:
        process = self._process = self._process or await _start()
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        question = pickle.dumps([tuple(sighting) for sighting in sightings])
        process.stdin.write(LENGTH.pack(len(question)) + question)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        answer: list[Found] = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301  ours
        return answer

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()  # it has written nothing that could be half done
        async with asyncio.timeout(_STOP_SECONDS):
            await process.communicate()


async def _start() -> asyncio.subprocess.Process:
    # A session of its own: Ctrl-C is for the sweep, which then ends its readers.
    return await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1024 * 1024,
    )
