"""A program of Prefect's whose login is a reference: followed here, as Prefect knows none.

    python -m anime.stack.prefect_program MODULE [ARGUMENT…]

It is followed within the process: what a process was started with, others on the machine may read.
"""

import runpy
import sys
from collections.abc import Sequence

from anime.settings import Settings, get_settings
from anime.settings.secret_references import has_references


def prefect_module(settings: Settings, module: str) -> tuple[str, ...]:
    """How Python runs that module, so that it can log in to Prefect."""
    secret = settings.prefect_api_auth_string
    if secret is None or not has_references(secret.get_secret_value()):
        return ("-P", "-m", module)
    return ("-P", "-m", "anime.stack.prefect_program", module)


def _main(module: str, arguments: Sequence[str]) -> None:
    from anime.worker.prefect_internals import follow_auth_string

    secret = get_settings().prefect_api_auth_string
    if secret is not None:
        follow_auth_string(secret.get_secret_value())
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
