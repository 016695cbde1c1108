"""Backups and drills."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from anime.assets.backup.create import BackupReport, make_backup
from anime.assets.backup.drill import drill
from anime.assets.backup.folder import BackupFolder
from anime.core.backups import DrillReport
from anime.db.session import Database
from anime.errors import BackupFailed
from anime.settings import Settings


# Not retried: a night later there is the next one, and `anime doctor` tells if none has come.
@task(name="make backup", cache_policy=NO_CACHE)
async def back_up(settings: Settings, folder: BackupFolder, *, database: Database) -> BackupReport:
    """A new backup; old ones are removed."""
    return await make_backup(settings, database, folder)


# Not retried, for the same reason.
@task(name="drill backup", cache_policy=NO_CACHE)
async def try_backup(
    settings: Settings, folder: BackupFolder, *, database: Database
) -> DrillReport:
    """What a drill of the last backup has found, if nothing is wrong with it.

    Raises:
        BackupFailed: the backup is not as good as it says.
    """
    report = await drill(settings, database, folder)
    if not report.is_green:
        raise BackupFailed(
            f"The drill of {report.backup} has found: {' '.join(report.problems)}",
            "Mend what it names, then run `anime backup` and `anime backup drill`.",
        )
    return report
