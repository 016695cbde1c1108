"""Where a server is: its URL, checked, and fit to be shown."""

import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from pydantic import HttpUrl, TypeAdapter, ValidationError

from anime.errors import ConfigurationError


def checked_address(url: str) -> str:
    """The URL without a trailing slash.

    Raises:
        ConfigurationError: it is not an HTTP address.
    """
    try:
        address = TypeAdapter(HttpUrl).validate_python(url)
    except ValidationError:
        raise _no_address(url) from None  # it quotes the whole of it
    if "@" in (address.path or ""):  # after a password with a slash, which is not to be told
        raise _no_address(url)
    return str(address).rstrip("/")


def _no_address(url: str) -> ConfigurationError:
    shown = re.sub(r"//.*@", "//", url, flags=re.DOTALL)
    return ConfigurationError(
        f"{shown!r} is not the address of a ComfyUI server.",
        "Set ANIME_COMFYUI_URL to something like http://127.0.0.1:8188; in a login, write / as %2F "
        "and @ as %40.",
    )


def without_login(url: str) -> str:
    """The URL as logs and messages may show it.

    >>> without_login("https://artist:secret@studio/comfy")
    'https://studio/comfy'
    """
    return re.sub(r"//[^/]*@", "//", url)


def login_of(url: str) -> tuple[str, str] | None:
    """User and password in the URL, for a proxy that asks for them."""
    parsed = urlsplit(url)
    return (unquote(parsed.username), unquote(parsed.password or "")) if parsed.username else None


def authorization_of(url: str) -> dict[str, str]:
    """The header that shows the login in the URL, if there is one.

    >>> authorization_of("ws://a%40b:c@studio/ws"), authorization_of("ws://studio/ws")
    ({'Authorization': 'Basic YUBiOmM='}, {})
    """
    login = login_of(url)
    if login is None:
        return {}
    return {"Authorization": f"Basic {b64encode(':'.join(login).encode()).decode()}"}


def websocket_url(base_url: str, client_id: str) -> str:
    """The address at which a client receives events.

    >>> websocket_url("https://studio/comfy", "a b")
    'wss://studio/comfy/ws?clientId=a%20b'
    """
    address = base_url.replace("http", "ws", 1)
    return f"{address}/ws?clientId={quote(client_id, safe='')}"


def canonical_url(url: str) -> str:
    """The address by which a server is known, without a login: one, however it is spelled.

    >>> canonical_url("HTTP://artist:secret@LocalHost:80/"), canonical_url("http://[::1]:8188")
    ('http://127.0.0.1', 'http://[::1]:8188')

    Raises:
        ConfigurationError: it is not an HTTP address.
    """
    address = without_login(checked_address(url))
    return re.sub(r"^(https?://)localhost(?=[:/]|$)", r"\g<1>127.0.0.1", address)


def addresses_meant(named: str) -> tuple[str, ...]:
    """The canonical addresses that a person may mean by it; without a scheme, those of either.

    A word alone is a name.

    >>> addresses_meant("GPU-B:8188/"), addresses_meant("gpu-b"), addresses_meant("ftp://gpu-b")
    (('http://gpu-b:8188', 'https://gpu-b:8188'), (), ())
    """
    named = named.strip()
    if not re.search("[:/]", named):
        return ()
    spelled = [named] if "://" in named else [f"http://{named}", f"https://{named}"]
    try:
        return tuple(canonical_url(each) for each in spelled)
    except ConfigurationError:
        return ()


def address_to_use(url: str, given: Iterable[str]) -> str:
    """The address of the server known as `url`, as the settings give it: it may have a login."""
    return next((each for each in given if canonical_url(each) == url), url)
