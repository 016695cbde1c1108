"""A backup of database, library and settings, each night."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from anime.assets.backup.create import BackupReport, backup_folder
from anime.runs.connections import open_connections
from anime.settings import get_settings
from tasks.artifacts import show_backup
from tasks.backups import back_up

NO_FOLDER = "No backup was made or tried: ANIME_BACKUP_DIR is not set, the folder of the backups."


@flow(name="backup")
async def backup() -> BackupReport | State[None]:
    """Make a backup in ANIME_BACKUP_DIR; does nothing while that is not set."""
    settings = get_settings()
    if settings.backup_dir is None:
        return Completed(message=NO_FOLDER)
    async with open_connections() as connections:
        studio = settings.model_copy(update={"library_dir": connections.library.root})
        report = await back_up(studio, backup_folder(settings), database=connections.database)
    await show_backup(report.model_dump(exclude={"unread"}))
    return report
