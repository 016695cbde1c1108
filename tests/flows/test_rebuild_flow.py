"""What the flows have made comes back when the database is lost."""

from typing import Any
from uuid import UUID

import pytest

from anime.assets.provenance import ORIGINS_FOLDER
from anime.assets.rebuild import rebuild
from anime.assets.verify import verify
from anime.core.job_status import FailureKind
from anime.db.migrate import upgrade
from anime.db.repositories import JobRepository
from anime.errors import StorageError
from anime.rehearsal.config import RehearsalConfig
from anime.schemas import FileRecord, JobSnapshot
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.integration.old_client import execute

SMALL: dict[str, Any] = {"width": 128, "height": 128, "steps": 2}  # fields of a request
# How long it took and where it ran is in no file that can carry a stamp.
ONLY_IN_THE_ROW = {"server", "timings"}


async def lose_the_database(url: str) -> None:
    await execute(url, "DROP SCHEMA anime_api CASCADE")
    await upgrade(url)


GIVEN = {"id", "project_id", "created_at", "organized_at"}  # by the database, or anew


def told(file: FileRecord) -> dict[str, object]:
    """What a row says of its file, but for what only the render knew."""
    known = file.model_dump(exclude=GIVEN | {"metadata"})
    said = {key: file.metadata[key] for key in file.metadata if key not in ONLY_IN_THE_ROW}
    return known | {"metadata": said}


def asked(job: JobSnapshot) -> dict[str, object]:
    told = {"id", "type", "status", "project", "character", "prompt", "workflow", "seed"}
    return job.model_dump(include=told | {"attempt", "prompt_id", "output_path", "progress"})


async def job_of(studio: RehearsalStudio, job_id: UUID) -> JobSnapshot:
    async with studio.database.session_scope() as session:
        return await JobRepository(session).get(job_id)


async def test_after_a_lost_database_all_owners_seeds_and_prompts_come_back(
    studio: RehearsalStudio, database_url: str
) -> None:
    await generate(prompt="雪の森", seed=2**64 - 1, project="Neon City", character="Aiko", **SMALL)
    still = await studio.newest_job()
    await generate(prompt="four takes", batch_size=2, shot="12A", negative_prompt="rain", **SMALL)
    batch = await studio.newest_job()
    await generate(prompt="petals", type="video", project="東京", inputs={"frames": 3}, **SMALL)
    jobs = [still, batch, await studio.newest_job()]
    before = await studio.files()
    await studio.database.dispose()
    await lose_the_database(database_url)
    report = await rebuild(studio.database, studio.library, zone=get_settings().zone)
    after = await studio.files()
    assert (report.files_added, report.jobs_added, report.projects_added) == (4, 3, 2)
    by_path = {file.file_path: told(file) for file in before}
    assert {file.file_path: told(file) for file in after} == by_path
    assert [asked(await job_of(studio, job.id)) for job in jobs] == [asked(job) for job in jobs]
    assert (await verify(studio.database, studio.library)).is_well


async def test_a_job_that_is_rebuilt_is_run_again_to_no_effect(
    studio: RehearsalStudio, database_url: str
) -> None:
    paths = await generate(prompt="snow", seed=3, **SMALL)
    job = await studio.newest_job()
    await studio.database.dispose()
    await lose_the_database(database_url)
    await rebuild(studio.database, studio.library, zone=get_settings().zone)
    assert await generate(prompt="snow", seed=3, job_id=job.id, **SMALL) == paths
    assert len(await studio.files()) == 1


class TestAServerThatWritesNothingIntoFiles:
    """As video and sound are, which carry no stamp of ours."""

    @pytest.fixture
    def rehearsal_config(self, rehearsal_config: RehearsalConfig) -> RehearsalConfig:
        return rehearsal_config.model_copy(update={"writes_metadata": False})

    async def test_all_comes_back_from_the_origins_beside_the_files(
        self, studio: RehearsalStudio, database_url: str
    ) -> None:
        await generate(prompt="petals", seed=9, project="東京", character="Aiko", **SMALL)
        job, [before] = await studio.newest_job(), await studio.files()
        await studio.database.dispose()
        await lose_the_database(database_url)
        await rebuild(studio.database, studio.library, zone=get_settings().zone)
        [after] = await studio.files()
        assert (studio.library / ORIGINS_FOLDER).is_dir()
        assert after.model_dump(exclude=GIVEN) == before.model_dump(exclude=GIVEN)
        assert after.created_at == before.created_at
        assert asked(await studio.newest_job()) == asked(job)

    async def test_a_library_that_cannot_take_an_origin_fails_the_job(
        self, studio: RehearsalStudio
    ) -> None:
        (studio.library / ORIGINS_FOLDER).write_text("in the way")
        with pytest.raises(StorageError, match="origin"):
            await generate(prompt="petals", **SMALL)
        assert (await studio.newest_job()).error_kind is FailureKind.STORAGE
