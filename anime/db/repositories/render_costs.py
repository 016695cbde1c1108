"""What renders have cost, by workflow, model, size and steps, at each server."""

from collections import defaultdict
from dataclasses import asdict, fields
from typing import Any, cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assignment import LearnedCost, cost_of_steps, learned
from anime.core.render_kind import RenderKind
from anime.db.repositories.leases import NOW
from anime.db.server_models import RenderCost

# Put together once, and without the ORM: that takes longer than what they do.
_COSTS = cast("Table", RenderCost.__table__)
_OF_KIND = select(_COSTS).where(
    *(
        _COSTS.c[each.name] == bindparam(f"of_{each.name}")
        for each in fields(RenderKind)
        if each.name != "steps"
    )
)
_NEW = insert(_COSTS)
_LEARN = _NEW.on_conflict_do_update(
    index_elements=list(_COSTS.primary_key),
    set_={"updated_at": NOW}
    | {each.name: _NEW.excluded[each.name] for each in fields(LearnedCost)},
)


class RenderCostRepository:
    """The costs in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(self, kind: RenderKind) -> dict[str, LearnedCost]:
        """What such renders cost, by server; empty if there was none, with whatever steps."""
        known = await self._by_steps(kind)
        return {server: cost_of_steps(kind.steps, costs) for server, costs in known.items()}

    async def learn(
        self,
        kind: RenderKind,
        server: str,
        *,
        seconds: float,
        had_model: bool,
        peak_vram_mb: int | None = None,
    ) -> None:
        """Take one more render into account. Two at once count as one: a mean bears that."""
        known = await self._by_steps(kind)
        cost = learned(
            known[server].get(kind.steps),
            seconds=seconds,
            had_model=had_model,
            peak_vram_mb=peak_vram_mb,
        )
        await self._session.execute(_LEARN, asdict(kind) | asdict(cost) | {"server": server})

    async def _by_steps(self, kind: RenderKind) -> defaultdict[str, dict[int, LearnedCost]]:
        """The costs of renders that differ in nothing but the steps, by server and steps."""
        rows = await self._session.execute(
            _OF_KIND, {f"of_{name}": value for name, value in asdict(kind).items()}
        )
        known: defaultdict[str, dict[int, LearnedCost]] = defaultdict(dict)
        for row in rows:
            known[row.server][row.steps] = _cost(row)
        return known


def _cost(row: Any) -> LearnedCost:  # a row of _COSTS
    return LearnedCost(row.renders, row.mean_seconds, row.load_seconds, row.peak_vram_mb)
