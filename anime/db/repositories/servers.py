"""The ComfyUI servers that the studio knows, by their canonical addresses."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.server_health import ServerHealth
from anime.core.servers import (
    PauseScope,
    ServerFingerprint,
    ServerRecord,
    default_name,
    server_scope,
)
from anime.db.repositories.leases import NOW, until
from anime.db.server_models import Pause, RegisteredServer
from anime.errors import AlreadyExists, InvalidRequest, NotFound

FRESH_SECONDS = 60.0  # nobody has looked at the servers for longer: what they saw counts no more
# Nothing but a look shows that these have passed.
_PROVEN_BAD = (ServerHealth.LATCHED, ServerHealth.ZOMBIE)
_LOCK = (8328, 6)  # of PostgreSQL's advisory locks: who watches the servers


class ServerRepository:
    """The servers in one transaction. Every address is a canonical one."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def try_lock(self) -> bool:
        """Whether nobody else watches the servers until this transaction ends."""
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock(*_LOCK))))

    async def seed(self, urls: Sequence[str], *, drops_others: bool = False) -> None:
        """Add the servers that the settings name, unless they are known.

        `drops_others`: those that only older settings have named are removed.
        """
        known = await self.list_all()
        urls_known, names = {each.url for each in known}, {each.name for each in known}
        for url in dict.fromkeys(urls):
            if url in urls_known:
                continue
            name = default_name(url)
            await self._session.execute(
                insert(RegisteredServer)
                .values(url=url, name=url if name in names else name, from_settings=True)
                .on_conflict_do_nothing()
            )
            names.add(name)
        if drops_others and urls:
            await self._forget(
                RegisteredServer.from_settings.is_(True), RegisteredServer.url.not_in(urls)
            )

    async def list_all(self) -> list[ServerRecord]:
        """All servers, by name."""
        rows = await self._session.scalars(select(RegisteredServer).order_by(RegisteredServer.name))
        return [_record(row) for row in rows]

    async def healthy(self) -> list[ServerRecord]:
        """Those that may be given prompts, by name: alive, not drained, not paused.

        What was seen of a server counts for FRESH_SECONDS; then nobody watches them, and only
        what does not pass by itself keeps prompts away.
        """
        rows = await self._session.scalars(
            select(RegisteredServer).where(may_be_given_prompts()).order_by(RegisteredServer.name)
        )
        return [_record(row) for row in rows]

    async def not_held_back(self) -> list[ServerRecord]:
        """Those that are given prompts whenever they answer, by name."""
        is_kept = and_(RegisteredServer.health.not_in(_PROVEN_BAD), *_is_wanted())
        rows = await self._session.scalars(
            select(RegisteredServer).where(is_kept).order_by(RegisteredServer.name)
        )
        return [_record(row) for row in rows]

    async def get(self, named: str, *addresses: str) -> ServerRecord:
        """The server with that name, in any case, or the first with a canonical address of these.

        Raises:
            NotFound: there is none.
        """
        storable = named.replace("\0", "\ufffd")  # as no name is
        is_named = func.lower(RegisteredServer.name) == storable.lower()
        row = await self._session.scalar(
            select(RegisteredServer)
            .where(or_(is_named, RegisteredServer.url.in_([storable, *addresses])))
            .order_by(RegisteredServer.url)
            .limit(1)
        )
        if row is None:
            raise NotFound(
                f"There is no ComfyUI server {named!r}.", "`anime servers` lists those known."
            )
        return _record(row)

    async def add(self, url: str, *, name: str | None, labels: Collection[str]) -> ServerRecord:
        """The new server.

        Raises:
            AlreadyExists: it is known, or another one has that name.
        """
        row = await self._session.scalar(
            insert(RegisteredServer)
            .values(url=url, name=name or default_name(url), labels=sorted(set(labels)))
            .on_conflict_do_nothing()
            .returning(RegisteredServer)
        )
        if row is None:
            raise AlreadyExists(
                f"The server {url}, or one of the name {name or default_name(url)}, is known.",
                "`anime servers` lists those known; give it another name.",
            )
        return _record(row)

    async def remove(self, url: str) -> None:
        """Forget the server.

        Raises:
            InvalidRequest: the settings name it.
            NotFound: it is not known.
        """
        server = await self.get(url)
        if server.from_settings:
            raise InvalidRequest(
                f"The settings name {server.name}: it would come back.",
                "Take it out of ANIME_COMFYUI_URL, or drain it.",
            )
        await self._forget(RegisteredServer.url == url)

    async def drain(self, url: str) -> ServerRecord:
        """The server, which finishes what it has and is given nothing more.

        Raises:
            NotFound: it is not known.
        """
        return await self._change(url, {"is_drained": True})

    async def resume(self, url: str) -> ServerRecord:
        """The server, no longer drained, and as if nobody had looked at it: not latched, either.

        Raises:
            NotFound: it is not known.
        """
        unknown = _looked_at(ServerHealth.UNKNOWN, "resumed by a person")
        return await self._change(url, {"is_drained": False, **unknown})

    async def label(self, url: str, labels: Collection[str]) -> ServerRecord:
        """The server, with these labels instead of those that it had.

        Raises:
            NotFound: it is not known.
        """
        return await self._change(url, {"labels": sorted(set(labels))})

    async def set_health(
        self,
        url: str,
        health: ServerHealth,
        reason: str,
        *,
        was: ServerHealth | None = None,
    ) -> bool:
        """Whether the server's health is that from now on, and was not.

        `was`: only if nobody else has found out otherwise meanwhile.
        """
        expected = true() if was is None else RegisteredServer.health == was
        changed = await self._session.scalar(
            update(RegisteredServer)
            .where(RegisteredServer.url == url, RegisteredServer.health != health, expected)
            .values(**_looked_at(health, reason))
            .returning(RegisteredServer.url)
        )
        return changed is not None

    async def note_looks(self, *, answered: Collection[str], silent: Collection[str]) -> None:
        """Record that these were looked at now, and which of them have answered."""
        seen = RegisteredServer.url.in_(answered) if answered else false()
        await self._session.execute(
            update(RegisteredServer)
            .where(RegisteredServer.url.in_([*answered, *silent]))
            .values(
                checked_at=NOW, last_seen_at=case((seen, NOW), else_=RegisteredServer.last_seen_at)
            )
        )

    async def describe(
        self, url: str, fingerprint: ServerFingerprint, offers: Mapping[str, Collection[str]]
    ) -> None:
        """Record what the server can do and which models it has, by folder."""
        await self._session.execute(
            update(RegisteredServer)
            .where(RegisteredServer.url == url)
            .values(
                fingerprint=fingerprint.model_dump(mode="json"),
                offers={folder: sorted(names) for folder, names in offers.items()},
            )
        )

    async def set_loaded_model(self, url: str, model: str | None) -> None:
        """Record the model of the last prompt that it was given; None: it holds none for sure."""
        is_other = RegisteredServer.loaded_model.is_distinct_from(model)
        await self._session.execute(
            update(RegisteredServer)
            .where(RegisteredServer.url == url, is_other)
            .values(loaded_model=model)
        )

    async def _forget(self, *which: ColumnElement[bool]) -> None:
        """Remove these servers, and what was paused of them: nobody could resume it any more."""
        gone = delete(RegisteredServer).where(*which).returning(RegisteredServer.url)
        scopes = [server_scope(url) for url in await self._session.scalars(gone)]
        await self._session.execute(delete(Pause).where(Pause.scope.in_(scopes)))

    async def _change(self, url: str, values: Mapping[str, object]) -> ServerRecord:
        await self._session.execute(
            update(RegisteredServer).where(RegisteredServer.url == url).values(**values)
        )
        return await self.get(url)


def is_fit() -> ColumnElement[bool]:
    """Guard: the server is alive as far as is known."""
    is_fresh = RegisteredServer.checked_at > until(-FRESH_SECONDS)
    return or_(
        RegisteredServer.health == ServerHealth.ALIVE,
        and_(
            func.coalesce(is_fresh, false()).is_(False),
            RegisteredServer.health.not_in(_PROVEN_BAD),
        ),
    )


def may_be_given_prompts() -> ColumnElement[bool]:
    """Guard: the server is alive as far as is known, and neither drained nor paused."""
    return and_(is_fit(), *_is_wanted())


def _is_wanted() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Guards: neither drained nor paused by anybody."""
    is_paused = exists().where(
        Pause.scope == literal(f"{PauseScope.SERVER}:") + RegisteredServer.url
    )
    return ~RegisteredServer.is_drained, ~is_paused


def _looked_at(health: ServerHealth, reason: str) -> dict[str, object]:
    return {"health": health, "health_reason": reason, "health_since": NOW}


def _record(row: RegisteredServer) -> ServerRecord:
    return ServerRecord(
        url=row.url,
        name=row.name,
        labels=tuple(row.labels),
        from_settings=row.from_settings,
        is_drained=row.is_drained,
        health=row.health,
        health_reason=row.health_reason,
        health_since=row.health_since,
        last_seen_at=row.last_seen_at,
        checked_at=row.checked_at,
        fingerprint=ServerFingerprint.model_validate(row.fingerprint) if row.fingerprint else None,
        offers=row.offers,
        loaded_model=row.loaded_model,
    )
