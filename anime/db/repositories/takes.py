"""Takes of shots, and their reviews."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Row, false, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import JobStatus
from anime.core.paths import FileState
from anime.core.shots import code_key
from anime.core.takes import (
    NewReview,
    PicturePoint,
    ReviewAction,
    TakeNote,
    TakeRecord,
    TakeState,
    Verdict,
    retake_job_id,
)
from anime.db.models import AnimeFile, ProductionJob
from anime.db.repositories.bulk import insert_missing, is_among
from anime.db.repositories.files import record_of
from anime.db.repositories.leases import NOW
from anime.db.repositories.retention import REJECTED
from anime.db.shot_models import Review, Shot, Take
from anime.errors import InvalidRequest, NotFound
from anime.schemas import FileRecord, GenerationRequest

_STATE = ("verdict", "is_picked", "reason", "note")


class TakeRepository:
    """The takes in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def number(self, project_id: UUID, codes: Sequence[str] | None = None) -> None:
        """Give numbers to the files of the project's shots that have none, in order.

        The shots' rows are locked, so that no number is given twice; in the order of their codes,
        as by an import.
        """
        files = (
            select(Shot.id, AnimeFile.id, AnimeFile.job_id)
            .join(
                ProductionJob,
                (ProductionJob.project_id == Shot.project_id) & (ProductionJob.shot == Shot.code),
            )
            .join(AnimeFile, AnimeFile.job_id == ProductionJob.id)
            .where(Shot.project_id == project_id)
            .where(~select(Take.file_id).where(Take.file_id == AnimeFile.id).exists())
            .order_by(AnimeFile.id)
        )
        if codes is not None:
            files = files.where(is_among(Shot.code_key, [code_key(code) for code in codes]))
        shots = {row[0] for row in await self._session.execute(files)}
        if not shots:
            return
        locked = select(Shot.id, Shot.takes_given).where(is_among(Shot.id, shots)).with_for_update()
        given = {
            row[0]: row[1] for row in await self._session.execute(locked.order_by(Shot.code_key))
        }
        rows = []
        for shot_id, file_id, job_id in await self._session.execute(files):  # as they are now
            if shot_id in given:
                given[shot_id] += 1
                rows.append(
                    {
                        "shot_id": shot_id,
                        "number": given[shot_id],
                        "file_id": file_id,
                        "job_id": job_id,
                    }
                )
        if rows:
            await insert_missing(self._session, Take, rows, returning="number")
            await self._session.execute(
                update(Shot), [{"id": each, "takes_given": count} for each, count in given.items()]
            )

    async def of_shots(self, shot_ids: Sequence[UUID]) -> list[TakeRecord]:
        """The takes of the shots, by shot and number."""
        rows = await self._session.execute(
            select(
                Take,
                Shot.code.label("shot"),
                AnimeFile.file_path.label("path"),
                AnimeFile.media_type,
                AnimeFile.width,
                AnimeFile.height,
                AnimeFile.colours,
                ProductionJob.seed,
                ProductionJob.composition["style_version"].as_integer().label("style_version"),
            )
            .join(Shot, Shot.id == Take.shot_id)
            .outerjoin(AnimeFile, AnimeFile.id == Take.file_id)
            .outerjoin(ProductionJob, ProductionJob.id == Take.job_id)
            .where(is_among(Take.shot_id, shot_ids))
            .order_by(Shot.sort_key, Shot.code_key, Take.number)
        )
        notes = await self._notes(shot_ids)
        return [_record(row, notes[row.Take.shot_id, row.Take.number]) for row in rows]

    async def _notes(self, shot_ids: Sequence[UUID]) -> defaultdict[Any, list[TakeNote]]:
        """What was noted of the takes and not undone, by shot and number."""
        rows = await self._session.scalars(
            select(Review)
            .where(is_among(Review.shot_id, shot_ids), Review.note != "", ~Review.is_undone)
            .order_by(Review.id)
        )
        found: defaultdict[Any, list[TakeNote]] = defaultdict(list)
        for row in rows:
            found[row.shot_id, row.number].append(_note(row))
        return found

    async def get(self, project_id: UUID, code: str, number: int) -> TakeRecord:
        """That take.

        Raises:
            NotFound: the project has no such shot, or the shot no such take.
        """
        await self.number(project_id, [code])
        shot_id = await self._lock(project_id, code)
        found = [each for each in await self.of_shots([shot_id]) if each.number == number]
        if not found:
            raise _no_such_take(code, number)
        return found[0]

    async def review(
        self, project_id: UUID, said: NewReview, *, max_retakes: int = 0
    ) -> TakeRecord:
        """The take as the review leaves it.

        Raises:
            NotFound: the project has no such shot, or the shot no such take.
            InvalidRequest: there is nothing to undo, or the shot has had its `max_retakes`.
        """
        await self.number(project_id, [said.shot])
        shot_id = await self._lock(project_id, said.shot)
        take = await self._session.get(Take, (shot_id, said.take), populate_existing=True)
        if take is None:
            raise _no_such_take(said.shot, said.take)
        if said.retake:
            await self._ask_for_retake(take, said, max_retakes)
        if said.action is ReviewAction.UNDO:
            before = await self._undo(take)
        else:
            before = await self._apply(take, said)
        self._session.add(
            Review(
                shot_id=shot_id,
                number=said.take,
                action=said.action,
                reason=said.reason,
                note=said.note,
                point_x=said.point.x if said.point else None,
                point_y=said.point.y if said.point else None,
                reviewed_by=said.by,
                changes=before,
                is_undone=said.action is ReviewAction.UNDO,
            )
        )
        take.reviewed_by = said.by
        take.reviewed_at = (await self._session.execute(select(NOW))).scalar_one()
        await self._session.flush()
        [found] = [each for each in await self.of_shots([shot_id]) if each.number == said.take]
        return found

    async def picked(
        self, shot_ids: Sequence[UUID]
    ) -> dict[UUID, tuple[GenerationRequest, str | None]]:
        """What each shot's picked take was asked for with, if that still can be read, and the
        digest of what it was made from, if that was kept.
        """
        rows = await self._session.execute(
            select(
                Take.shot_id,
                ProductionJob.params,
                ProductionJob.composition["digest"].as_string(),
            )
            .join(ProductionJob, ProductionJob.id == Take.job_id)
            .where(is_among(Take.shot_id, shot_ids), Take.is_picked)
        )
        return _asked_for(rows)

    async def best_files(self, shot_ids: Sequence[UUID]) -> dict[UUID, tuple[FileRecord, bool]]:
        """The file that stands for each shot, and whether its take is picked.

        It is the picked take; else the newest that is not rejected.
        """
        rows = await self._session.execute(
            select(Take.shot_id, Take.is_picked, AnimeFile)
            .join(AnimeFile, AnimeFile.id == Take.file_id)
            .where(is_among(Take.shot_id, shot_ids))
            .where(Take.verdict.is_distinct_from(Verdict.REJECTED))
            .order_by(Take.is_picked, Take.number)  # the last one of each shot stays
        )
        return {shot_id: (record_of(file), is_picked) for shot_id, is_picked, file in rows}

    async def rejected_jobs(self, shot_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
        """The jobs of each shot whose files are all rejected."""
        rows = await self._session.execute(
            select(Take.shot_id, Take.job_id)
            .where(is_among(Take.shot_id, shot_ids))
            .group_by(Take.shot_id, Take.job_id)
            .having(func.bool_and(func.coalesce(Take.verdict == Verdict.REJECTED, false())))
        )
        return _sets_of(rows)

    async def retakes(self, shot_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
        """The retakes of each shot that wait, render or are there: their jobs."""
        given_up = (JobStatus.FAILED, JobStatus.CANCELLED)
        rows = await self._session.execute(
            select(Take.shot_id, ProductionJob.id)
            .join(ProductionJob, ProductionJob.id == Take.retake_job_id)
            .where(is_among(Take.shot_id, shot_ids), ProductionJob.status.not_in(given_up))
        )
        return _sets_of(rows)

    async def made_from(
        self, job_ids: Collection[UUID]
    ) -> dict[UUID, tuple[GenerationRequest, str | None]]:
        """The same as `picked` of each of these jobs."""
        rows = await self._session.execute(
            select(
                ProductionJob.id,
                ProductionJob.params,
                ProductionJob.composition["digest"].as_string(),
            ).where(is_among(ProductionJob.id, list(job_ids)))
        )
        return _asked_for(rows)

    async def _ask_for_retake(self, take: Take, said: NewReview, most: int) -> None:
        """Say which job renders the take anew: always the same one for a take."""
        if take.retake_job_id is None:
            asked = await self._session.scalar(
                select(func.count())
                .select_from(Take)
                .where(Take.shot_id == take.shot_id, Take.retake_job_id.is_not(None))
            )
            if (asked or 0) >= most:
                raise InvalidRequest(
                    f"Shot {said.shot} has had {asked} retakes, which are the most.",
                    "Reject it without a retake, or allow more: --max-retakes, ANIME_MAX_RETAKES.",
                )
            take.retake_job_id = retake_job_id(take.shot_id, take.number)
        if said.prompt is not None:
            await self._session.execute(
                update(Shot)
                .where(Shot.id == take.shot_id)
                .values(prompt=said.prompt, updated_at=NOW)
            )

    async def _lock(self, project_id: UUID, code: str) -> UUID:
        found = await self._session.scalar(
            select(Shot.id)
            .where(Shot.project_id == project_id, Shot.code_key == code_key(code))
            .with_for_update()
        )
        if found is None:
            raise NotFound(f"There is no shot {code[:64]!r}.", "`anime shots list` has the codes.")
        return found

    async def _apply(self, take: Take, said: NewReview) -> dict[str, Any]:
        """Change the take, and the one that was picked until now; their states before it."""
        before = {str(take.number): _state(take).model_dump(mode="json")}
        if said.action is ReviewAction.PICK:
            others = await self._session.scalars(
                select(Take).where(
                    Take.shot_id == take.shot_id, Take.is_picked, Take.number != take.number
                )
            )
            for other in others.all():
                before[str(other.number)] = _state(other).model_dump(mode="json")
                await self._set(other, _state(other).model_copy(update={"is_picked": False}))
        await self._set(take, _state(take).after(said))
        return before

    async def _undo(self, take: Take) -> dict[str, Any]:
        last = await self._session.scalar(
            select(Review)
            .where(
                Review.shot_id == take.shot_id,
                Review.number == take.number,
                Review.is_undone.is_(False),
            )
            .order_by(Review.id.desc())
            .limit(1)
        )
        if last is None:
            raise InvalidRequest(
                f"Nothing was said of take {take.number} that could be undone.",
                "`anime takes` shows what was said.",
            )
        last.is_undone = True
        before = {}
        states = {
            int(number): TakeState.model_validate(each) for number, each in last.changes.items()
        }
        picked_since = await self._session.scalar(
            select(Take.number).where(
                Take.shot_id == take.shot_id, Take.is_picked, Take.number.not_in(states)
            )
        )
        for number in sorted(states, key=lambda each: states[each].is_picked):
            other = await self._session.get_one(Take, (take.shot_id, number))
            now, former = _state(other), states[number]
            before[str(number)] = now.model_dump(mode="json")
            left = former if other is take else now  # what was said of others since stays
            is_picked = (
                former.is_picked and picked_since is None and left.verdict is not Verdict.REJECTED
            )
            await self._set(other, left.model_copy(update={"is_picked": is_picked}))
        return before

    async def _set(self, take: Take, state: TakeState) -> None:
        """Write the state; a rejected file's row says so, for retention."""
        for name in _STATE:
            setattr(take, name, getattr(state, name))
        await self._session.flush()  # one take of a shot is picked at any time
        is_rejected = state.verdict is Verdict.REJECTED
        was, is_ = (FileState.PRESENT, REJECTED) if is_rejected else (REJECTED, FileState.PRESENT)
        await self._session.execute(
            update(AnimeFile)
            .where(AnimeFile.id == take.file_id, AnimeFile.state == was)
            .values(state=is_)
        )


def _sets_of(pairs: Iterable[Any]) -> dict[UUID, set[UUID]]:  # rows of two ids
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return found


def _asked_for(rows: Iterable[Any]) -> dict[UUID, tuple[GenerationRequest, str | None]]:
    """Requests and digests by the id that each row begins with."""
    found = {}
    for each, params, digest in rows:
        with suppress(ValidationError):  # written by a version that knew other fields
            found[each] = GenerationRequest.model_validate(params), digest
    return found


def _no_such_take(code: str, number: int) -> NotFound:
    return NotFound(f"Shot {code} has no take {number}.", "`anime takes` lists its takes.")


def _state(take: Take) -> TakeState:
    return TakeState.model_validate({name: getattr(take, name) for name in _STATE})


def _note(row: Review) -> TakeNote:
    point = None
    if row.point_x is not None and row.point_y is not None:
        point = PicturePoint(x=row.point_x, y=row.point_y)
    return TakeNote(text=row.note or "", point=point, by=row.reviewed_by, at=row.reviewed_at)


def _record(row: Row[Any], notes: list[TakeNote]) -> TakeRecord:
    found = row._asdict()
    take: Take = found.pop("Take")
    return TakeRecord(
        **_state(take).model_dump(),
        **found,
        number=take.number,
        file_id=take.file_id,
        job_id=take.job_id,
        reviewed_by=take.reviewed_by,
        reviewed_at=take.reviewed_at,
        retake_job_id=take.retake_job_id,
        notes=notes,
    )
