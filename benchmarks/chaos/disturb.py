"""Carries a plan out on a running stack."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.retry_policies import cancel_until_ended
from benchmarks.chaos.invariants import Kill
from benchmarks.chaos.plan import Action, Disturbance
from benchmarks.chaos.stack_state import connect
from tests.support.stack import RunningStack

_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> %s"


@dataclass
class Disturber:
    """What was done so far. Nothing stays stopped once its block is left."""

    stack: RunningStack
    report: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    done: list[Disturbance] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _stopped: list[psutil.Process] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """How long ago the plan was begun."""
        return time.monotonic() - self.began

    async def carry_out(self, plan: Iterable[Disturbance]) -> None:
        """Do what the plan says, each at its time, until cancelled."""
        self.began = time.monotonic()
        try:
            for disturbance in plan:
                await asyncio.sleep(max(0.0, disturbance.at - self.seconds))
                await self._do(disturbance)
        finally:
            await cancel_until_ended(*self._tasks)
            go_on(self._stopped)

    async def _do(self, disturbance: Disturbance) -> None:
        pid = self.stack.record.parts[disturbance.part].pid
        self.report(str(disturbance))
        self.done.append(disturbance)
        match disturbance.action:
            case Action.KILL:
                self.kills.append(Kill(time.time(), disturbance.part))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            case Action.STOP:
                task = asyncio.create_task(self._stop_for(pid, disturbance.seconds))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Action.CUT:
                await self._cut(disturbance.part)

    async def _stop_for(self, pid: int, seconds: float) -> None:
        stopped = stop_with_children(pid)
        self._stopped += stopped
        await asyncio.sleep(seconds)
        go_on(stopped)

    async def _cut(self, part: str) -> None:
        """End every session of a store; one that is down has none."""
        settings = self.stack.record.settings
        if part == "postgresql":
            with suppress(psycopg.OperationalError):
                async with await connect(settings["database_url"]) as connection:
                    await connection.execute(_END_SESSIONS, [connection.info.backend_pid])
        else:
            with suppress(RedisError, OSError):
                async with Redis.from_url(settings["redis_url"], socket_timeout=5) as redis:
                    for kind in ("normal", "pubsub"):
                        await redis.client_kill_filter(skipme=True, _type=kind)


def stop_with_children(pid: int) -> list[psutil.Process]:
    """The processes, now stopped: PostgreSQL's sessions are in process groups of their own."""
    try:
        leader = psutil.Process(pid)
        leader.suspend()  # first, so that it starts no further ones
        found = [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    for process in found[1:]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    return found


def go_on(processes: Iterable[psutil.Process]) -> None:
    """Let stopped processes go on; those that have ended meanwhile are passed over."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()
