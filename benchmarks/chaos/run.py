"""One chaos run, from the first generation to what must hold in the end."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from pathlib import Path
from uuid import UUID

import httpx
import psycopg

from anime.errors import StackError
from anime.retry_policies import cancel_until_ended
from anime.stack.logs import log_tail
from benchmarks.chaos import stack_state
from benchmarks.chaos.disturb import Disturber
from benchmarks.chaos.invariants import Outcome
from benchmarks.chaos.plan import Disturbance, disturbances
from tests.support.stack import RunningStack, running

STEP_SECONDS = 0.1
SIZE_PX = 64  # the smallest: drawing costs CPU time that a GPU would not
POLL_SECONDS = 0.5
REQUEST_SECONDS = 30  # for one answer of the API, which may be stopped
SUBMITTERS = 16  # requests on their way at a time
BATCH_SHARE = 4  # one generation of so many is of a batch
FAULTS = "2:half-answers=0.01,3:keep-queue,3:history-delay-seconds=0.2"
AWAY = (httpx.HTTPError, psycopg.OperationalError, psycopg.InterfaceError, StackError, OSError)


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """How large a chaos run is, and how patient. Times in seconds."""

    seed: int
    generations: int
    servers: int = 3
    render_seconds: float = 1.5
    every_seconds: float = 4.0  # between two disturbances, about
    disturbing_seconds: float = inf  # after so long, all is left alone
    patience_seconds: float = 600.0  # without any job that ends, before the rest counts as stuck
    settle_seconds: float = 120.0  # for slots, leases and runs to go when all jobs have ended
    is_forked: bool = False  # as tests start a stack, and part after part anew
    variables: Mapping[str, str] = field(default_factory=dict)  # more settings of the stack


@dataclass(frozen=True)
class ChaosReport:
    """What was done, what became of it, and what should not have."""

    options: ChaosOptions
    seconds: float
    done: list[Disturbance]
    outcome: Outcome

    @property
    def violations(self) -> list[str]:
        """A sentence on each invariant that does not hold."""
        return self.outcome.violations()


async def chaos(
    options: ChaosOptions, folder: Path, report: Callable[[str], None] = print
) -> ChaosReport:
    """Run it in that folder, in which logs and files are left."""
    stack = RunningStack(
        folder,
        {
            "ANIME_REHEARSAL_SERVERS": str(options.servers),
            "ANIME_REHEARSAL_STEP_SECONDS": str(STEP_SECONDS),
            "ANIME_REHEARSAL_FAULTS": FAULTS,
            "ANIME_REHEARSAL_LOG": str(folder / "prompts.jsonl"),
            "ANIME_MAX_ATTEMPTS": "10",
            "ANIME_MAX_SERVER_DEATHS": "10",
            **options.variables,
        },
        is_forked=options.is_forked,
    )
    began = time.monotonic()
    async with running(stack):
        run = _ChaosRun(options, stack, Disturber(stack, report), report)
        outcome = await run.outcome()
    return ChaosReport(options, time.monotonic() - began, run.disturber.done, outcome)


@dataclass
class _ChaosRun:
    options: ChaosOptions
    stack: RunningStack
    disturber: Disturber
    report: Callable[[str], None]

    async def outcome(self) -> Outcome:
        in_batch = self.options.generations // BATCH_SHARE
        await self._submit_batch(in_batch)
        parts = sorted(self.stack.record.parts)
        plan = takewhile(
            lambda disturbance: disturbance.at <= self.options.disturbing_seconds,
            disturbances(self.options.seed, parts, every_seconds=self.options.every_seconds),
        )
        disturbing = asyncio.create_task(self.disturber.carry_out(plan))
        try:
            accepted = await self._submit_singly(self.options.generations - in_batch)
            await self._until_all_ended()
        except StackError:
            accepted = []
        finally:
            await cancel_until_ended(disturbing)
        await self._release_quarantined()
        stack_end = self._stack_end()
        left_over = [] if stack_end else await self._settled()
        return Outcome(
            submitted=self.options.generations,
            accepted=frozenset(accepted),
            jobs=[] if stack_end else await stack_state.jobs(self.stack),
            prompts=list(stack_state.logged_prompts(self.stack.folder / "prompts.jsonl")),
            kills=self.disturber.kills,
            left_over=left_over,
            damage=[] if stack_end else await self._damage(),
            stack_end=stack_end,
        )

    def _request(self, number: int) -> dict[str, object]:
        return {
            "prompt": f"frame {number} of a storm at sea",
            "seed": number,
            "width": SIZE_PX,
            "height": SIZE_PX,
            "steps": max(1, round(self.options.render_seconds / STEP_SECONDS)),
        }

    async def _submit_batch(self, count: int) -> None:
        requests = [self._request(-1 - number) | {"seed": number} for number in range(count)]
        file = self.stack.folder / "batch.json"  # JSON is YAML, too
        file.write_text(json.dumps({"name": "chaos", "requests": requests}))
        ended = await self.stack.anime("batch", "--no-wait", str(file))
        if ended.returncode:
            raise StackError(f"The batch was refused: {ended.stderr}", "Read the logs.")

    async def _submit_singly(self, count: int) -> list[UUID]:
        """The jobs of so many requests, some of which are on their way at a time."""
        turn = asyncio.Semaphore(SUBMITTERS)
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False) as http:

            async def submit_in_turn(number: int) -> UUID:
                async with turn:
                    return await self._submit(http, number)

            return await asyncio.gather(*map(submit_in_turn, range(count)))

    async def _submit(self, http: httpx.AsyncClient, number: int) -> UUID:
        """The job of that request, which is sent under its key until it is accepted."""
        body, key = self._request(number), {"Idempotency-Key": f"chaos-{number}"}
        while True:
            try:
                url = f"{self.stack.record.parts['api'].url}/api/anime/generate"
                reply = await http.post(url, json=body, headers=key)
                if reply.status_code == httpx.codes.ACCEPTED:
                    return UUID(reply.json()["job_id"])
                if reply.is_client_error and reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    raise AssertionError(f"{reply.status_code}: {reply.text}")
            except (httpx.HTTPError, KeyError):
                pass  # it is away: as a client does, once more
            await asyncio.sleep(POLL_SECONDS)

    async def _until_all_ended(self) -> None:
        """Return when every job has ended, or none has for as long as the patience lasts."""
        most, since = 0, time.monotonic()
        while time.monotonic() - since < self.options.patience_seconds:
            try:
                count = await stack_state.ended_jobs(self.stack)
            except AWAY:
                count = most
                if self._stack_end():
                    return
            if count > most:
                most, since = count, time.monotonic()
                self.report(f"{self.disturber.seconds:6.1f} s  {count} jobs have ended")
            if count >= self.options.generations:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _release_quarantined(self) -> None:
        """Requeue what two kills at one point have set aside, as a person does once all is calm."""
        try:
            found = [job.error or "" for job in await stack_state.jobs(self.stack)]
        except AWAY:
            return  # the stack has ended, or what is left over will tell
        if any(error.startswith("quarantined") for error in found):
            self.report(f"{self.disturber.seconds:6.1f} s  quarantined jobs are requeued")
            await self.stack.anime("requeue", "--failed", "--kind", "quarantined")
            await self._until_all_ended()

    async def _settled(self) -> list[str]:
        """What is left over when nothing changes any more."""
        until = time.monotonic() + self.options.settle_seconds
        found = ["the parts, which do not answer"]
        while found and time.monotonic() < until:
            try:
                found = await stack_state.left_over(self.stack)
            except AWAY as fault:
                found = [f"a part that does not answer: {fault!r}"]
            if found:
                await asyncio.sleep(POLL_SECONDS)
        return found

    async def _damage(self) -> list[str]:
        ended = await self.stack.anime("verify")
        return [ended.stdout.strip() + ended.stderr.strip()] if ended.returncode else []

    def _stack_end(self) -> str:
        process = self.stack.process
        if process is None or process.poll() is None:
            return ""
        return log_tail(self.stack.log_file)
