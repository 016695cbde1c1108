"""The TLS settings of our HTTP clients."""

import ssl
from functools import cache

import httpx


@cache
def tls_context() -> ssl.SSLContext:
    """What httpx makes for each client, made once: it reads 150 certificates, 15 ms each time."""
    return httpx.create_ssl_context()
