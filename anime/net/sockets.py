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


def listening_socket(host: str, port: int, *, variable: str, hint: str = "") -> socket.socket:
    """A socket that listens there; port 0 means any free one.

    `variable` is the setting that names the port; `hint` ends the error's advice.

    Raises:
        ConfigurationError: the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY on connections only if the protocol is given here; without it each
    # small answer waits 40 ms for the client's acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
