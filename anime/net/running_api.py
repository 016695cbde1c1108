"""The API of the stack that runs here, asked by commands: it has loaded what they would load.

With the standard library alone, as a command takes longer to load httpx than to ask.
"""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, SecretStr

from anime.core.callers import ANYBODY
from anime.errors import ConfigurationError
from anime.settings import Settings
from anime.settings.stack_record import read_record

ANSWER_SECONDS = 30.0
_OF_ONE_STUDIO = ("database_url", "redis_url", "comfyui_url", "prefect_api_url")


class RunningApi:
    """Answers to single requests. Whatever it cannot answer is None: ask the database then."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def of_stack(cls, settings: Settings) -> "RunningApi | None":
        """That of the stack whose database and servers the settings name; None if none runs."""
        record = read_record(settings.home)
        part = record and record.parts.get("api")
        if not (record and part and part.url):
            return None
        ours = {name: _as_text(getattr(settings, name)) for name in _OF_ONE_STUDIO}
        is_same = all(ours[name] == record.settings.get(name) for name in ours)
        return cls(part.url, _token_of(settings)) if is_same else None

    def get(self, path: str, query: BaseModel | None = None, **more: object) -> bytes | None:
        """The answer to a question; fields of the query that are unset are left out."""
        fields = query.model_dump(mode="json", exclude_none=True) if query else {}
        given = fields | {name: value for name, value in more.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: BaseModel, *, key: str | None = None) -> bytes | None:
        """The answer to a request; with a `key`, sending it again changes nothing more."""
        sent = body.model_dump_json(exclude_unset=True).encode()
        return self._ask("POST", path, sent, {"Idempotency-Key": key} if key else {})

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes | None:
        sent = {**self._headers, **(headers or {}), "Content-Type": "application/json"}
        connection = HTTPConnection(self._host, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, f"/api/anime{path}", body, sent)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return text if answer.status < HTTPStatus.MULTIPLE_CHOICES else None


def _token_of(settings: Settings) -> str | None:
    """A token that is nobody's by name: a command acts for whoever may read the data folder."""
    if settings.api_token is None:
        return None
    from anime.settings.tokens import api_tokens

    with suppress(ConfigurationError):  # one refers to nothing
        return next((t.value for t in api_tokens(settings) if t.caller == ANYBODY), None)
    return None


def _as_text(value: SecretStr | str | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
