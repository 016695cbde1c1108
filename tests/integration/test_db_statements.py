"""What a generation does in PostgreSQL is put together once: that takes longer than doing it."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import event

from anime.core.assignment import RenderEstimate
from anime.core.job_status import Stage
from anime.core.render_kind import RenderKind
from anime.db.repositories import (
    AssetRow,
    FileRepository,
    JobRepository,
    NewJob,
    RenderCostRepository,
    SentPromptRepository,
    ServerRepository,
    SlotRepository,
    SlotRequest,
)
from anime.db.session import Database
from anime.schemas import GenerationRequest

SERVER, SECONDS = "http://gpu-a:8188", 60.0
REQUEST = GenerationRequest(prompt="a fox", seed=7)


async def write_generation(database: Database, job_id: UUID) -> None:
    """All that a generation of a batch writes, from its lease to its end."""
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, REQUEST, workflow="txt2img", seed=7)
        lease = await jobs.lease(job_id, uuid4(), seconds=SECONDS, run_id=uuid4())
        assert lease is not None
        request = SlotRequest(
            job_id, lease.fence, is_interactive=False, estimates={SERVER: RenderEstimate(1.0, 5.0)}
        )
        slots = SlotRepository(session)
        assert (await slots.ask(request, size=2, seconds=SECONDS)).is_held
        await slots.renew(request, seconds=SECONDS)
        await jobs.begin_attempt(lease, attempt=1, prompt_id=job_id, comfyui_url=SERVER)
        prompts = SentPromptRepository(session)
        await prompts.record(job_id, job_id=job_id, server=SERVER, attempt=1)
        await jobs.renew(lease, seconds=SECONDS, stage=Stage.RENDERING, progress=50, attempt=1)
        await slots.leave(request, size=2)
        await prompts.settle(job_id)
        kind = RenderKind("txt2img", "model", "64x64x1")
        await RenderCostRepository(session).learn(kind, SERVER, seconds=1.0, had_model=True)
        file = AssetRow(
            filename="a.png",
            file_type="image",
            file_path=f"/library/{job_id}.png",
            file_size=1,
            job_id=job_id,
            source_path="a.png",
        )
        await FileRepository(session).record([file])
        await jobs.complete(lease, output_path=file.file_path)


async def test_generations_execute_the_same_statements(database: Database) -> None:
    first, second = uuid4(), uuid4()
    async with database.session_scope() as session:
        await ServerRepository(session).seed([SERVER])
        new = {job_id: NewJob.of(job_id, REQUEST) for job_id in (first, second)}
        await JobRepository(session).create_all(new)
    executed: list[Any] = []  # kept, so that no other statement gets their ids

    def note(_: object, statement: object, *__: object) -> None:
        executed.append(statement)

    event.listen(database._engine.sync_engine, "before_execute", note)
    await write_generation(database, first)
    known = {id(statement) for statement in executed}
    executed_before = len(executed)
    await write_generation(database, second)
    anew = [str(each) for each in executed[executed_before:] if id(each) not in known]
    assert executed_before > 15
    assert anew == []
