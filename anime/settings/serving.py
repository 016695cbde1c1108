"""Settings of the HTTP API, the WebSocket and webhooks."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

Port = Annotated[int, Field(ge=0, le=65535)]


class ServingSettings(BaseModel):
    """Part of the settings; `anime.settings` reads them."""

    api_host: str = Field(
        default="127.0.0.1",
        description="Address that the API listens on; any but a loopback one needs a token.",
    )
    api_ports: Annotated[tuple[Port, ...], NoDecode] = Field(
        default=(8328, 8330), min_length=1, description="Ports of the API; 0 takes a free one."
    )
    ws_port: Port = Field(
        default=8765,
        description="Port of the WebSocket for existing clients; 0 takes a free one.",
    )
    ws_url: str | None = Field(default=None, description="The WebSocket's address for clients.")
    api_token: SecretStr | None = Field(
        default=None,
        description="Tokens that open the API, comma-separated; each may be a reference env:NAME.",
    )
    api_users: SecretStr | None = Field(
        default=None,
        description="Tokens with a name, comma-separated NAME:ROLE:TOKEN; roles: view, review, "
        "produce.",
    )
    api_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins whose pages may use the API, comma-separated."
    )
    api_max_body_bytes: int = Field(
        default=2**20, ge=1024, description="Bytes that the body of an HTTP request may have."
    )
    api_requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="HTTP requests that each token may send a minute, and each address without "
        "one; any number if unset.",
    )
    public_url: str | None = Field(
        default=None, description="The API's address for browsers; used in Prefect's pages."
    )
    queue_limit: int = Field(
        default=1000,
        ge=1,
        description="Jobs that may be queued, not counting those of batches; more are refused.",
    )
    takes_old_queue: bool = Field(
        default=True,
        description="Whether the API takes jobs from the Redis list; false if `anime intake` does.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Signs webhooks: whsec_ and base64 of 24 to 64 bytes; unset, none are sent.",
    )
    webhook_allow_private: bool = Field(
        default=False, description="Whether webhooks may go to addresses of a private network."
    )

    @field_validator("api_ports", mode="before")
    @classmethod
    def _ports_from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _origins_from_text(cls, value: object) -> object:
        return tuple(_origins_in(value)) if isinstance(value, str) else value

    @field_validator("api_host")
    @classmethod
    def _address_of_ours(cls, host: str) -> str:
        if host != "localhost":
            ipaddress.ip_address(host)
        return host

    @property
    def api_urls(self) -> tuple[str, ...]:
        """The API's addresses for this machine, one for each port."""
        return tuple(f"http://{self._reached_host}:{port}" for port in self.api_ports)

    @property
    def websocket_url(self) -> str:
        """The WebSocket's address for clients."""
        return self.ws_url or f"ws://{self._reached_host}:{self.ws_port}"

    @property
    def _reached_host(self) -> str:
        # An API that listens on every address is reached on loopback, too.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)  # noqa: S104
        return f"[{host}]" if ":" in host else host

    @property
    def browser_url(self) -> str:
        """The API's address for browsers, without a trailing slash."""
        return (self.public_url or self.api_urls[-1]).rstrip("/")


def _origins_in(text: str) -> Iterator[str]:
    """Each origin in a comma-separated list, as browsers write it."""
    for part in filter(None, (each.strip().rstrip("/").lower() for each in text.split(","))):
        url = urlsplit(part)
        if url.scheme not in {"http", "https"} or part != f"{url.scheme}://{url.netloc}":
            raise ValueError(f"{part!r} is no origin such as https://studio.example:3000")
        yield part
