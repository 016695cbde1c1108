"""`anime restore`: restores a backup into a database and folders that have nothing yet."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.own_database import own_database_url, own_redis_url
from anime.cli.terminal import counter, print_json, print_note, print_table

if TYPE_CHECKING:
    from anime.assets.backup.restore import RestorePlan
    from anime.db.session import Database
    from anime.settings import Settings


def restore(
    backup: Annotated[
        Path | None,
        typer.Argument(help="A backup, or a folder of backups: its newest; ANIME_BACKUP_DIR's."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Restore a backup; nothing that is there is ever changed. Stop everything else before."""
    from anime.settings import load_settings

    plan = asyncio.run(_restore(load_settings(), backup, is_dry_run=dry_run))
    if json:
        print_json(plan.model_dump(mode="json"))
        return
    print_table(("restored from", plan.backup), _rows_of(plan))
    for note in plan.notes:
        print_note(note)
    print_note("Nothing was changed." if dry_run else "Restored.")


def _rows_of(plan: "RestorePlan") -> list[tuple[str, str]]:
    """What is done, a line each."""
    is_there = " (there already)" if plan.is_database_there else ""
    return [
        ("made", plan.made_at),
        ("rows", f"{plan.rows:,} into {plan.database}{is_there}"),
        ("files", f"{plan.files:,} ({plan.size_bytes / 2**20:,.1f} MB) to be written"),
        ("files that are there", f"{plan.files_there:,}"),
        *((f"{name} into", path) for name, path in plan.roots.items()),
        *((f"{earlier} in rows", f"becomes {new}") for earlier, new in plan.moved.items()),
    ]


async def _restore(settings: "Settings", given: Path | None, *, is_dry_run: bool) -> "RestorePlan":
    from anime.assets.backup.restore import Restore, chosen_backup
    from anime.db.session import Database

    backup = chosen_backup(settings, given)
    async with own_database_url(settings) as url, Database(url) as database:
        restoring = await Restore.of(backup, settings, database)
        with counter("files looked at") as progress:
            plan = await restoring.plan(progress)
            if not is_dry_run:
                await restoring.apply(plan, progress)
                await _forget_progress(plan, settings, database)
    return plan


async def _forget_progress(plan: "RestorePlan", settings: "Settings", database: "Database") -> None:
    """Have Redis forget what became of jobs after the backup that the database has as going on."""
    from anime.db.repositories import JobRepository
    from anime.errors import AnimeError
    from anime.progress.publisher import forget_jobs

    async with database.session_scope() as session:
        job_ids = await JobRepository(session).not_over()
    if not job_ids:
        return
    try:
        async with own_redis_url(settings) as redis_url:
            why = await forget_jobs(redis_url, job_ids) if redis_url else None
    except AnimeError as fault:  # what counts is restored
        why = fault.what.rstrip(".")
    if why:
        plan.notes.append(
            f"Redis does not answer ({why}): it may show jobs as they were after the backup. "
            "Restore once more when it does."
        )
