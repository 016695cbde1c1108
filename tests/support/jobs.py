"""The jobs of a database, as a test looks at them, and a workflow of their own."""

import shutil
from pathlib import Path
from typing import Any

from anime.db.repositories import JobList, JobQuery
from anime.db.session import Database
from anime.schemas import JobSnapshot
from anime.settings import PROJECT_DIR


async def newest_jobs(
    database: Database,
    *,
    limit: int = 100,
    **wanted: Any,  # fields of a JobQuery
) -> list[JobSnapshot]:
    """At most `limit` jobs that fit, the newest first."""
    async with database.session_scope() as session:
        return (await JobList(session).page(JobQuery(**wanted), limit=limit))[0]


def shipped_as_mine(folder: Path) -> Path:
    """The folder, with the workflow `mine` in it."""
    for suffix in (".json", ".toml"):
        shutil.copy(PROJECT_DIR / "workflows" / f"txt2img{suffix}", folder / f"mine{suffix}")
    return folder
