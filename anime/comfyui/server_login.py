"""How we show a ComfyUI server, or the proxy before it, who we are: headers and a certificate.

A user and a password may also stand in its address (`anime.comfyui.address`).
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
from pydantic import SecretStr

from anime.comfyui.address import canonical_url
from anime.errors import AnimeError, ConfigurationError
from anime.net.sockets import tls_context
from anime.settings import get_settings
from anime.settings.secret_references import known_value, resolve_reference


@dataclass(frozen=True, slots=True)
class ServerLogin:
    """Headers of every request, whose values may be references, and the TLS settings."""

    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    tls: ssl.SSLContext = field(default_factory=tls_context)

    async def headers(self) -> dict[str, str]:
        """The headers as they are to be sent now.

        Raises:
            ConnectionError: a reference has no value, or one that no header may have; it is as if
                the server were away.
        """
        found: dict[str, str] = {}
        try:
            for name, secret in self.secrets.items():
                text = secret.get_secret_value()
                value = known_value(text)
                if value is None:
                    value = await asyncio.to_thread(resolve_reference, text)
                found[name] = _sendable(name, value)
        except AnimeError as fault:
            raise ConnectionError(fault.what) from fault
        return found

    async def sign(self, request: httpx.Request) -> None:
        """Put the headers into a request of httpx."""
        if not self.secrets:
            return
        try:
            request.headers.update(await self.headers())
        except ConnectionError as fault:
            raise httpx.ConnectError(str(fault)) from fault


def _sendable(name: str, value: str) -> str:
    if value == value.strip() and value.isascii() and value.isprintable():
        return value
    # Whoever sends it would quote it.
    raise ConfigurationError(
        f"The header {name} has a character that no header may have, perhaps a line break.",
        "Correct ANIME_COMFYUI_HEADERS, or the block ComfyUI Server.",
    )


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """What the settings or a block say of all servers: headers, and files in PEM."""

    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def login_to(url: str) -> ServerLogin:
    """The login to that server by this process's settings."""
    settings = get_settings()
    credentials = ServerCredentials(
        settings.comfyui_headers or {},
        settings.comfyui_ca_file,
        settings.comfyui_client_cert,
        settings.comfyui_client_key,
    )
    return login_with(credentials, url, settings.comfyui_urls)


def login_with(credentials: ServerCredentials, url: str, servers: Iterable[str]) -> ServerLogin:
    """The login to that server: only those `servers` are shown who we are.

    Others may have been added by anybody who may produce, and would learn the secret.

    Raises:
        ConfigurationError: a certificate cannot be read.
    """
    if canonical_url(url) not in map(canonical_url, servers):
        return ServerLogin()
    files = (credentials.authority, credentials.certificate, credentials.key)
    return ServerLogin(credentials.headers, _context(*files) if any(files) else tls_context())


@cache
def _context(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """The TLS settings with these files, which are read once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it checks certificate and name
    try:
        if authority is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as fault:  # ssl.SSLError is one
        raise ConfigurationError(
            f"The certificates for ComfyUI cannot be read: {fault}.",
            "Correct ANIME_COMFYUI_CA_FILE, ANIME_COMFYUI_CLIENT_CERT, ANIME_COMFYUI_CLIENT_KEY.",
        ) from fault
    return context
