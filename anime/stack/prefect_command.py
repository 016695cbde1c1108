"""How Python runs a program of Prefect's: apart from what it runs, which none may have imported."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Prefect's server needs none: 3 MB
    from anime.settings import Settings

PROGRAM = ("-P", "-m", "anime.stack.prefect_program")
FOLLOW_LOGIN = "--follow-login"


def prefect_module(settings: "Settings", module: str) -> tuple[str, ...]:
    """Python's arguments for that module, so that it can log in to Prefect."""
    from anime.settings.secret_references import has_references

    secret = settings.prefect_api_auth_string
    if secret is None or not has_references(secret.get_secret_value()):
        return (*PROGRAM, module)
    return (*PROGRAM, FOLLOW_LOGIN, module)
