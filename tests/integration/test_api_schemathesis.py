"""The running API keeps what its OpenAPI document promises, whatever it is sent."""

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from anime.db.repositories import AssetRow, FileRepository, JobRepository
from anime.db.session import Database
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving as rehearsing
from anime.schemas import GenerationRequest
from anime.settings import load_settings
from tests.integration.api_client import serving_api
from tests.integration.prefect_peer import AUTH, running_prefect_peer
from tests.support.waiting import HUNG_SECONDS

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
# Events have no end while their job has none; 503 of /ready is what it is there for.
LEFT_OUT = "(/events|/ready)$"
PHASES = ("examples", "coverage", "fuzzing")
SEED = 8330
MAX_EXAMPLES = 5  # of one operation in one phase
MANY_ANSWERS_SECONDS = 3 * HUNG_SECONDS  # to thousands: it takes 40 s of CPU


async def write_down_what_exists(database: Database, library: Path) -> str:
    """Schemathesis's settings, by which it asks for a job, its file and its project by name.

    With names of its own it would hardly see an answer but 404.
    """
    job_id, project = uuid4(), "Neon City"
    picture = library / "1.png"
    picture.write_bytes(b"\x89PNG picture")
    new = AssetRow(
        filename=picture.name,
        file_type="image",
        file_path=str(picture),
        file_size=picture.stat().st_size,
        job_id=job_id,
    )
    request = GenerationRequest(prompt="rain", project=project)
    async with database.session_scope() as session:
        await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
        [file] = await FileRepository(session).record([new])
    return (
        '[phases.coverage.generation]\nmode = "positive"\n'
        "[parameters]\n"
        f'"path.job_id" = "{job_id}"\n"path.file_id" = {file.id}\n"path.project" = "{project}"\n'
    )


@pytest.mark.timeout(MANY_ANSWERS_SECONDS + HUNG_SECONDS)
async def test_every_answer_is_one_that_the_document_promises(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    known = await write_down_what_exists(database, library)
    (tmp_path / "schemathesis.toml").write_text(known)
    (tmp_path / "workflows").mkdir()
    async with (
        running_prefect_peer() as prefect,
        rehearsing(RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)) as comfyui,
    ):
        settings = load_settings(
            prefect_api_url=prefect.url,
            prefect_api_auth_string=AUTH,
            database_url=database_url,
            library_dir=library,
            comfyui_url=comfyui,
            workflows_dir=tmp_path / "workflows",
        )
        async with serving_api(settings) as url:
            run = await asyncio.create_subprocess_exec(
                *(SCHEMATHESIS, "run", f"{url}/openapi.json", "--no-color"),
                *("--checks", ",".join(CHECKS), "--phases", ",".join(PHASES)),
                *("--seed", str(SEED), "--max-examples", str(MAX_EXAMPLES)),
                *("--exclude-path-regex", LEFT_OUT),
                *("--generation-database", "none", "--no-shrink", "--request-timeout", "100"),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(run.communicate(), MANY_ANSWERS_SECONDS)
    assert run.returncode == 0, said.decode()
