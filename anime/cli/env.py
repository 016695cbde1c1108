"""`anime env`: the addresses of the running stack, for a shell."""

import shlex

from anime.cli.terminal import print_result
from anime.errors import ConfigurationError

_ALWAYS = ("ANIME_HOME",)
_SHOWN = (
    "PREFECT_API_URL",
    "PREFECT_API_AUTH_STRING",
    "ANIME_DATABASE_URL",
    "ANIME_REDIS_URL",
    "ANIME_COMFYUI_URL",
    "ANIME_LIBRARY_DIR",
    "ANIME_PUBLIC_URL",
)


def env() -> None:
    """Print `export` lines, with which `prefect` and `psql` find the stack: eval "$(anime env)"."""
    from anime.settings import load_settings, resolve_reference
    from anime.stack.environment import settings_environment

    known = settings_environment(load_settings())
    if "PREFECT_API_URL" not in known and "ANIME_DATABASE_URL" not in known:
        raise ConfigurationError(
            "No stack runs here, and no variable names one.", "Start it with `anime up`."
        )
    for name in (*_ALWAYS, *_SHOWN):
        if name in known:
            # psql does not understand SQLAlchemy's name of a driver.
            # Prefect knows no references. Those of others count anew for each program.
            text = known[name]
            value = resolve_reference(text) if name == "PREFECT_API_AUTH_STRING" else text
            value = value.replace("postgresql+psycopg:", "postgresql:", 1)
            print_result(f"export {name}={shlex.quote(value)}")
