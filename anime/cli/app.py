"""The program `anime` and its commands."""

import typer

from anime.cli import (
    backup,
    batch,
    cancel,
    characters,
    demo,
    doctor,
    env,
    files,
    generate,
    intake,
    jobs,
    metadata,
    migrate,
    old_records,
    pause,
    projects,
    quarantine,
    rebuild,
    rehearsal,
    reproduce,
    requeue,
    restore,
    retention,
    serve,
    servers,
    services,
    sheet,
    shots,
    sweep,
    takes,
    up,
    vault,
    verify,
    worker,
    workflow,
)
from anime.cli.error_boundary import run_command

app = typer.Typer(
    name="anime",
    help="A prompt becomes a picture in the library, a row in PostgreSQL and a run in Prefect.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(generate.generate)
app.command()(batch.batch)
app.command()(cancel.cancel)
app.command()(requeue.requeue)
app.command()(jobs.jobs)
app.command()(files.files)
app.command()(metadata.metadata)
app.command()(sheet.sheet)
app.command()(retention.retention)
app.command()(rebuild.rebuild)
app.command()(verify.verify)
app.command()(sweep.sweep)
app.add_typer(backup.backup)
app.command()(restore.restore)
app.add_typer(projects.projects)
characters.characters.command(name="import")(old_records.import_old)
app.add_typer(characters.characters)
app.add_typer(shots.shots)
app.command()(takes.takes)
app.command()(takes.review)
app.command()(reproduce.reproduce)
app.command()(reproduce.diff)
app.add_typer(servers.servers)
app.command()(pause.pause)
app.command()(pause.resume)
app.add_typer(quarantine.quarantine)
app.add_typer(workflow.workflow)
app.add_typer(vault.vault)
app.add_typer(services.services)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(env.env)
app.command()(migrate.migrate)
app.command()(worker.worker)
app.command()(serve.serve)
app.command()(intake.intake)
app.command()(rehearsal.rehearsal)


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    run_command(app)


if __name__ == "__main__":
    main()
