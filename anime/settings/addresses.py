"""The addresses of the database, Redis and ComfyUI, or an error on how to set them."""

from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.settings.process_lock import is_held
from anime.settings.stack_record import lock_path


def not_known(settings: Settings, server: str, setting: str) -> tuple[str, str]:
    """For an error: that the address is neither set nor a running stack's, and what to do."""
    if is_held(lock_path(settings.home)):
        return (
            f"No {server} is known yet: the stack of {settings.home} is still starting.",
            "Try again once `anime up` has said where everything is.",
        )
    return (
        f"No {server} is known: {setting} is not set and no stack runs.",
        f"Start everything with `anime up`, or set {setting}.",
    )


def database_address(settings: Settings) -> str:
    """The URL of the studio's database, which may have references.

    Raises:
        ConfigurationError: none is known.
    """
    if settings.database_url is None:
        raise ConfigurationError(*not_known(settings, "database", "ANIME_DATABASE_URL"))
    return settings.database_url.get_secret_value()


def redis_address(settings: Settings) -> str | None:
    """The URL of Redis, which may have references; None when there is none: that is no error."""
    url = settings.redis_url
    return url.get_secret_value() if url else None


def job_server(settings: Settings) -> str:
    """The ComfyUI server that jobs use: the first of the setting.

    Raises:
        ConfigurationError: none is known.
    """
    return comfyui_addresses(settings)[0]


def comfyui_addresses(settings: Settings) -> tuple[str, ...]:
    """The ComfyUI servers, at least one.

    Raises:
        ConfigurationError: none is known.
    """
    if not settings.comfyui_texts:
        raise ConfigurationError(*not_known(settings, "ComfyUI server", "ANIME_COMFYUI_URL"))
    return settings.comfyui_urls
