"""The environment that programs of others inherit from us."""

import os


def inherited_environment(**more: str) -> dict[str, str]:
    """Our own, with those variables besides."""
    return {**os.environ, **more}
