"""Sockets: the TLS settings of our clients, and the listening sockets of our servers."""

import errno
import socket
import ssl
from functools import cache

import httpx

from anime.errors import ConfigurationError


@cache
def tls_context() -> ssl.SSLContext:
    """The TLS settings of all clients: httpx would read 150 certificates for each, in 15 ms."""
    return httpx.create_ssl_context()


_BACKLOG = 2048


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that has the port without listening: whoever picks any free one passes it over.

    Who is told the port can listen there, as Linux lets several sockets with `SO_REUSEADDR` have
    one of which a single one listens. Elsewhere, close it before.

    Raises:
        OSError: somebody has the port, or it is not allowed.
    """
    reservation = socket.socket(_family_of(host), socket.SOCK_STREAM)
    try:
        reservation.bind((host, port))  # still without it, or another's reservation would not count
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        reservation.close()
        raise
    return reservation


def listening_socket(host: str, port: int, *, variable: str, hint: str = "") -> socket.socket:
    """A socket that listens there; port 0 means any free one.

    `variable` is the setting that names the port; `hint` ends the error's advice.

    Raises:
        ConfigurationError: the port is taken or not allowed.
    """
    # asyncio sets TCP_NODELAY on connections only if the protocol is given here; without it each
    # small answer waits 40 ms for the client's acknowledgement.
    listening = socket.socket(_family_of(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Connections that are left of an earlier process do not block the port.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as fault:
        listening.close()
        why = "is taken" if fault.errno == errno.EADDRINUSE else f"cannot be used: {fault.strerror}"
        raise ConfigurationError(
            f"Port {port} on {host} ({variable}) {why}.",
            f"Set {variable} to another port, or to 0 for any free one{hint}.",
        ) from fault
    return listening


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
