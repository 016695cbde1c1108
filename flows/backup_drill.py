"""The drill: the last backup is restored beside the live database, each week."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from anime.assets.backup.create import backup_folder
from anime.core.backups import DrillReport
from anime.runs.connections import open_connections
from anime.settings import get_settings
from flows.backup import NO_FOLDER
from tasks.artifacts import show_backup
from tasks.backups import try_backup


@flow(name="backup-drill")
async def backup_drill() -> DrillReport | State[None]:
    """Restore the last backup into a scratch database and compare; off without ANIME_BACKUP_DIR."""
    settings = get_settings()
    if settings.backup_dir is None:
        return Completed(message=NO_FOLDER)
    async with open_connections() as connections:
        folder = backup_folder(settings)
        report = await try_backup(settings, folder, database=connections.database)
    await show_backup(report.model_dump(exclude={"problems"}))
    return report
