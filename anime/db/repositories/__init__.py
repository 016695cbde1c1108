"""All SQL. A repository works in the transaction it is given and never commits.

Its names are loaded when the first of them is asked for: a program that takes single modules, such
as a sweep, then starts in three quarters of the time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anime.db.repositories.everything import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module("anime.db.repositories.everything"), name)
