"""A folder to sweep, a library and a database; pictures that say whose they are."""

import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.assets.importer.report import SweepObserver, SweepReport
from anime.assets.importer.run import SweepRequest, sweep_folder
from anime.assets.provenance import ORIGINS_FOLDER
from anime.assets.store import AssetStore
from anime.core.png_metadata import FileStamp
from anime.core.sweep_plan import ImportOutcome, Mode
from anime.db.session import Database
from tests.integration.old_client import execute

MADE = datetime(2025, 12, 1, 16, tzinfo=UTC).timestamp()  # the 2nd in Tokyo


@dataclass(frozen=True)
class Stage:
    """All that one test of a sweep needs."""

    output: Path
    library: Path
    database: Database
    database_url: str

    def put(self, name: str | bytes, content: bytes, *, made: float = MADE) -> Path:
        """A file in the output folder."""
        path = self.output / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (made, made))
        return path

    async def sweep(self, mode: Mode = Mode.LINK, **more: Any) -> SweepReport:  # of SweepRequest
        """A sweep that nothing disturbs."""
        report = await self.try_sweep(mode, **more)
        assert report is not None
        return report

    async def try_sweep(
        self,
        mode: Mode = Mode.LINK,
        *,
        watch: SweepObserver | None = None,
        **more: Any,  # of SweepRequest
    ) -> SweepReport | None:
        """A sweep; None if another one is at work."""
        order = {"settle_seconds": 1.0, "zone": ZoneInfo("Asia/Tokyo"), **more}
        report = await sweep_folder(
            SweepRequest(folder=self.output, mode=mode, **order),
            self.database,
            AssetStore(self.library),
            watch=watch,
        )
        return None if report.is_another_running else report

    async def rows(self, columns: str = "file_path, job_id") -> list[tuple[Any, ...]]:
        """The rows of files, the oldest first."""
        return await execute(
            self.database_url, f"SELECT {columns} FROM anime_api.anime_files ORDER BY id"
        )

    def files(self) -> list[str]:
        """All that is in the library, but what is not whole yet, and the origins beside files."""
        return sorted(
            str(path.relative_to(self.library))
            for path in self.library.rglob("*")
            if path.is_file() and ORIGINS_FOLDER not in path.parts
        )


@pytest.fixture
def stage(tmp_path: Path, database: Database, database_url: str) -> Stage:
    """An empty folder and an empty library."""
    for name in ("output", "library"):
        (tmp_path / name).mkdir()
    return Stage(tmp_path / "output", tmp_path / "library", database, database_url)


def counts(report: SweepReport) -> dict[str, int]:
    return {outcome.value: count for outcome, count in report.counts.items()}


def outcomes(report: SweepReport) -> dict[str, ImportOutcome]:
    return {file.path: file.outcome for file in report.files}


def picture(
    colour: int = 0, *, job_id: UUID | None = None, project: str | None = None, **texts: str
) -> bytes:
    """A small PNG; another colour is another content."""
    info = PngInfo()
    if job_id is not None:
        stamp = FileStamp(
            job_id=job_id,
            prompt="a fox in the rain",
            seed=str(2**64 - 1),
            workflow="txt2img",
            workflow_sha256="ab" * 32,
            project=project,
        )
        info.add_text("anime", stamp.model_dump_json())
    for name, text in texts.items():
        info.add_text(name, text)
    stream = io.BytesIO()
    shade = (colour & 255, colour >> 8 & 255, colour >> 16 & 255)
    Image.new("RGB", (8, 8), shade).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
