"""The page around each view: its HTML, its language, and what its browser may load."""

import re
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from anime.api.access import SESSION_COOKIE
from anime.api.page.assets import PageFiles
from anime.api.page.language import LANGUAGE_COOKIE, LANGUAGES, language_of, translator
from anime.core.callers import ANYBODY

SCHEME_COOKIE = "anime_scheme"
SCHEMES = ("light", "dark")
VIEWS = ("now", "make", "library", "shots", "review")
VIEW_PATHS = MappingProxyType({"now": "/"} | {view: f"/{view}" for view in VIEWS[1:]})
_YEAR = 365 * 24 * 3600
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]+")
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
HEADERS = {
    "Cache-Control": "private, no-cache",  # Back shows what was there, and asks the API anew
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}

assets = PageFiles.of_this_package()


def _icon(name: str) -> Markup:
    """A picture of icons.svg, which screen readers pass over."""
    use = Markup('<use href="{}#{}"/>').format(assets.address("icons.svg"), name)
    return Markup('<svg class="icon" aria-hidden="true">{}</svg>').format(use)


_environment = Environment(
    loader=FileSystemLoader(Path(str(files("anime.api.page"))) / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(
    asset=assets.address, icon=_icon, languages=LANGUAGES, views=VIEWS, view_paths=VIEW_PATHS
)


def render(
    request: Request, template: str, *, status: int = 200, **context: object
) -> HTMLResponse:
    """The page that a template makes, in the browser's language.

    Templates have `t`, `language`, `scheme`, `caller`, `asset`, `query` and what is in `context`.
    """
    language = language_of(request)
    scheme = request.cookies.get(SCHEME_COOKIE)
    html = _environment.get_template(template).render(
        t=translator(language),
        language=language,
        scheme=scheme if scheme in SCHEMES else "",
        caller=getattr(request.state, "caller", ANYBODY),
        is_signed_in=SESSION_COOKIE in request.cookies,
        path=request.url.path,
        query=request.query_params,
        here=request.url,
        **context,
    )
    headers = HEADERS | {
        "Content-Language": language,
        "Content-Security-Policy": _content_security_policy(request),
    }
    response = HTMLResponse(html, status_code=status, headers=headers)
    if request.query_params.get("lang") == language:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR, samesite="lax")
    return response


def _content_security_policy(request: Request) -> str:
    """What the page may load: only from here. Some browsers do not count the socket to 'self'."""
    host = request.headers.get("host", "")
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return "; ".join((*_POLICY, f"connect-src 'self'{sockets}"))
