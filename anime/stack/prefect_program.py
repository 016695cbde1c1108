"""A program of Prefect's as this project runs it.

    python -m anime.stack.prefect_program [--follow-login] MODULE [ARGUMENT…]

It looks for garbage as seldom as all our programs do (see `anime`). With --follow-login, its login
is a reference, which Prefect knows nothing of and which is followed within the process: what a
process was started with, others on the machine may read.
"""

import runpy
import sys

from anime.stack.prefect_command import FOLLOW_LOGIN


def _main(*arguments: str) -> None:
    if arguments[0] == FOLLOW_LOGIN:
        _follow_login()
        arguments = arguments[1:]
    module, *sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _follow_login() -> None:
    from anime.settings import get_settings
    from anime.worker.prefect_internals import follow_auth_string

    if secret := get_settings().prefect_api_auth_string:
        follow_auth_string(secret.get_secret_value())


if __name__ == "__main__":
    _main(*sys.argv[1:])
