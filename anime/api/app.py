"""The HTTP application: old clients' addresses, and what the pages in Prefect show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from anime.addresses import database_address, redis_address
from anime.api import routes_events, routes_files, routes_generation, routes_health, routes_sheets
from anime.api.access import Access
from anime.api.job_lookup import JobLookup
from anime.api.problems import add_problem_handlers
from anime.api.state import Studio
from anime.db.session import Database
from anime.gateway.gateway import open_gateway
from anime.orders.desk import open_desk, staffed
from anime.progress import ProgressPublisher
from anime.settings import Settings
from anime.webhooks.deliverer import delivering

PREFIX = "/api/anime"


def create_app(settings: Settings) -> FastAPI:
    """The application, whose connections open when it starts and close when it stops.

    Raises:
        ConfigurationError: no database is known, or others could reach the API without a token.
    """
    access = Access.from_settings(settings)
    database_url, redis_url = database_address(settings), redis_address(settings)

    @asynccontextmanager
    async def connections(app: FastAPI) -> AsyncIterator[None]:
        async with (
            Database(database_url) as database,
            ProgressPublisher(redis_url) as publisher,
            open_desk(settings, database, publisher) as desk,
            staffed(desk, takes_old_queue=settings.takes_old_queue),
            delivering(settings, database),
            open_gateway(redis_url, database, desk.cancel) as gateway,
        ):
            jobs = JobLookup(database)
            app.state.studio = Studio(settings, database, jobs, publisher, access, desk)
            app.state.gateway = gateway
            yield

    app = FastAPI(
        title="Anime production", version=version("anime-production"), lifespan=connections
    )
    # A page on the web could otherwise have its own name point here and read the answers.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_own_names(access))
    add_problem_handlers(app)
    app.include_router(routes_health.router)
    app.include_router(routes_health.router, prefix=PREFIX, include_in_schema=False)
    app.include_router(routes_generation.router, prefix=PREFIX)
    app.include_router(routes_files.router, prefix=PREFIX)
    app.include_router(routes_sheets.router, prefix=PREFIX)
    app.include_router(routes_events.router, prefix=PREFIX)
    app.router.routes += routes_events.SOCKETS
    return app


def _own_names(access: Access) -> list[str]:
    """The names under which this machine, or the proxy before it, is asked for."""
    return ["*"] if access.needs_token else [*access.own_names, "[::1]"]
