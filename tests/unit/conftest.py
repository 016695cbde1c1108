"""Unit tests do no I/O over the network: the mistake fails where it is made."""

import socket
from typing import NoReturn

import pytest
from hypothesis import settings

# No database of examples and no deadline: the tests write nothing and never fail by chance.
settings.register_profile("unit", max_examples=60, deadline=None, database=None, derandomize=True)
settings.load_profile("unit")


class OpenedASocket(AssertionError):
    """A unit test reached for the network; it belongs into tests/integration."""


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise OpenedASocket("a unit test opens a socket; move it to tests/integration")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither connecting nor listening nor looking up a name works."""
    for verb in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, verb, _refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
