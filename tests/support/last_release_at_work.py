"""What a program of the last release does for a job, done by that release's own code.

Run as a file, so that `anime` is the release's, which `PYTHONPATH` names; its settings come from
the environment. It uses what that release and this one call by the same name.
"""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

import anime
from anime.api.app import create_app
from anime.db.repositories import AssetRow, FileRepository, JobRepository
from anime.db.repositories.revisions import NEWEST_REVISION
from anime.db.session import Database
from anime.settings import load_settings
from anime.settings.addresses import database_address

Json = dict[str, Any]


async def main() -> Json:
    """Submit, lease, record a file, complete, search, cancel, and ask whether all is ready."""
    settings = load_settings()
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8330") as api,
        Database(database_address(settings)) as database,
    ):
        rendered = await _submitted(api, "a lighthouse at dawn")
        path = await _render(database, UUID(rendered), settings.library)
        found = (await api.get("/api/anime/files?text=lighthouse&model=ink")).raise_for_status()
        dropped = await _submitted(api, "a harbour at night")
        cancel = await api.post(f"/api/anime/generation/{dropped}/cancel")
        jobs = (await api.get("/api/anime/jobs")).raise_for_status()
        ready = await api.get("/ready")
    return {
        "program": anime.__file__,
        "revision": NEWEST_REVISION,
        "path": path,
        "found": [each["file_path"] for each in found.json()["items"]],
        "cancelled": cancel.raise_for_status().json(),
        "jobs": {each["id"]: each["status"] for each in jobs.json()["items"]},
        "expected": {rendered: "completed", dropped: "cancelled"},
        "ready": ready.json()["dependencies"]["database"],
    }


async def _submitted(api: httpx.AsyncClient, prompt: str) -> str:
    answer = await api.post("/api/anime/generate", json={"prompt": prompt, "character": "Mei"})
    job_id: str = answer.raise_for_status().json()["job_id"]
    return job_id


async def _render(database: Database, job_id: UUID, library: Path) -> str:
    """What a run does to the database, from its lease to its end."""
    path = str(library / "1.png")
    async with database.session_scope() as session:
        lease = await JobRepository(session).lease(job_id, uuid4(), seconds=60)
    assert lease is not None
    async with database.session_scope() as session:
        lease = await JobRepository(session).begin_attempt(
            lease, attempt=1, prompt_id=uuid4(), comfyui_url="http://127.0.0.1:8188"
        )
    async with database.session_scope() as session:
        await JobRepository(session).renew(lease, seconds=60, progress=50, attempt=1)
    row = AssetRow(
        filename="1.png",
        file_type="image",
        file_path=path,
        file_size=1,
        job_id=job_id,
        source_path="1.png",
        metadata={"prompt": "a lighthouse at dawn", "model": "ink.safetensors"},
    )
    async with database.session_scope() as session:
        await FileRepository(session).record([row])
        await JobRepository(session).complete(lease, output_path=path)
    return path


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))  # noqa: T201  read by the test
