"""`anime worker`: the Prefect worker that runs generations."""

from typing import Annotated

import typer


def worker(
    worker_type: Annotated[
        str | None,
        typer.Option("--type", help="anime-warm or process; ANIME_WORKER_TYPE if unset."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; ANIME_WORKER_LIMIT if unset.")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="Poll only this work queue. May be repeated."),
    ] = None,
    watch: Annotated[
        bool | None,
        typer.Option(
            "--watch/--no-watch",
            help="Sweep new files at once; ANIME_WATCH if unset.",
        ),
    ] = None,
) -> None:
    """Run a Prefect worker on the pool ANIME_WORK_POOL."""
    from anime.settings import load_settings
    from anime.stack.worker_start import run_worker

    given = {} if watch is None else {"watch": watch}
    settings = load_settings(**given)
    run_worker(settings, worker_type=worker_type, limit=limit, queues=queue or ())
