"""The messages from and to clients of the WebSocket, and how many they may send. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from websockets.frames import Frame, Opcode

from anime.core.catalogue import Slug
from anime.core.field_errors import field_errors_of
from anime.core.shots import ShotEvent
from anime.core.strict_json import RepeatedKey, check_keys
from anime.errors import AnimeError, InvalidRequest
from anime.schemas import Preview, ProgressEvent

MESSAGE_MAX_CHARS = 4096
_NOT_ALL = "literal_error"
EVERY_JOB: Literal["*"] = "*"
PONG = '{"type": "pong"}'
PROBLEM_TYPE = "urn:anime:problem:"  # as in the problem documents over HTTP


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subscribe(_Message):
    """Send the events of this job, or of all."""

    action: Literal["subscribe"]
    job_id: UUID | Literal["*"]
    seq: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    previews: bool = False


class Unsubscribe(_Message):
    """Send no more events of it."""

    action: Literal["unsubscribe"]
    job_id: UUID | Literal["*"]


class SubscribeShots(_Message):
    """Send the events of this project's shots, or of all."""

    action: Literal["subscribe_shots"]
    project: Slug | Literal["*"]


class UnsubscribeShots(_Message):
    """Send no more events of shots."""

    action: Literal["unsubscribe_shots"]


class Cancel(_Message):
    """Stop this job."""

    action: Literal["cancel"]
    job_id: UUID


class Ping(_Message):
    """Answer at once."""

    action: Literal["ping"]


Action: TypeAlias = Annotated[
    Subscribe | Unsubscribe | SubscribeShots | UnsubscribeShots | Cancel | Ping,
    Field(discriminator="action"),
]
_ACTIONS: TypeAdapter[Action] = TypeAdapter(Action)
_TODO = (
    'Send a JSON object such as {"action": "subscribe", "job_id": "…"}; docs/api.md has them all.'
)


def read_action(text: str | None) -> Action:
    """What a client asks for; None stands for a binary message.

    Raises:
        InvalidRequest: it cannot be read; the message says what is wrong with it.
    """
    if text is None:
        raise InvalidRequest("Binary messages are not understood.", _TODO)
    if len(text) > MESSAGE_MAX_CHARS:
        raise InvalidRequest(f"The message is longer than {MESSAGE_MAX_CHARS} characters.", _TODO)
    try:
        check_keys(text)
        return _ACTIONS.validate_json(text)
    except ValidationError as fault:
        raise InvalidRequest(_what_is_wrong(fault), _TODO) from None
    except RepeatedKey as fault:
        raise InvalidRequest(f"The message is refused: {fault}.", _TODO) from None


def _what_is_wrong(fault: ValidationError) -> str:
    """The faults in words, without the message itself, which may be anything."""
    first = fault.errors()[0]
    if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return (
            "action: must be subscribe, unsubscribe, cancel or ping; of shots, subscribe_shots or"
            " unsubscribe_shots."
        )
    # Of what is neither an id nor "*", each is a fault of its own, one level further down.
    faults = [
        {**each, "loc": each["loc"][:2]} for each in fault.errors() if each["type"] != _NOT_ALL
    ]
    return " ".join(map(str, field_errors_of(faults, skip=1)[:5]))


def status_frame(job_id: UUID | str, fields: Mapping[str, str | int]) -> str:
    """The answer to a subscription: the job as it stands; for all jobs, nothing."""
    return json.dumps({"type": "status", "job_id": str(job_id), "data": fields})


def error_frame(error: AnimeError, job_id: UUID | str | None = None) -> str:
    """The error, as a problem document over HTTP says it."""
    problem = {"type": PROBLEM_TYPE + error.slug, "detail": error.what, "todo": error.todo}
    return json.dumps({"type": "error", "job_id": str(job_id) if job_id else None, "data": problem})


@dataclass(frozen=True)
class Update:
    """An event on its way to many listeners, serialised once for all of them."""

    event: ProgressEvent

    @cached_property
    def frame(self) -> str:
        """The message to a client."""
        content = self.event.model_dump(mode="json", exclude={"job_id", "timestamp"})
        content["updated_at"] = self.event.timestamp.isoformat()
        return json.dumps({"type": "progress", "job_id": str(self.event.job_id), "data": content})

    @cached_property
    def wire(self) -> bytes:
        """The message as it goes over a WebSocket."""
        return Frame(Opcode.TEXT, self.frame.encode()).serialize(mask=False)


def preview_frame(preview: Preview) -> str:
    """A picture of the work in progress."""
    shown = {"media_type": preview.media_type, "image": preview.image}
    return json.dumps({"type": "preview", "job_id": str(preview.job_id), "data": shown})


def shots_frame(project: str) -> str:
    """The answer to a subscription to shots."""
    return json.dumps({"type": "shots", "project": project})


def shot_frame(event: ShotEvent) -> str:
    """How far a shot is."""
    content = event.model_dump(mode="json", exclude={"shot_id", "timestamp"})
    content["updated_at"] = event.timestamp.isoformat()
    return json.dumps({"type": "shot", "shot_id": str(event.shot_id), "data": content})


@dataclass(slots=True)
class ClientRateLimit:
    """A client's limit: so many messages a second, after a pause `burst` at once."""

    per_second: float
    burst: float
    _owed: float = 0.0
    _at: float = 0.0

    def delay(self, now: float) -> float:
        """Seconds to wait before answering the message that came at `now`.

        >>> limit = ClientRateLimit(per_second=10, burst=2)
        >>> [limit.delay(100.0) for _ in range(4)]
        [0.0, 0.0, 0.1, 0.2]
        """
        self._owed = max(0.0, self._owed - (now - self._at) * self.per_second) + 1
        self._at = now
        return max(0.0, (self._owed - self.burst) / self.per_second)
