"""The tokens of the API, and addresses that are signed with them.

A page that shows a picture cannot send a token for it. It uses a signed address, which opens only
that picture, and only for some days.
"""

import hashlib
import hmac
import time
from collections.abc import Sequence

from itsdangerous import Signer

from anime.errors import ConfigurationError
from anime.settings import Settings, resolve_reference
from anime.settings.secret_references import has_references

DAY_SECONDS = 86_400


def api_tokens(settings: Settings) -> tuple[str, ...]:
    """The tokens that open the API; if empty, it needs none.

    Raises:
        ConfigurationError: a reference has no value, or a token cannot be sent in a header.
    """
    tokens = tuple(map(resolve_reference, _texts(settings)))
    if not all(token and token.isascii() and token.isprintable() for token in tokens):
        raise ConfigurationError(
            "ANIME_API_TOKEN has a token that is empty or has characters that no header may have.",
            'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return tokens


def has_changing_tokens(settings: Settings) -> bool:
    """Whether a token is a reference, whose value may be another one later."""
    return any(map(has_references, _texts(settings)))


def _texts(settings: Settings) -> list[str]:
    text = settings.api_token.get_secret_value() if settings.api_token else ""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, compared in constant time."""
    return hmac.compare_digest(_digest(one), _digest(other))


def picture_address(path: str, settings: Settings, *, base_url: str | None = None) -> str:
    """The address at which a browser gets the picture at that path of the API.

    If there are tokens it is signed, for as many days as Prefect keeps the page that it is on.
    `base_url` is the API's address for browsers, by default that of the settings.
    """
    tokens = api_tokens(settings)
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
