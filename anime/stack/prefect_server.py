"""The embedded Prefect server: on loopback, with a password, its tables in PostgreSQL."""

import secrets
import sys
from collections.abc import Mapping

from anime.settings import PROJECT_DIR, Settings
from anime.stack.environment import prefect_home
from anime.stack.home import persistent_secret, private_folder
from anime.stack.part_readiness import is_healthy
from anime.stack.parts import BACKGROUND_NICENESS, Part
from anime.stack.prefect_command import PROGRAM

HOST = "127.0.0.1"

# Each with its reason and its measured effect in docs/prefect-server.md.
TUNING = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "600",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P1D",
    # A batch of ten thousand generations, each with a prompt of its own.
    "PREFECT_SERVER_API_MAX_PARAMETER_SIZE": str(16 * 1024 * 1024),
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
}


def prefect_api_url(settings: Settings) -> str:
    """The address of our server's API; the port is resolved."""
    return f"http://{HOST}:{settings.prefect_port}/api"


def server_auth_string(settings: Settings) -> str:
    """The `user:password` of our server, made on first use.

    Whoever can use a Prefect API can run programs as its owner, and other users of this machine
    reach loopback, too.
    """
    folder = private_folder(prefect_home(settings))
    return persistent_secret(folder / "auth", new_auth_string)


def new_auth_string() -> str:
    """A `user:password` that nobody can guess."""
    return f"anime:{secrets.token_urlsafe(32)}"


def prefect_server(settings: Settings, environment: Mapping[str, str], database_url: str) -> Part:
    """The server as a part for the supervisor.

    Args:
        settings: with its port, address and password resolved.
        environment: the variables of all parts.
        database_url: the database of its tables, for asyncpg.
    """
    auth_string = settings.prefect_api_auth_string
    return Part(
        name="prefect",
        command=(
            *(sys.executable, *PROGRAM, "prefect", "server", "start"),
            *("--host", settings.prefect_host, "--port", str(settings.prefect_port)),
        ),
        log=settings.logs / "prefect.log",
        environment={
            **environment,
            **TUNING,
            "PREFECT_SERVER_API_AUTH_STRING": auth_string.get_secret_value() if auth_string else "",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url,
            "PREFECT_UI_ENABLED": "true",
            # By default it writes its pages into the installed package, which others may own.
            "PREFECT_UI_STATIC_DIRECTORY": str(prefect_home(settings) / "pages"),
        },
        folder=PROJECT_DIR,
        is_ready=lambda _: is_healthy(f"{settings.prefect_api_url}/health"),
        url=f"http://{HOST}:{settings.prefect_port}",
        niceness=BACKGROUND_NICENESS,  # after a burst of requests it is busy with their runs
    )
