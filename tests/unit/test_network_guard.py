"""The guard in conftest.py guards."""

import socket
from urllib.request import urlopen

import pytest


def test_a_unit_test_cannot_connect() -> None:
    with socket.socket() as peer, pytest.raises(AssertionError, match="tests/integration"):
        peer.connect(("127.0.0.1", 9))


def test_a_unit_test_cannot_listen() -> None:
    with socket.socket() as peer, pytest.raises(AssertionError, match="tests/integration"):
        peer.bind(("127.0.0.1", 0))


def test_a_unit_test_cannot_fetch_a_page() -> None:
    with pytest.raises(AssertionError, match="tests/integration"):
        urlopen("http://localhost:9/", timeout=1)
