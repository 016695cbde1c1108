"""A receiver of webhooks on a real port, which answers as it is told."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anime.api.serve import listen
from tests.support.waiting import HUNG_SECONDS

KEY = bytes(range(32))
TOLERANCE_SECONDS = 300  # as the standard recommends
SECRET = "whsec_" + base64.b64encode(KEY).decode()
Answer = Callable[[], Response]


@dataclass(frozen=True)
class Received:
    """One message as it came in."""

    headers: dict[str, str]
    content: bytes

    @property
    def message(self) -> Any:  # JSON
        return json.loads(self.content)

    def is_signed_with(self, key: bytes) -> bool:
        """Whether a receiver that knows only the standard would take it."""
        assert abs(time.time() - int(self.headers["webhook-timestamp"])) < TOLERANCE_SECONDS
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        mine = base64.b64encode(hmac.new(key, signed + self.content, hashlib.sha256).digest())
        return self.headers["webhook-signature"] == f"v1,{mine.decode()}"


@dataclass
class WebhookPeer:
    """What it was sent. It answers with `answers` in turn, and with 204 after them."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    elsewhere: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=in-the-url"

    async def has_received(self, number: int) -> list[Received]:
        """The messages, once there are so many."""
        async with asyncio.timeout(HUNG_SECONDS), self.news:
            await self.news.wait_for(lambda: len(self.received) >= number)
            return self.received

    async def hook(self, request: Request) -> Response:
        content = await request.body()
        async with self.news:
            self.received.append(Received(dict(request.headers), content))
            self.news.notify_all()
        return self.answers.pop(0)() if self.answers else Response(status_code=204)

    async def silent(self, request: Request) -> Response:
        """Take the message and never answer."""
        await self.hook(request)
        await asyncio.Event().wait()
        raise AssertionError("nothing sets that event")

    async def other(self, request: Request) -> Response:
        self.elsewhere += 1
        return Response(status_code=204)


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key."""

    certificate: Path
    key: Path


def new_certificate(folder: Path, name: str) -> Certificate:
    """One for a server of that name, valid today."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@asynccontextmanager
async def running_webhook_peer(
    port: int = 0, *, tls: Certificate | None = None
) -> AsyncIterator[WebhookPeer]:
    """The receiver on that port, or on a free one; it speaks TLS if it is given a certificate."""
    [listening] = listen("127.0.0.1", [port])
    peer = WebhookPeer(listening.getsockname()[1])
    routes = [
        Route("/hook", peer.hook, methods=["POST"]),
        Route("/silent", peer.silent, methods=["POST"]),
        Route("/elsewhere", peer.other, methods=["POST", "GET"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes),
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))  # without its hold on the signals
    try:
        yield peer
    finally:
        server.should_exit = True
        await task
        listening.close()
