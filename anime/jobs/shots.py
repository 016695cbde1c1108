"""Shot lists become shots, and shots become batches."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from anime.assets.composer import Composer
from anime.core.batches import MAX_CHILDREN, BatchRequest
from anime.core.composition.record import Composition
from anime.core.field_errors import MOST_SAID, said_of
from anime.core.import_plan import ImportPlan, plan_of, refused_plan
from anime.core.shot_list import (
    MAX_SHOTS,
    ListRefused,
    ListRow,
    guessed_columns,
    read_rows,
    read_shot_list,
)
from anime.core.shots import (
    GivenList,
    ImportedShots,
    ShotChange,
    ShotCode,
    ShotRecord,
    ShotState,
    code_key,
)
from anime.core.takes import (
    NewReview,
    TakeRecord,
    check_reason,
    is_current,
    requests_of,
    retake_job_id,
    retake_of,
    with_own_seed,
)
from anime.db.repositories import ProjectRepository, ShotQuery, ShotRepository, TakeRepository
from anime.db.session import Database
from anime.errors import InvalidRequest, KeyReused, NotFound
from anime.jobs.admission import Admission
from anime.jobs.service import JobService
from anime.jobs.shot_check import list_faults, request_faults, row_faults
from anime.jobs.shot_events import publish_shots
from anime.schemas import GenerationRequest, GivenName
from anime.settings import Settings

MAX_TAKES = 100  # of a shot in one batch


class ShotRender(ShotQuery):
    """Which shots of a project are to be rendered, and how often."""

    project: GivenName = Field(description="Id, slug or name of the project.")
    codes: list[ShotCode] = Field(
        default_factory=list, max_length=MAX_SHOTS, description="Only these; else all that fit."
    )
    states: list[ShotState] = Field(
        default_factory=list, max_length=len(ShotState), description="Only those so far; else all."
    )
    takes: Annotated[int, Field(ge=1, le=MAX_TAKES)] = Field(
        default=1,
        description="Of each shot, those included that are there already and are not rejected.",
    )


class ShotBatch(BaseModel):
    """The run that renders takes of shots."""

    flow_run_id: UUID
    shots: int = Field(description="How many it renders takes of; done ones are not repeated.")
    without_prompt: list[str] = Field(description="Codes of shots that have nothing to draw.")


async def import_shots(
    database: Database,
    project: str,
    table: str | Iterable[ListRow],
    columns: Mapping[str, str] | None = None,
    *,
    only_tries: bool = False,
    service: JobService | None = None,
) -> ImportedShots:
    """What the list has changed of the project's shots, or would change if it `only_tries`.

    The project is made if there is none. `columns` that are given are kept for its next lists.
    With a service, the answer says which rows could not be rendered as they are, and whoever
    watches the project is told.

    Raises:
        InvalidRequest: the list has faults; nothing is imported.
    """
    async with database.session_scope() as session:
        found = await ProjectRepository(session).get_or_create(project)
        repository = ShotRepository(session)
        kept = await repository.columns_of(found.id)
        said = {**kept, **(columns or {})}
        listed = read_shot_list(table, columns, kept)
        shots, added = await repository.merge(found.id, listed)
        faults = await list_faults(service.admission, session, found, listed) if service else []
        if only_tries:
            await session.rollback()
        else:
            await repository.write(found.id, shots)
            if columns:
                await repository.keep_columns(found.id, said)
    if service and shots and not only_tries:
        await publish_shots(
            *(database, service.publisher, found.slug, [shot.code for shot in shots]),
            ShotChange.LIST,
            settings=service.settings,
        )
    return ImportedShots(
        added=len(added),
        changed=len(shots) - len(added),
        unchanged=len(listed.shots) - len(shots),
        columns=dict(listed.columns),
        ignored=[heading for heading in listed.ignored if said.get(heading) != ""],
        faults=faults,
    )


async def plan_of_import(
    admission: Admission, database: Database, given: GivenList, rows: Iterable[ListRow]
) -> ImportPlan:
    """What importing the list would do, row by row; nothing is changed.

    `rows` may raise InvalidRequest as they are read: the plan says so.
    """
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get_or_create(given.project)
        repository = ShotRepository(session)
        kept = await repository.columns_of(project.id)
        headings: list[str] = []
        try:
            reading = read_rows(_noting(headings, rows), given.columns, kept)
        except InvalidRequest as fault:
            await session.rollback()
            return refused_plan(
                fault.what,
                fault.todo,
                columns=guessed_columns(headings, {**kept, **given.columns}),
                faults=fault.faults if isinstance(fault, ListRefused) else (),
            )
        listed = reading.sound()
        merged, added = await repository.merge(project.id, listed)
        warnings = await row_faults(admission, session, project, listed)
        await session.rollback()
    changed = {code_key(shot.code) for shot in merged} - added
    return plan_of(reading, added=added, changed=changed, warnings=warnings)


def _noting(headings: list[str], rows: Iterable[ListRow]) -> Iterator[ListRow]:
    """The rows; the cells of the first become the headings."""
    for place, row in enumerate(rows):
        if place == 0:
            headings += [(cell or "").strip() for cell in row.cells]
        yield row


async def all_shots(
    database: Database,
    project: str,
    query: ShotQuery,
    codes: Sequence[str] = (),
    *,
    composer: Composer | None = None,
) -> list[ShotRecord]:
    """The shots of the project that fit, in order; only those of the codes, if any are given.

    With a composer, those are stale whose picked take was made from another style, version of a
    character or workflow.

    Raises:
        NotFound: there is no such project, or no shot with one of the codes.
    """
    _, shots = await _find(database, project, query, codes, composer)
    return shots


async def render_shots(service: JobService, asked: ShotRender, *, key: str) -> ShotBatch:
    """The run of a batch that renders what is missing of so many takes of each shot.

    The same `key` again is the same run. Raises as `batch_of_shots`, and:

    Raises:
        PrefectUnavailable: nobody would run it; nothing is begun.
    """
    batch, without_prompt, made_from = await _composed_batch(service, asked)
    accepted = await service.submit_batch(batch, key=key, compositions=made_from)
    return ShotBatch(
        flow_run_id=accepted.flow_run_id,
        shots=len({request.shot for request in batch.requests}),
        without_prompt=without_prompt,
    )


async def batch_of_shots(service: JobService, asked: ShotRender) -> tuple[BatchRequest, list[str]]:
    """A batch with so many takes of each shot that is asked for; codes of those without a prompt.

    It has the project's name: a take that was rendered of the very same prompt and settings is not
    rendered again, a shot that was changed since is.

    Raises:
        InvalidRequest: no shot has a prompt, there are too many takes, or a workflow cannot take
            what a shot asks for; nothing is rendered.
        NotFound: there is no such project or shot.
    """
    batch, without_prompt, _ = await _composed_batch(service, asked)
    return batch, without_prompt


async def _composed_batch(
    service: JobService, asked: ShotRender
) -> tuple[BatchRequest, list[str], list[Composition | None]]:
    """The same, and what each of the batch's requests is made from."""
    composer = service.admission.composer
    slug, shots = await _find(service.database, asked.project, asked, asked.codes, composer)
    wanted = [shot for shot in shots if not asked.states or shot.state in asked.states]
    more = await _further_renders(service, slug, wanted)
    takes = {
        shot.code: requests_of(shot, slug, max(1, asked.takes + more[shot.id])) for shot in wanted
    }
    filled = {code: requests for code, requests in takes.items() if requests}
    if not filled:
        raise InvalidRequest(
            f"None of {len(wanted)} shots of {slug} has a prompt.",
            "Import a list with a column `prompt`, or ask for other shots.",
        )
    asked_for = sum(map(len, filled.values()))
    if asked_for > MAX_CHILDREN:
        raise InvalidRequest(
            f"{len(filled)} shots ask for {asked_for:,} takes; {MAX_CHILDREN:,} are the most.",
            "Render an episode or a scene at a time.",
        )
    requests = [request for requests in filled.values() for request in requests]
    made_from = await service.admission.compose_all(requests)
    numbers = [number for requests in filled.values() for number in range(len(requests))]
    firsts = [made for made, number in zip(made_from, numbers, strict=True) if number == 0]
    await _check(service, {code: requests[0] for code, requests in filled.items()}, firsts)
    requests = [
        with_own_seed(request, made, number) if number >= asked.takes else request
        for request, made, number in zip(requests, made_from, numbers, strict=True)
    ]
    batch = BatchRequest(
        name=f"shots of {slug}",
        requests=requests,
        # Without a composition, its workflow cannot be read: the run says so.
        digests=[each.digest[:16] if each else "0" * 16 for each in made_from],
    )
    return batch, [shot.code for shot in wanted if shot.prompt is None], made_from


async def takes_of(
    database: Database, project: str, query: ShotQuery, codes: Sequence[str] = ()
) -> list[TakeRecord]:
    """The takes of the shots, by shot and number; files that have no number yet are given theirs.

    Raises as `all_shots`.
    """
    _, shots = await _find(database, project, query, codes)
    async with database.session_scope() as session:
        takes = TakeRepository(session)
        if shots:
            await takes.number(shots[0].project_id, [shot.code for shot in shots])
        return await takes.of_shots([shot.id for shot in shots])


async def page_of_takes(
    database: Database, project: str, query: ShotQuery, *, limit: int, after: str | None
) -> tuple[list[TakeRecord], str | None]:
    """The takes of a page of shots, and its cursor, which are those of `ShotRepository.page`.

    Raises:
        NotFound: there is no such project.
        InvalidRequest: the project has no shot `after`.
    """
    async with database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        shots, next_cursor = await ShotRepository(session).codes_of_page(
            found.id, query, limit=limit, after=after
        )
        takes = TakeRepository(session)
        if shots:
            await takes.number(found.id, list(shots.values()))
        return await takes.of_shots(list(shots)), next_cursor


async def review_take(
    database: Database, said: NewReview, settings: Settings | None = None
) -> TakeRecord:
    """The take as the review leaves it. A retake that is asked for is not submitted.

    Raises:
        NotFound: there is no such project, shot or take.
        InvalidRequest: there is nothing to undo, the studio has no such reason, or the shot has had
            all its retakes.
    """
    known = settings.rejection_reasons if settings else ()
    checked = said.model_copy(update={"reason": check_reason(said.reason, known)})
    most = said.max_retakes or (settings.max_retakes if settings else 0)
    async with database.session_scope() as session:
        project = await ProjectRepository(session).get(said.project)
        return await TakeRepository(session).review(project.id, checked, max_retakes=most)


async def review_and_retake(
    service: JobService, said: NewReview, *, waits: bool = False
) -> TakeRecord:
    """The take as the review leaves it, and a job that renders another one if that is asked for.

    `waits`: for its run to be dispatched, as for somebody at a terminal. Said twice, it is the same
    job. Raises as `review_take`, and as `JobService.submit`.
    """
    take = await _reviewed(service, said, waits=waits)
    await publish_shots(
        service.database,
        service.publisher,
        said.project,
        [said.shot],
        ShotChange.REVIEW,
        settings=service.admission.settings,
        job_id=take.retake_job_id,
        take=take.number,
    )
    return take


async def _reviewed(service: JobService, said: NewReview, *, waits: bool) -> TakeRecord:
    if not said.retake:
        return await review_take(service.database, said, service.settings)
    slug, [shot] = await _find(service.database, said.project, ShotQuery(), [said.shot])
    job_id = retake_job_id(shot.id, said.take)
    request = retake_of(shot, slug, job_id, prompt=said.prompt)
    await service.admission.check(request, job_id=job_id)
    take = await review_take(service.database, said, service.settings)
    with suppress(KeyReused):  # the shot was changed since: its retake is there
        submit = service.submit_and_dispatch if waits else service.submit
        await submit(request, job_id=job_id)
    return take


async def _further_renders(
    service: JobService, slug: str, shots: Sequence[ShotRecord]
) -> Counter[UUID]:
    """How many renders more, or fewer, each shot needs in a batch than takes are asked for.

    A batch counts renders by what they are made from. What was rejected is among them, so that
    another one is rendered; a retake is not, and is one that need not be. What was made from
    something else than the shot says now counts for nothing.
    """
    asked = {shot.id: request for shot in shots if (request := shot.request(slug)) is not None}
    made_from = await service.admission.compose_all(list(asked.values()))
    compositions = dict(zip(asked, made_from, strict=True))
    async with service.database.session_scope() as session:
        takes = TakeRepository(session)
        rejected, retakes = await takes.rejected_jobs(list(asked)), await takes.retakes(list(asked))
        jobs = await takes.made_from(set().union(*rejected.values(), *retakes.values()))
    more: Counter[UUID] = Counter()
    for shot in shots:
        for job_ids, count in ((rejected.get(shot.id), 1), (retakes.get(shot.id), -1)):
            for job_id in job_ids or ():
                request, digest = jobs.get(job_id, (None, None))
                composition = compositions.get(shot.id)
                if request is not None and is_current(
                    shot, request, digest=digest, composition=composition
                ):
                    more[shot.id] += count
    return more


async def _find(
    database: Database,
    project: str,
    query: ShotQuery,
    codes: Sequence[str],
    composer: Composer | None = None,
) -> tuple[str, list[ShotRecord]]:
    """The slug of the project, and its shots as `all_shots` has them."""
    async with database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        shots, _ = await ShotRepository(session, composer).page(
            found.id, query, codes=codes, limit=None
        )
    wanted = {code_key(code): code for code in codes}
    if missing := sorted(set(wanted) - {code_key(shot.code) for shot in shots}):
        named = ", ".join(repr(wanted[key][:64]) for key in missing[:MOST_SAID])
        raise NotFound(f"Project {found.slug} has no shot {named}.", "`anime shots list` has them.")
    return found.slug, shots


async def _check(
    service: JobService,
    requests: Mapping[str, GenerationRequest],
    compositions: Sequence[Composition | None],
) -> None:
    """Whether all shots can be rendered: every fault, with the shots' codes."""
    named = {f"Shot {code}": request for code, request in requests.items()}
    async with service.database.session_scope() as session:
        faults = await request_faults(service.admission, session, named, compositions)
    if faults:
        raise InvalidRequest(said_of(faults), "Correct the list, and import it again.")
