"""Logging in to the page: a token becomes the cookie of a session."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request, status
from fastapi.responses import RedirectResponse

from anime.api.access import SESSION_COOKIE
from anime.api.app_state import StateDependency
from anime.errors import PageRefused
from anime.settings.tokens import SESSION_SECONDS, new_session

START_PAGE = "/"
router = APIRouter(include_in_schema=False)


@router.post("/login")
async def log_in(
    request: Request,
    state: StateDependency,
    token: Annotated[str, Form(max_length=4096)] = "",
    next: Annotated[str, Form(max_length=4096)] = START_PAGE,  # noqa: A002  the form's field
) -> RedirectResponse:
    """Give the browser of somebody who has a token the cookie, and open the page they wanted.

    Raises:
        PageRefused: the form is of another origin, which could log its visitors in as somebody.
    """
    if not state.access.is_sent_by_our_page(request):
        raise PageRefused(
            f"A page of {request.headers.get('Origin')} may not log in here.",
            "Open /login at an address of this API, or set ANIME_PUBLIC_URL to that address.",
        )
    target = next if _is_local(next) else START_PAGE
    known = state.access.token_of(token.strip())
    if known is None and state.access.needs_token:
        wrong = urlencode({"next": target, "wrong": 1})
        return _see_other(f"/login?{wrong}")
    answer = _see_other(target)
    if known is not None:
        answer.set_cookie(
            SESSION_COOKIE,
            new_session(known),
            max_age=SESSION_SECONDS,
            secure=state.settings.browser_url.startswith("https:"),
            httponly=True,
            samesite="lax",  # a link that a colleague sends opens; what changes something does not
        )
    return answer


@router.post("/logout")
async def log_out() -> RedirectResponse:
    """Take the cookie back."""
    answer = _see_other("/login")
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def _see_other(address: str) -> RedirectResponse:
    return RedirectResponse(address, status_code=status.HTTP_303_SEE_OTHER)


def _is_local(address: str) -> bool:
    """Whether the address is a path of this API, and no way to another host."""
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    return is_path and address.isprintable()
