"""The tokens of the API, and addresses that are signed with them.

A page that shows a picture cannot send a token with it. It gets an address that opens that one
picture, for some days, and nothing else.
"""

import hashlib
import hmac
import time
from collections.abc import Sequence

from itsdangerous import Signer

from anime.errors import ConfigurationError
from anime.settings import Settings, resolve_reference

DAY_SECONDS = 86_400


def api_tokens(settings: Settings) -> tuple[str, ...]:
    """The tokens that open the API; none means that it asks for none.

    Raises:
        ConfigurationError: one refers to nothing, or cannot be sent in a header.
    """
    if settings.api_token is None:
        return ()
    parts = (part.strip() for part in settings.api_token.get_secret_value().split(","))
    tokens = tuple(resolve_reference(part) for part in parts if part)
    if not all(token and token.isascii() and token.isprintable() for token in tokens):
        raise ConfigurationError(
            "ANIME_API_TOKEN holds a token that is empty or has characters no header may have.",
            'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return tokens


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same; the time it takes tells nothing of either."""
    return hmac.compare_digest(_digest(one), _digest(other))


def picture_address(path: str, settings: Settings, *, base_url: str | None = None) -> str:
    """Where a browser gets the picture at that path of the API, be there tokens or not.

    With tokens the address is signed, for as many days as Prefect keeps the page it is on.
    `base_url` is the API's address for browsers, where it is not that of the settings.
    """
    tokens = api_tokens(settings)
    expires = int(time.time()) + settings.keep_runs_days * DAY_SECONDS
    address = signed_address(path, expires, tokens) if tokens else path
    return f"{base_url or settings.browser_url}{address}"


def signed_address(path: str, expires: int, tokens: Sequence[str]) -> str:
    """`path?expires=…&signature=…`, which shows that the first token's owner lets others read it.

    `expires` is in seconds since the UTC epoch. The token cannot be found from the signature.
    """
    return _signer(tokens).sign(f"{path}?expires={expires}").decode()


def is_signed_address(address: str, tokens: Sequence[str]) -> bool:
    """Whether the address was made with one of the tokens, be its time over or not."""
    return _signer(tokens).validate(address)


def _signer(tokens: Sequence[str]) -> Signer:
    return Signer(  # signs with the last of its keys, and knows what any of them signed
        tuple(reversed(tokens)),
        salt="anime signed address",
        sep="&signature=",
        digest_method=hashlib.sha256,
    )


def _digest(secret: str) -> bytes:
    # Of one length for all, so that a comparison does not tell how long a secret is.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
