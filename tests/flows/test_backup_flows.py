"""The flows `backup` and `backup-drill`: off until a folder is set, red when a backup is bad."""

import shutil
from pathlib import Path

import pytest

from anime.assets.backup.create import BackupReport
from anime.core.backups import DrillReport
from anime.errors import BackupFailed
from anime.settings import get_settings
from flows.backup import NO_FOLDER, backup
from flows.backup_drill import backup_drill
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_sheet_flows import artifacts_of, run_of


async def test_a_night_makes_a_backup_and_a_sunday_proves_it(
    studio: RehearsalStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flow in (backup, backup_drill):
        state = await flow(return_state=True)
        assert (state.is_completed(), state.message) == (True, NO_FOLDER)
    backups = tmp_path / "backups"
    backups.mkdir()
    monkeypatch.setenv("ANIME_BACKUP_DIR", str(backups))
    get_settings.cache_clear()
    await generate(prompt="a fox", project="Rain", seed=7, width=64, height=64, steps=1)
    made = await backup()
    assert isinstance(made, BackupReport)
    assert made.files == 1
    [table] = await artifacts_of(await run_of("backup"))
    assert made.backup in str(table.data)
    found = await backup_drill()
    assert isinstance(found, DrillReport)
    assert (found.files_hashed, found.files_rebuilt) == (1, 1)
    shutil.rmtree(backups / "objects")
    with pytest.raises(BackupFailed, match="no content in the backup"):
        await backup_drill()
