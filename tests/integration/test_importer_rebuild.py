"""What a sweep has brought in comes back when the database is lost."""

import json
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from anime.assets.rebuild import rebuild
from anime.core.sweep_plan import Mode
from anime.db.migrate import upgrade
from anime.db.session import Database
from tests.integration.import_folder import Stage, counts, picture
from tests.integration.old_client import execute

OWNERS = """
    SELECT file.file_path, file.job_id, project.slug, file.metadata ->> 'prompt',
        file.metadata ->> 'seed', file.file_type, file.sha256, file.created_at
    FROM anime_api.anime_files AS file
    LEFT JOIN anime_api.projects AS project ON project.id = file.project_id
    ORDER BY file.file_path
"""


async def test_owners_seeds_and_prompts_of_swept_files_come_back(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    stage = Stage(tmp_path / "output", tmp_path / "library", database, database_url)
    stage.output.mkdir()
    stage.library.mkdir()
    stamped, prefixed, foldered, beside = (uuid4() for _ in range(4))
    stage.put("a.png", picture(1, job_id=stamped, project="Neon City"))
    stage.put(f"anime_{prefixed}_00001_.png", picture(2))
    stage.put(f"jobs/{foldered}/final.png", picture(3))
    stage.put("old/take.png", picture(4))
    sidecar = {"job_id": str(beside), "project": "Rain City", "prompt": "old fox", "seed": 12}
    stage.put("old/job_metadata.json", json.dumps(sidecar).encode())
    stage.put("stray.png", picture(5))
    await stage.sweep(Mode.COPY)
    before = await execute(database_url, OWNERS)
    await database.dispose()
    await execute(database_url, "DROP SCHEMA anime_api CASCADE")
    await upgrade(database_url)
    report = await rebuild(database, stage.library, zone=ZoneInfo("Asia/Tokyo"))
    again = await stage.sweep(Mode.COPY)
    assert (report.files_added, report.files_unfit) == (5, 0)
    assert [row[:7] for row in await execute(database_url, OWNERS)] == [row[:7] for row in before]
    assert counts(again).get("organised", 0) == 0
