"""Programs of the last release go on while the tables are already those of the next one.

So an upgrade migrates first and replaces the programs one after the other, and nobody waits.
"""

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from psycopg.errors import CheckViolation, NotNullViolation, UndefinedColumn

from anime.db.repositories.revisions import NEWEST_REVISION
from anime.settings import PROJECT_DIR
from tests import support
from tests.integration.old_client import execute
from tests.integration.prefect_peer import AUTH, running_prefect_peer
from tests.services import MigratedDatabases
from tests.support.release_statements import RecordedTest, replay
from tests.support.waiting import HUNG_SECONDS

LAST_RELEASE = (Path(__file__).parent / "samples" / "last_release.txt").read_text().strip()
AT_WORK = Path(support.__file__).with_name("last_release_at_work.py")
ROOMS = ("anime", "flows", "tasks", "blocks", "workflows")


@pytest.fixture
def last_release(tmp_path: Path) -> Path:
    """The program files of the last release."""
    if not shutil.which("git"):
        pytest.skip("there is no git here")
    command = ["git", "archive", "--format=zip", LAST_RELEASE, *ROOMS]
    done = subprocess.run(
        command, cwd=PROJECT_DIR, capture_output=True, check=False, timeout=HUNG_SECONDS
    )
    if done.returncode:
        pytest.skip(f"the clone does not go back to {LAST_RELEASE}: {done.stderr.decode()}")
    folder = tmp_path / "release"
    with ZipFile(io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder)
    return folder


async def test_the_code_of_the_last_release_works_on_the_tables_of_today(
    last_release: Path, database_url: str, tmp_path: Path
) -> None:
    async with running_prefect_peer() as prefect:
        variables = {
            "PYTHONPATH": str(last_release),
            "ANIME_HOME": str(tmp_path / "home"),
            "ANIME_LIBRARY_DIR": str(tmp_path),
            "ANIME_DATABASE_URL": database_url,
            "PREFECT_API_URL": prefect.url,
            "PREFECT_API_AUTH_STRING": AUTH,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(AT_WORK)),
            env=os.environ | variables,
            cwd=last_release,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await asyncio.wait_for(process.communicate(), HUNG_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, errors.decode()
    told = json.loads(out)
    assert Path(told["program"]).is_relative_to(last_release)
    assert told["revision"] < NEWEST_REVISION
    assert told["found"] == [told["path"]]
    assert told["cancelled"]["status"] == "cancelled"
    assert told["jobs"] == told["expected"]
    # That release still took newer tables for a fault of the database. Of the next one: None.
    assert told["ready"]["error"] == (
        f"The tables are at revision {NEWEST_REVISION}, the newest is {told['revision']}."
    )


async def test_what_the_last_release_says_is_still_understood(
    migrated_databases: MigratedDatabases,
) -> None:
    """If it fails: add first, and take away in the release after (docs/operation.md, Upgrading)."""
    kept = RecordedTest.all_kept()
    assert sum(len(each.statements) for each in kept) > 500
    for each in kept:
        async with migrated_databases.lend() as url:
            try:
                await replay(url, each.statements)
            except psycopg.Error as fault:
                pytest.fail(f"What {each.name} recorded fails now: {fault}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("RENAME COLUMN workflow TO graph", UndefinedColumn),
        ("ADD COLUMN studio text NOT NULL", NotNullViolation),
        ("ADD CHECK (seed < 0)", CheckViolation),
    ],
)
async def test_a_migration_that_takes_away_is_noticed(
    database_url: str, change: str, fault: type[psycopg.Error]
) -> None:
    await execute(database_url, f"ALTER TABLE anime_api.production_jobs {change}")
    faults = [await fault_of(database_url, each) for each in RecordedTest.all_kept()]
    assert fault in faults


async def fault_of(url: str, recorded: RecordedTest) -> type[Exception] | None:
    try:
        await replay(url, recorded.statements)
    except psycopg.Error as fault:  # of all in one database, some names are taken
        return type(fault)
    return None
