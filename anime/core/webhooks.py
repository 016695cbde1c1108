"""What a webhook says, how it is signed, and when it is tried again.

Headers and signature are those of https://www.standardwebhooks.com, so that the libraries
receivers already have can verify them.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from anime.errors import ConfigurationError
from anime.schemas import FileRecord, JobSnapshot

SECRET_PREFIX = "whsec_"  # noqa: S105  what every secret begins with
KEY_BYTES = range(24, 65)


class EndedGeneration(JobSnapshot):
    """A job in its final state, with what it has made."""

    files: list[FileRecord] = Field(description="Without the metadata, which the API gives.")


class WebhookMessage(BaseModel):
    """What is posted to the `webhook_url` of a generation once it has ended."""

    type: Literal["generation.completed", "generation.failed", "generation.cancelled"]
    timestamp: AwareDatetime = Field(description="When the generation ended, in UTC.")
    data: EndedGeneration


def message_of(
    job: JobSnapshot, files: Sequence[FileRecord], *, moment: datetime
) -> dict[str, JsonValue]:
    """The message on a job that has ended, as JSON; without its files' graphs, which are large."""
    message = WebhookMessage.model_validate(
        {
            "type": f"generation.{job.status}",
            "timestamp": job.finished_at or moment,
            "data": {**job.model_dump(), "files": [file.model_dump() for file in files]},
        }
    )
    return message.model_dump(mode="json", exclude={"data": {"files": {"__all__": {"metadata"}}}})


def content_of(message: Mapping[str, JsonValue]) -> bytes:
    """The message as it is signed and sent."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def signed_headers(
    key: bytes, delivery_id: UUID, content: bytes, *, timestamp: int
) -> dict[str, str]:
    """The headers by which a receiver knows the message, its age and its sender.

    Args:
        key: The secret's bytes.
        delivery_id: The same at every try, so that a receiver knows a repeat.
        content: The body, byte for byte.
        timestamp: Of this try, in seconds since the epoch.
    """
    signed = b".".join((str(delivery_id).encode(), str(timestamp).encode(), content))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def key_of(secret: str) -> bytes:
    """The bytes of a secret in the form `whsec_` and base64.

    Raises:
        ConfigurationError: it has another form, or is too short to be one.

    >>> len(key_of("whsec_" + "A" * 32))
    24
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in KEY_BYTES:
        raise ConfigurationError(
            "ANIME_WEBHOOK_SECRET is no webhook secret.",
            "Set it to whsec_ and the base64 of 24 to 64 random bytes: "
            'echo "whsec_$(openssl rand -base64 32)".',
        )
    return key
