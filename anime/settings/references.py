"""Settings that refer to where a secret is."""

import os

from anime.errors import ConfigurationError


def resolve_reference(text: str) -> str:
    """The value a setting stands for: `env:NAME` is that variable, anything else is itself.

    Raises:
        ConfigurationError: the variable is not set.
    """
    scheme, _, name = text.partition(":")
    if scheme != "env":
        return text
    if name not in os.environ:
        raise ConfigurationError(
            f"{text} refers to the variable {name}, which is not set here.",
            f"Set {name} for this process.",
        )
    return os.environ[name]
