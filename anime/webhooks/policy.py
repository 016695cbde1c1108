"""Whether webhooks are sent at all, and to where."""

from urllib.parse import urlsplit

from anime.core.public_addresses import is_never_public
from anime.core.webhooks import key_of
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest
from anime.settings import Settings, resolve_reference


def signing_key(settings: Settings) -> bytes | None:
    """The key that webhooks are signed with; None if there is no secret, so that none is sent.

    Raises:
        ConfigurationError: the secret is not usable, or refers to a variable that is not set.
    """
    secret = settings.webhook_secret
    return key_of(resolve_reference(secret.get_secret_value())) if secret else None


def check_webhook(request: GenerationRequest, settings: Settings) -> None:
    """Make sure that the request's webhook could be sent, without asking DNS.

    Raises:
        InvalidRequest: there is no key to sign it with, or its address is not allowed.
    """
    if request.webhook_url is None:
        return
    if settings.webhook_secret is None:
        raise InvalidRequest(
            "webhook_url: webhooks are not set up here, as there is no secret to sign them with.",
            "Set ANIME_WEBHOOK_SECRET and start the API anew, or leave webhook_url out.",
        )
    host = urlsplit(request.webhook_url).hostname or ""
    if is_never_public(host) and not settings.webhook_allow_private:
        raise InvalidRequest(
            "webhook_url: it leads to a private or reserved address.",
            "Give a public one, or set ANIME_WEBHOOK_ALLOW_PRIVATE=true in a network of your own.",
        )
