"""The tokens of the API, and addresses and sessions that are signed with them.

A page that shows a picture cannot send a token for it. It uses a signed address, which opens only
that picture, and only for some days.
"""

import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from itsdangerous import BadSignature, Signer, TimestampSigner
from pydantic import SecretStr

from anime.core.callers import ANYBODY, Caller, Role
from anime.core.secret_references import is_reference
from anime.errors import ConfigurationError
from anime.settings import Settings, resolve_reference
from anime.settings.secret_references import has_references

DAY_SECONDS = 86_400
SESSION_SECONDS = 30 * DAY_SECONDS
_MAKE_ONE = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token that opens the API, and whose it is."""

    value: str = field(repr=False)
    caller: Caller


def api_tokens(settings: Settings) -> tuple[ApiToken, ...]:
    """The tokens that open the API; if empty, it needs none. The first one signs addresses.

    Raises:
        ConfigurationError: a reference has no value, a token cannot be sent in a header, or
            a name or a role is not understood or given twice.
    """
    tokens = (*_unnamed_tokens(settings), *_named_tokens(settings))
    names = [token.caller.name for token in tokens if token.caller.name is not None]
    if len({name.casefold() for name in names}) < len(names):
        raise ConfigurationError("ANIME_API_USERS has a name twice.", "Give each token its own.")
    return tokens


def token_texts(settings: Settings) -> Iterator[tuple[str, str]]:
    """The variable and the text of each token, which may be a reference."""
    yield from (("ANIME_API_TOKEN", part) for part in _parts(settings.api_token))
    for part in _parts(settings.api_users):
        text = part if is_reference(part) else part.split(":", 2)[-1].strip()
        yield "ANIME_API_USERS", text


def has_changing_tokens(settings: Settings) -> bool:
    """Whether a token is a reference, whose value may be another one later."""
    return any(has_references(text) for _, text in token_texts(settings))


def _unnamed_tokens(settings: Settings) -> Iterator[ApiToken]:
    for part in _parts(settings.api_token):
        yield ApiToken(_resolved(part, "ANIME_API_TOKEN"), ANYBODY)


def _named_tokens(settings: Settings) -> Iterator[ApiToken]:
    for number, part in enumerate(_users(settings), 1):
        name, role, token = (each.strip() for each in (*part.split(":", 2), "", "")[:3])
        known = Role.__members__.get(role.upper())
        if not (name and known and token):  # what stands there instead may be a token
            raise ConfigurationError(
                f"Entry {number} of ANIME_API_USERS is not NAME:ROLE:TOKEN.",
                "ROLE is view, review or produce; TOKEN may be a reference such as env:MEI_TOKEN.",
            )
        yield ApiToken(_resolved(token, "ANIME_API_USERS"), Caller(name, known))


def _users(settings: Settings) -> Iterator[str]:
    """Each NAME:ROLE:TOKEN; a reference stands for any number of them."""
    for part in _parts(settings.api_users):
        is_list = is_reference(part)
        yield from _parts(SecretStr(resolve_reference(part))) if is_list else [part]


def _parts(secret: SecretStr | None) -> list[str]:
    text = secret.get_secret_value() if secret is not None else ""
    return [part.strip() for part in text.split(",") if part.strip()]


def _resolved(part: str, variable: str) -> str:
    token = resolve_reference(part)
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigurationError(
            f"{variable} has a token that is empty or has characters that no header may have.",
            _MAKE_ONE,
        )
    return token


def new_session(token: ApiToken) -> str:
    """What the cookie of a browser holds whose user has shown the token; it does not reveal it."""
    return _session_signer(token).sign(_digest(token.value).hex()[:16]).decode()


def is_session(session: str, token: ApiToken) -> bool:
    """Whether it was made with the token within the last `SESSION_SECONDS`."""
    try:
        _session_signer(token).unsign(session, max_age=SESSION_SECONDS)
    except BadSignature:
        return False
    return True


def _session_signer(token: ApiToken) -> TimestampSigner:
    return TimestampSigner(token.value, salt="anime session", digest_method=hashlib.sha256)


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, compared in constant time."""
    return hmac.compare_digest(_digest(one), _digest(other))


def picture_address(path: str, settings: Settings, *, base_url: str | None = None) -> str:
    """The address at which a browser gets the picture at that path of the API.

    If there are tokens it is signed, for as many days as Prefect keeps the page that it is on.
    `base_url` is the API's address for browsers, by default that of the settings.
    """
    tokens = [token.value for token in api_tokens(settings)]
    expires = int(time.time()) + settings.keep_runs_days * DAY_SECONDS
    address = signed_address(path, expires, tokens) if tokens else path
    return f"{base_url or settings.browser_url}{address}"


def signed_address(path: str, expires: int, tokens: Sequence[str]) -> str:
    """`path?expires=…&signature=…`, signed with the first token.

    `expires` is in seconds since the UTC epoch. The signature does not reveal the token.
    """
    return _signer(tokens).sign(f"{path}?expires={expires}").decode()


def is_signed_address(address: str, tokens: Sequence[str]) -> bool:
    """Whether the address was signed with one of the tokens, expired or not."""
    return _signer(tokens).validate(address)


def _signer(tokens: Sequence[str]) -> Signer:
    return Signer(  # signs with the last key, and accepts a signature with any of them
        tuple(reversed(tokens)),
        salt="anime signed address",
        sep="&signature=",
        digest_method=hashlib.sha256,
    )


def _digest(secret: str) -> bytes:
    # All of one length, so that a comparison does not reveal how long a secret is.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
