"""Who may open a WebSocket: what browsers do not check for us."""

from starlette.requests import HTTPConnection
from starlette.responses import Response

from anime.api.access import Access, bearer_in
from anime.api.problems import problem_of
from anime.errors import AnimeError, PageRefused, TokenMissing


def refusal(connection: HTTPConnection, access: Access) -> Response | None:
    """The answer to a connection that is not to be opened; None when it may be.

    Any page on the web may open a WebSocket to this machine in its visitor's browser. Only the
    origin, which no page can forge, tells ours from others; programs send none.
    """
    try:
        _admit(connection, access)
    except AnimeError as error:
        return problem_of(error, connection.url.path)
    return None


def _admit(connection: HTTPConnection, access: Access) -> None:
    """Raises TokenMissing or PageRefused where the connection may not be opened."""
    headers = connection.headers
    token = bearer_in(headers.get("Authorization")) or connection.query_params.get("token")
    if not access.is_allowed(token):
        raise TokenMissing(
            "The connection shows no token of this API.",
            "Send Authorization: Bearer TOKEN, or from a browser ?token=TOKEN.",
        )
    if not access.is_known_origin(headers.get("Origin"), headers.get("Host")):
        raise PageRefused(
            f"Pages of {headers.get('Provenance')} may not connect.",
            "Add the origin to ANIME_API_CORS_ORIGINS.",
        )
