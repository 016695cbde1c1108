"""The timelines of jobs."""

from uuid import uuid4

from anime.core.timeline import TimelineKind
from anime.db.repositories import TimelineRepository
from anime.db.repositories.timeline import MAX_ENTRIES
from anime.db.session import Database


async def test_a_timeline_keeps_its_order_and_its_words(database: Database) -> None:
    one, other = uuid4(), uuid4()
    async with database.session_scope() as session:
        timeline = TimelineRepository(session)
        await timeline.add(one, TimelineKind.RUN, "A run\x00 began it.")
        await timeline.add_to_all({one: "Done.", other: "Done, too."}, TimelineKind.END)
    async with database.session_scope() as session:
        entries = await TimelineRepository(session).of_job(one)
    assert [(entry.kind, entry.message) for entry in entries] == [
        (TimelineKind.RUN, "A run began it."),
        (TimelineKind.END, "Done."),
    ]


async def test_a_timeline_is_bounded_and_its_newest_entries_stay(database: Database) -> None:
    job_id, neighbour = uuid4(), uuid4()
    async with database.session_scope() as session:
        timeline = TimelineRepository(session)
        await timeline.add(neighbour, TimelineKind.RUN, "first")
        for number in range(MAX_ENTRIES + 3):
            await timeline.add(job_id, TimelineKind.ATTEMPT, f"{number}")
        entries = await timeline.of_job(job_id)
        assert len(await timeline.of_job(neighbour)) == 1
    assert [entry.message for entry in entries] == [f"{each}" for each in range(3, MAX_ENTRIES + 3)]
