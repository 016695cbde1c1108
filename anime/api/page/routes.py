"""The addresses of the page. They stand outside the API: what a view needs, it asks the API for."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anime.api.page.assets import FOLDER
from anime.api.page.frame import assets, render


async def now(request: Request) -> Response:
    """What renders, what waits and what failed."""
    return render(request, "now.html", view="now")


async def make(request: Request) -> Response:
    """The form for a new generation."""
    return render(request, "make.html", view="make")


async def library(request: Request) -> Response:
    """All files, by month."""
    zone = request.app.state.anime.settings.zone
    return render(request, "library.html", view="library", zone=str(zone))


async def library_file(request: Request) -> Response:
    """One file, with all that is known of it."""
    return render(request, "file.html", view="library", file_id=request.path_params["file_id"])


async def shots(request: Request) -> Response:
    """The shots of a project."""
    return render(request, "shots.html", view="shots")


async def review(request: Request) -> Response:
    """Takes in full size, to be approved or rejected."""
    reasons = request.app.state.anime.settings.rejection_reasons
    return render(request, "review.html", view="review", reasons=list(reasons))


async def login(request: Request) -> Response:
    """The form that asks for a token."""
    return render(request, "login.html", view="login", failed="wrong" in request.query_params)


# Routes of Starlette: FastAPI's would refuse the queries that the views keep their state in.
PAGES = [
    Route("/", now),
    Route("/make", make),
    Route("/library", library),
    Route("/library/{file_id:int}", library_file),
    Route("/shots", shots),
    Route("/review", review),
    Route("/login", login),
    Route(f"{FOLDER}/{{version}}/{{name}}", assets.send),
    Route(f"{FOLDER}/{{name}}", assets.send),
]
