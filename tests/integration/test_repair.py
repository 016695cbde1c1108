"""Missing files that come back: from where a sweep had them, from ComfyUI, from quarantine."""

import hashlib
from pathlib import Path
from uuid import uuid4

import pytest

from anime.assets.verify import VerifyReport, verify
from anime.core.sweep_plan import Mode
from anime.db.session import Database
from tests.integration.import_folder import Stage, picture
from tests.integration.old_client import execute


@pytest.fixture
def stage(tmp_path: Path, database: Database, database_url: str) -> Stage:
    for name in ("output", "library"):
        (tmp_path / name).mkdir()
    (tmp_path / "library" / ".here").touch()
    return Stage(tmp_path / "output", tmp_path / "library", database, database_url)


async def repaired(stage: Stage, *folders: Path) -> VerifyReport:
    return await verify(stage.database, stage.library, repair_from=folders)


def lose(stage: Stage) -> Path:
    """The one file of the library is deleted."""
    [name] = [each for each in stage.files() if each.endswith(".png") and "quarantine" not in each]
    (stage.library / name).unlink()
    return stage.library / name


@pytest.mark.parametrize("mode", [Mode.LINK, Mode.COPY])
async def test_a_missing_file_comes_back_from_its_source_as_a_file_of_its_own(
    stage: Stage, mode: Mode
) -> None:
    source = stage.put("shots/fox.png", picture(1))
    await stage.sweep(mode)
    lost = lose(stage)
    report = await repaired(stage)
    assert (report.repaired, report.missing, report.is_well) == (1, 0, True)
    assert report.repaired_files == {str(lost): str(source)}
    assert lost.read_bytes() == picture(1)
    assert not lost.samefile(source)
    assert lost.stat().st_mtime == source.stat().st_mtime
    assert await stage.rows("file_path, state") == [(str(lost), "present")]
    assert (await repaired(stage)).repaired == 0


async def test_a_source_that_is_another_one_now_is_no_source(stage: Stage) -> None:
    source = stage.put("fox.png", picture(1))
    await stage.sweep(Mode.COPY)
    lost = lose(stage)
    source.write_bytes(picture(2))
    report = await repaired(stage)
    assert (report.repaired, report.missing) == (0, 1)
    assert not lost.exists()
    assert await stage.rows("state") == [("missing",)]


async def test_a_jobs_file_comes_back_from_comfyuis_folder(stage: Stage) -> None:
    name = f"jobs/{uuid4()}/1/fox.png"
    source = stage.put(name, picture(1))
    await stage.sweep()
    await execute(stage.database_url, "DELETE FROM anime_api.swept_files")
    lost = lose(stage)
    assert (await repaired(stage)).missing == 1
    assert (await repaired(stage, stage.output)).repaired_files == {str(lost): str(source)}


async def test_nothing_is_fetched_from_outside_of_the_folder(stage: Stage) -> None:
    stage.put("fox.png", picture(1))
    await stage.sweep(Mode.MOVE)
    lose(stage)
    outside = stage.output.parent / "secret.png"
    outside.write_bytes(picture(1))
    for path in ("../secret.png", str(outside)):
        await execute(
            stage.database_url, f"UPDATE anime_api.anime_files SET source_path = '{path}'"
        )
        assert (await repaired(stage, stage.output)).repaired == 0
    (stage.output / "link.png").symlink_to(outside)
    await execute(stage.database_url, "UPDATE anime_api.anime_files SET source_path = 'link.png'")
    assert (await repaired(stage, stage.output)).repaired == 0


async def test_a_missing_file_comes_back_from_its_twin_in_quarantine(stage: Stage) -> None:
    stage.put("cut.png", picture(1)[:60])
    await stage.sweep(Mode.MOVE)
    [quarantined] = [name for name in stage.files() if name.endswith("cut.png")]
    stage.put("fox.png", picture(2))
    await stage.sweep(Mode.MOVE)
    lost = lose(stage)
    sha256 = hashlib.sha256(picture(1)[:60]).hexdigest()
    await execute(stage.database_url, f"UPDATE anime_api.anime_files SET sha256 = '{sha256}'")
    report = await repaired(stage)
    assert report.repaired_files == {str(lost): str(stage.library / quarantined)}
    assert lost.read_bytes() == picture(1)[:60]
    assert (stage.library / quarantined).exists()


async def test_without_repair_nothing_is_fetched(stage: Stage) -> None:
    stage.put("fox.png", picture(1))
    await stage.sweep()
    lost = lose(stage)
    report = await verify(stage.database, stage.library)
    assert (report.missing, report.repaired, lost.exists()) == (1, 0, False)


async def test_a_file_that_was_moved_in_the_library_is_not_fetched_as_well(stage: Stage) -> None:
    stage.put("fox.png", picture(1))
    await stage.sweep(Mode.COPY)
    [name] = [each for each in stage.files() if each.endswith(".png")]
    (stage.library / name).rename(stage.library / "fox.png")
    report = await repaired(stage)
    assert (report.relinked, report.repaired) == (1, 0)
