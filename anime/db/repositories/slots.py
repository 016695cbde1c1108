"""The window of prompts in flight: at most so many at each ComfyUI server, first come first served.

The line is common to all servers, and each request in it says which of them can run it. Who frees
a slot gives it to the next in line within the same transaction, and notifies it: see
`anime.core.assignment` for who gets which.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    Executable,
    Float,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assignment import (
    Assignment,
    RenderEstimate,
    ServerLoad,
    WaitingRender,
    assign,
    finish_times,
)
from anime.db.models import RenderSlot
from anime.db.notifications import SLOT
from anime.db.repositories.bulk import rows_of_arrays
from anime.db.repositories.leases import FOR_SECONDS, NOW, until
from anime.db.repositories.pauses import is_held_up
from anime.db.repositories.servers import is_fit, may_be_given_prompts
from anime.db.server_models import RegisteredServer
from anime.db.session import NOTIFY_CHANNEL
from anime.errors import LeaseLost

_LOCK = (8328, 7)  # of PostgreSQL's advisory locks: who changes the slots


# All statements are put together once, and without the ORM: that takes longer than what they do.
_TAKE_LOCK = select(func.pg_advisory_xact_lock(*_LOCK))
_SLOTS, _SERVERS = (cast("Table", each.__table__) for each in (RenderSlot, RegisteredServer))
_AS_TOLD = (_SLOTS.c.server, _SLOTS.c.holds_model, _SLOTS.c.reason)
_IS_REQUESTED = and_(
    _SLOTS.c.job_id == bindparam("of_job"), _SLOTS.c.fence == bindparam("of_fence")
)
_IS_HELD = _SLOTS.c.held_since.is_not(None)
_IS_ALIVE = _SLOTS.c.expires_at > NOW
_GIVEN = select(*_AS_TOLD).where(_IS_REQUESTED, _IS_HELD, _IS_ALIVE)
_RENEW = update(_SLOTS).where(_IS_REQUESTED).values(expires_at=FOR_SECONDS)
_LEAVE = delete(_SLOTS).where(_IS_REQUESTED).returning(_SLOTS.c.server)


def _enqueue() -> Executable:
    """Adds a request to the line, or makes it that of a later run of its job.

    The run before may have submitted the prompt: its slot there is this one's now.
    """
    asked = ("job_id", "fence", "is_interactive", "model", "estimates", "server")
    row = insert(_SLOTS).values(
        **{
            name: bindparam(f"new_{name}", type_=_SLOTS.c[name].type)
            for name in (*asked, "expected_seconds")
        },
        held_since=case((bindparam("is_bound", type_=Boolean), NOW)),
        expires_at=FOR_SECONDS,
    )
    new = row.excluded
    is_same = _SLOTS.c.server == any_(bindparam("kept_at", type_=ARRAY(Text)))
    is_kept = and_(is_same, _IS_HELD, _IS_ALIVE)
    kept = ("server", "held_since", "expected_seconds", "running_since")
    changed = ("fence", "model", "estimates", "expires_at")
    return row.on_conflict_do_update(
        index_elements=[_SLOTS.c.job_id],
        set_={name: case((is_kept, _SLOTS.c[name]), else_=new[name]) for name in kept}
        | {name: new[name] for name in changed},
        where=_SLOTS.c.fence <= new.fence,
    ).returning(*_AS_TOLD)


_ENQUEUE = _enqueue()


def _seconds_since(moment: ColumnElement[Any]) -> ColumnElement[float]:  # None of no time
    return sql_cast(func.extract("epoch", NOW - moment), Float)


# The servers, each with the slots held there, the oldest first; one row if there is none.
_HELD = (
    select(
        _SERVERS.c.url,
        _SERVERS.c.loaded_model,
        may_be_given_prompts().label("is_open"),
        is_fit().label("is_fit"),
        _SERVERS.c.health,
        _SERVERS.c.health_reason,
        _SLOTS.c.job_id,
        func.coalesce(_SLOTS.c.expected_seconds, 0.0).label("expected_seconds"),
        _seconds_since(_SLOTS.c.running_since).label("running_seconds"),
    )
    .select_from(
        _SERVERS.outerjoin(_SLOTS, and_(_SLOTS.c.server == _SERVERS.c.url, _IS_HELD, _IS_ALIVE))
    )
    .order_by(_SERVERS.c.url, _SLOTS.c.held_since)
)
_HELD_NOW = _HELD.add_cte(delete(_SLOTS).where(~_IS_ALIVE).cte("lapsed"))


def _next_runs() -> CTE:
    """Lets the oldest slot of a server count as the one that renders, if none does."""
    held = and_(_SLOTS.c.server == bindparam("left_at", type_=Text), _IS_HELD)
    oldest = select(_SLOTS.c.job_id).where(held).order_by(_SLOTS.c.held_since).limit(1)
    runs = select(_SLOTS.c.job_id).where(held, _SLOTS.c.running_since.is_not(None))
    return (
        update(_SLOTS)
        .where(_SLOTS.c.job_id == oldest.scalar_subquery(), ~runs.exists())
        .values(running_since=NOW)
        .returning(_SLOTS.c.job_id)
        .cte("next")
    )


_HELD_AFTER = _HELD_NOW.add_cte(_next_runs())
_WAITING = (
    select(
        _SLOTS.c.job_id,
        _SLOTS.c.model,
        _SLOTS.c.estimates,
        _seconds_since(_SLOTS.c.asked_at).label("waited_seconds"),
    )
    .where(~_IS_HELD, _IS_ALIVE, ~is_held_up(_SLOTS.c.job_id))
    .order_by(_SLOTS.c.is_interactive.desc(), _SLOTS.c.asked_at, _SLOTS.c.job_id)
)


def _give() -> Select[Any]:
    """Gives slots to requests, and notifies their runs."""
    new = rows_of_arrays(
        "given",
        job_id=("job_ids", Uuid),
        server=("servers", Text),
        expected_seconds=("seconds", Float),
        holds_model=("hold_model", Boolean),
        reason=("reasons", Text),
        runs=("run", Boolean),
    )
    told = ("server", "expected_seconds", "holds_model", "reason")
    admitted = (
        update(_SLOTS)
        .where(_SLOTS.c.job_id == new.c.job_id)
        .values(
            held_since=NOW,
            running_since=case((new.c.runs, NOW)),
            **{name: new.c[name] for name in told},
        )
        .returning(_SLOTS.c.job_id)
        .cte("admitted")
    )
    return select(func.pg_notify(NOTIFY_CHANNEL, SLOT + sql_cast(admitted.c.job_id, Text)))


def _load() -> CTE:
    """Says which model each server will hold."""
    new = rows_of_arrays("loads", url=("at", Text), model=("models", Text))
    is_at = _SERVERS.c.url == new.c.url
    loaded = update(_SERVERS).where(is_at).values(loaded_model=new.c.model)
    return loaded.returning(_SERVERS.c.url).cte("loaded")


_GIVE = _give()
_GIVE_AND_LOAD = _GIVE.add_cte(_load())


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """One run's request for a slot, under the fencing token of its job's lease.

    `estimates` has the servers that can run the render, by canonical address. `bound_to` is the
    one that has its prompt already: a slot there is held at once, as it is taken in fact.
    """

    job_id: UUID
    fence: int
    is_interactive: bool
    estimates: Mapping[str, RenderEstimate]
    model: str = ""
    bound_to: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """How a request stands. `ahead`: how many wait before it, for a server that it can have.

    `is_paused`: a pause of everything, or of its project, holds it up. `open_servers` may be
    given prompts now, whether or not they can run this render. `away` says why others may not,
    unless somebody drained or paused them.
    """

    is_held: bool
    ahead: int = 0
    is_paused: bool = False
    server: str | None = field(default=None, compare=False)
    holds_model: bool = field(default=False, compare=False)
    reason: str = field(default="", compare=False)
    open_servers: frozenset[str] = field(default=frozenset(), compare=False)
    away: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def held_at(self) -> str:
        """The server of a slot that is held."""
        if self.server is None:
            raise ValueError("It is not held.")
        return self.server


@dataclass(frozen=True, slots=True)
class SlotUsage:
    """Who is in flight at a server and who waits; `oldest_wait` is since when."""

    held: int
    waiting: int
    oldest_wait: datetime | None


@dataclass(frozen=True, slots=True)
class _Line:
    """All that is known when slots are given: the servers, and who waits."""

    known: frozenset[str]  # all servers
    open_loads: list[ServerLoad]
    idle: frozenset[str]  # nothing of ours is there
    away: dict[str, str]  # servers that are not fit, with the reason
    waiting: list[WaitingRender]  # those that no pause holds up


class SlotRepository:
    """The slots in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ask(self, request: SlotRequest, *, size: int, seconds: float) -> Slot:
        """How the request stands; a new one joins the line. It is kept for so many seconds.

        Interactive jobs go before those of batches, then the one that asked first.

        Raises:
            LeaseLost: a later run of the job has asked.
        """
        await self._lock()
        slot = await self._enqueue(request, seconds)
        if slot.is_held:
            return slot
        line = await self._line(size)
        given = {each.job_id: each for each in await self._admit(line)}
        return _standing(request, line, given)

    async def given(self, request: SlotRequest) -> Slot | None:
        """The slot that the request was given since it asked; None if it still waits.

        Nobody has to be waited for, as slots of others do not change by it.
        """
        row = (await self._session.execute(_GIVEN, _values_of(request))).one_or_none()
        return row and _held_slot(*row)

    async def renew(self, request: SlotRequest, *, seconds: float) -> None:
        """Keep the slot for so many seconds from now. One that has gone to others stays gone."""
        await self._session.execute(_RENEW, _values_of(request) | _lasting(seconds))

    async def leave(self, request: SlotRequest, *, size: int) -> None:
        """Give the slot, held or waited for, to the next in line."""
        await self._lock()
        server = await self._session.scalar(_LEAVE, _values_of(request))
        await self._admit(await self._line(size, left=server))

    async def state(self, server: str) -> SlotUsage:
        """The window as it is; those without a sign of life are left out."""
        waits = RenderSlot.held_since.is_(None)
        row = await self._session.execute(
            select(
                func.count().filter(~waits),
                func.count().filter(waits),
                func.min(RenderSlot.asked_at).filter(waits),
            ).where(
                or_(RenderSlot.server == server, and_(waits, RenderSlot.estimates.has_key(server))),
                RenderSlot.expires_at > NOW,
            )
        )
        return SlotUsage(*row.one())

    async def seconds_left(self, *, size: int) -> dict[UUID, float]:
        """In how many seconds each render in flight or in line is expected to be finished."""
        rows = (await self._session.execute(_HELD)).all()
        line = await self._read_line(rows, size)
        ends: dict[UUID, float] = {}
        for slots in _by_server(rows).values():
            work = 0.0
            for slot in slots:
                work += _seconds_left_of(slot)
                ends[slot.job_id] = work
        return ends | finish_times(line.waiting, line.open_loads)

    async def prune(self, *, older_than_seconds: float) -> int:
        """How many rows were removed: those that have counted for nothing for so long."""
        gone = await self._session.scalars(
            delete(RenderSlot)
            .where(RenderSlot.expires_at < until(-older_than_seconds))
            .returning(RenderSlot.job_id)
        )
        return len(gone.all())

    async def _lock(self) -> None:
        """Wait for the others who change the slots; ends with the transaction."""
        await self._session.execute(_TAKE_LOCK)

    async def _enqueue(self, request: SlotRequest, seconds: float) -> Slot:
        bound = request.bound_to
        values = {
            "new_job_id": request.job_id,
            "new_fence": request.fence,
            "new_is_interactive": request.is_interactive,
            "new_model": request.model,
            "new_estimates": {
                url: [estimate.seconds, estimate.load_seconds]
                for url, estimate in request.estimates.items()
            },
            "new_server": bound,
            "new_expected_seconds": _expected_seconds(request),
            "is_bound": bound is not None,
            "kept_at": [bound] if bound else list(request.estimates),
        }
        known = await self._session.execute(_ENQUEUE, values | _lasting(seconds))
        found = known.one_or_none()
        if found is None:
            raise LeaseLost(
                f"A later run of job {request.job_id} waits for a slot already.",
                "That run goes on with it.",
            )
        return _held_slot(*found)

    async def _line(self, size: int, *, left: str | None = None) -> _Line:
        """The line without those that have lapsed; a slot at the server `left` is free again."""
        statement, values = (_HELD_NOW, {}) if left is None else (_HELD_AFTER, {"left_at": left})
        rows = (await self._session.execute(statement, values)).all()
        return await self._read_line(rows, size)

    async def _read_line(self, held: Sequence[Any], size: int) -> _Line:  # rows of `_held`
        waiting = (await self._session.execute(_WAITING)).all()
        by_server = _by_server(held)
        servers = {row.url: row for row in held}
        return _Line(
            known=frozenset(servers),
            open_loads=[
                ServerLoad(
                    url=url,
                    free_slots=max(0, size - len(by_server[url])),
                    work_seconds=sum(map(_seconds_left_of, by_server[url])),
                    loaded_model=row.loaded_model,
                )
                for url, row in servers.items()
                if row.is_open
            ],
            idle=frozenset(servers.keys() - {url for url, slots in by_server.items() if slots}),
            away={
                url: f"{row.health}, {row.health_reason}"
                for url, row in servers.items()
                if not row.is_fit
            },
            waiting=[_waiting(row) for row in waiting],
        )

    async def _admit(self, line: _Line) -> list[Assignment]:
        """Give free slots to those in front of the line, and notify them."""
        if not line.waiting or not any(load.free_slots for load in line.open_loads):
            return []
        given = assign(line.waiting, line.open_loads)
        if given:
            await self._session.execute(*_gives(given, line.idle))
        return given


def _by_server(held: Sequence[Any]) -> defaultdict[str, list[Any]]:  # rows of `_held`
    by_server: defaultdict[str, list[Any]] = defaultdict(list)
    for row in held:
        if row.job_id is not None:
            by_server[row.url].append(row)
    return by_server


def _seconds_left_of(slot: Any) -> float:  # a row of `_held`
    """What it is expected to take still. The longer one is overdue, the less it is near its end."""
    expected: float = slot.expected_seconds
    return expected if slot.running_seconds is None else abs(expected - slot.running_seconds)


def _waiting(row: Any) -> WaitingRender:  # a row of RenderSlot
    estimates = {url: RenderEstimate(*seconds) for url, seconds in row.estimates.items()}
    return WaitingRender(row.job_id, row.model, estimates, row.waited_seconds)


def _gives(
    given: Sequence[Assignment], idle: frozenset[str]
) -> tuple[Executable, dict[str, object]]:
    """Gives the slots, says which model each server will hold, and notifies the runs."""
    first: dict[str, UUID] = {}
    for each in given:
        first.setdefault(each.server, each.job_id)
    models = {each.server: each.model for each in given if each.model and not each.holds_model}
    values: dict[str, object] = {
        "job_ids": [each.job_id for each in given],
        "servers": [each.server for each in given],
        "seconds": [each.expected_seconds for each in given],
        "hold_model": [each.holds_model for each in given],
        "reasons": [each.reason for each in given],
        "run": [each.server in idle and first[each.server] == each.job_id for each in given],
    }
    if not models:
        return _GIVE, values
    return _GIVE_AND_LOAD, values | {"at": list(models), "models": list(models.values())}


def _standing(request: SlotRequest, line: _Line, given: Mapping[UUID, Assignment]) -> Slot:
    if mine := given.get(request.job_id):
        return Slot(
            is_held=True, server=mine.server, holds_model=mine.holds_model, reason=mine.reason
        )
    order = [render.job_id for render in line.waiting]
    is_paused = request.job_id not in order
    before = [] if is_paused else line.waiting[: order.index(request.job_id)]
    removed = dict.fromkeys(request.estimates.keys() - line.known, "removed")
    rivals = [
        render
        for render in before
        if render.job_id not in given and render.estimates.keys() & request.estimates.keys()
    ]
    return Slot(
        is_held=False,
        ahead=len(rivals),
        is_paused=is_paused,
        open_servers=frozenset(load.url for load in line.open_loads),
        away=line.away | removed,
    )


def _held_slot(server: str | None, holds_model: bool | None, reason: str) -> Slot:  # noqa: FBT001  a row
    return Slot(
        is_held=server is not None, server=server, holds_model=bool(holds_model), reason=reason
    )


def _expected_seconds(request: SlotRequest) -> float | None:
    estimate = request.estimates.get(request.bound_to) if request.bound_to else None
    return estimate.seconds if estimate else None


def _values_of(request: SlotRequest) -> dict[str, object]:
    """The values of _IS_REQUESTED."""
    return {"of_job": request.job_id, "of_fence": request.fence}


def _lasting(seconds: float) -> dict[str, object]:
    """The value of FOR_SECONDS."""
    return {"for_seconds": timedelta(seconds=seconds)}
