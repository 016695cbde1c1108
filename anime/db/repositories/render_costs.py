"""What renders have cost, by workflow, model, size and steps, at each server."""

from collections import defaultdict

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assignment import LearnedCost, cost_of_steps, learned
from anime.core.render_kind import RenderKind
from anime.db.repositories.leases import NOW
from anime.db.server_models import RenderCost


class RenderCostRepository:
    """The costs in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(self, kind: RenderKind) -> dict[str, LearnedCost]:
        """What such renders cost, by server; empty if there was none, with whatever steps."""
        rows = await self._session.scalars(select(RenderCost).where(_is(kind)))
        known: defaultdict[str, dict[int, LearnedCost]] = defaultdict(dict)
        for row in rows:
            known[row.server][row.steps] = _cost(row)
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
        known = await self._session.get(
            RenderCost,
            (kind.workflow, kind.model, kind.size, kind.steps, server),
            populate_existing=True,
        )
        cost = learned(
            _cost(known) if known else None,
            seconds=seconds,
            had_model=had_model,
            peak_vram_mb=peak_vram_mb,
        )
        values = {
            "renders": cost.renders,
            "mean_seconds": cost.mean_seconds,
            "load_seconds": cost.load_seconds,
            "peak_vram_mb": cost.peak_vram_mb,
            "updated_at": NOW,
        }
        row = insert(RenderCost).values(
            workflow=kind.workflow,
            model=kind.model,
            size=kind.size,
            steps=kind.steps,
            server=server,
            **values,
        )
        await self._session.execute(
            row.on_conflict_do_update(
                index_elements=list(RenderCost.__table__.primary_key), set_=values
            )
        )


def _is(kind: RenderKind) -> ColumnElement[bool]:
    """Guard: of that kind, but for the steps."""
    return and_(
        RenderCost.workflow == kind.workflow,
        RenderCost.model == kind.model,
        RenderCost.size == kind.size,
    )


def _cost(row: RenderCost) -> LearnedCost:
    return LearnedCost(row.renders, row.mean_seconds, row.load_seconds, row.peak_vram_mb)
