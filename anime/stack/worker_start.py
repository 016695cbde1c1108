"""Starts the Prefect worker in place of this process."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from anime.errors import ConfigurationError
from anime.net.vault.start import check_vault_answers
from anime.settings import Settings
from anime.stack.environment import child_environment
from anime.stack.prefect_command import prefect_module

POLL_SECONDS = 1  # with Prefect's 10, a short render would mostly wait


def worker_name() -> str:
    """The worker's name in Prefect: one for each host, however often it is started."""
    return socket.gethostname()


def run_worker(
    settings: Settings,
    *,
    worker_type: str | None = None,
    limit: int | None = None,
    queues: Sequence[str] = (),
) -> NoReturn:
    """Replace this process by a worker on the pool of the settings.

    Args:
        settings: with Prefect's address and the pool.
        worker_type: `anime-warm` or `process`; that of the settings if None.
        limit: runs at a time; that of the settings if None.
        queues: names of the work queues to poll; all if empty.

    Raises:
        ConfigurationError: no Prefect server is known, or it could not watch as it should.
        VaultUnavailable: a setting refers to Vault, which does not answer.
    """
    if settings.prefect_api_url is None:
        raise ConfigurationError(
            "No Prefect server is known to this worker.", "Run `anime up`, or set PREFECT_API_URL."
        )
    _check_watch(settings, worker_type or settings.worker_type)
    check_vault_answers(settings)
    command = [sys.executable, *prefect_module(settings, "prefect"), "worker", "start"]
    command += ["--pool", settings.work_pool]
    command += ["--type", worker_type or settings.worker_type, "--name", worker_name()]
    command += ["--limit", str(limit or settings.worker_limit)]
    command += [word for queue in queues for word in ("--work-queue", queue)]
    environment = child_environment(settings) | {
        "PREFECT_WORKER_QUERY_SECONDS": str(POLL_SECONDS),
        # Else each thread has a heap of its own, and memory that runs have freed stays unused.
        "MALLOC_ARENA_MAX": "2",
    }
    # Prefect turns SIGTERM into SIGINT: a worker that inherits SIGINT as ignored never stops.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, command, environment)  # noqa: S606  one process to supervise, not two


def _check_watch(settings: Settings, worker_type: str) -> None:
    """Refuse to start a worker that should watch for new files but could not."""
    if not settings.watch:
        return
    if worker_type != "anime-warm":
        raise ConfigurationError(
            f"A worker of type {worker_type} cannot watch for new files.",
            "Leave out --watch and ANIME_WATCH, or take the type anime-warm.",
        )
    if settings.swept_folder is None:
        raise ConfigurationError(
            "There is no folder to watch for new files.",
            "Set ANIME_SWEEP_DIR or ANIME_COMFYUI_OUTPUT_DIR, or leave out --watch.",
        )
