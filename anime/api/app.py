"""The HTTP application: its connections, its middleware and its routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from anime.api import (
    routes_characters,
    routes_events,
    routes_file_search,
    routes_files,
    routes_generation,
    routes_health,
    routes_inputs,
    routes_jobs,
    routes_projects,
    routes_reproduction,
    routes_reuse,
    routes_servers,
    routes_session,
    routes_sheets,
    routes_shots,
    routes_workflows,
    routes_zip,
)
from anime.api.access import Access
from anime.api.app_state import AppState
from anime.api.docs_page import add_docs_page
from anime.api.error_documentation import ANY_ROUTE, extend_openapi, refuse_unknown_parameters
from anime.api.examples import examples
from anime.api.metrics import Metrics
from anime.api.middleware import BodyLimit, HostCheck, TokenCheck
from anime.api.page.routes import PAGES
from anime.api.problems import add_problem_handlers
from anime.api.rate_limit import RateLimit
from anime.api.thumbnails import Thumbnails
from anime.assets.folder_reader import READ_SECONDS
from anime.assets.store import AssetStore
from anime.db.session import Database
from anime.jobs.activity import ActivityReader
from anime.jobs.background import background_work
from anime.jobs.service import open_job_service
from anime.progress.gateway import open_gateway
from anime.progress.publisher import ProgressPublisher
from anime.settings import Settings, resolve_reference
from anime.settings.addresses import database_address, redis_address
from anime.webhooks.deliverer import delivering

PREFIX = "/api/anime"
ROUTERS = (
    routes_generation.router,
    routes_jobs.router,
    routes_reuse.router,
    routes_inputs.router,
    routes_events.router,
    routes_projects.router,
    routes_characters.router,
    routes_file_search.router,
    routes_zip.router,
    routes_files.router,
    routes_sheets.router,
    routes_shots.router,
    routes_reproduction.router,
    routes_servers.router,
    routes_workflows.router,
)
_LONG_BODIES = routes_generation.LONG_BODIES | routes_shots.LONG_BODIES
_UPLOADS = routes_characters.UPLOADS | routes_inputs.UPLOADS | routes_reuse.UPLOADS


# FastAPI makes a span of each request once `anime.net.tracing` has begun, in the trace of a client
# that sends one.
TELEMETRY: TelemetryConfig = {
    "auto_configure": False,
    "exclude": lambda scope: str(scope["path"]).endswith(("/health", "/ready", "/metrics")),
    "logs": False,
    "metrics": False,
    "operation_spans": False,
}


def create_app(settings: Settings) -> FastAPI:
    """The application, whose connections open when it starts and close when it stops.

    Raises:
        ConfigurationError: no database is known, or others could reach the API without a token.
    """
    access = Access.from_settings(settings)
    database_url, redis_url = database_address(settings), redis_address(settings)

    @asynccontextmanager
    async def connections(app: FastAPI) -> AsyncIterator[None]:
        if redis_url is not None:  # refused at the start; later, it would count as an outage
            await asyncio.to_thread(resolve_reference, redis_url)
        async with (
            Database(database_url) as database,
            ProgressPublisher(redis_url) as publisher,
            open_job_service(settings, database, publisher) as jobs,
            background_work(jobs, takes_redis_queue=settings.takes_old_queue),
            delivering(settings, database),
            open_gateway(redis_url, database, jobs.cancel) as gateway,
        ):
            library = jobs.admission.library
            app.state.anime = AppState(
                settings=settings,
                database=database,
                jobs=jobs,
                publisher=publisher,
                access=access,
                library=library,
                store=AssetStore.of(settings, seconds=READ_SECONDS),
                thumbnails=Thumbnails(library, database),
                metrics=Metrics(_watched_folders(settings)),
                activity=ActivityReader(settings, database, gateway.snapshots),
                server_classes=routes_workflows.classes_of_first_server(settings),
            )
            app.state.gateway = gateway
            yield

    app = FastAPI(
        title="Anime production",
        version=version("anime-production"),
        summary="A prompt becomes a picture in the library.",
        lifespan=connections,
        docs_url=None,  # ours needs no network
        redoc_url=None,
        telemetry=TELEMETRY,
    )
    _add_middleware(app, settings, access)
    add_problem_handlers(app)
    add_docs_page(app)
    app.router.routes += _routes().routes
    app.router.routes += routes_events.SOCKETS
    app.router.routes += PAGES
    extend_openapi(app, needs_token=access.needs_token, examples=examples())
    return app


@cache
def _routes() -> APIRouter:
    """What has a fixed address; how each is answered is worked out once a process."""
    routes = APIRouter(dependencies=[Depends(refuse_unknown_parameters)], responses=ANY_ROUTE)
    routes.include_router(routes_health.router)
    routes.include_router(routes_health.router, prefix=PREFIX, include_in_schema=False)
    routes.include_router(routes_session.router)
    for router in ROUTERS:
        routes.include_router(router, prefix=PREFIX)
    return routes


def _watched_folders(settings: Settings) -> dict[str, Path]:
    """The folders whose disks `/metrics` tells of, by what they are for."""
    folders = {"library": settings.library, "comfyui_output": settings.comfyui_output_dir}
    return {purpose: folder for purpose, folder in folders.items() if folder is not None}


def _add_middleware(app: FastAPI, settings: Settings, access: Access) -> None:
    """Add what each request passes before it reaches a route; the last one added comes first."""
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.api_max_body_bytes,
        uploads=_UPLOADS,
        long_bodies=_LONG_BODIES,
    )
    per_minute = settings.api_requests_per_minute
    limit = RateLimit(per_minute) if per_minute is not None else None
    app.add_middleware(TokenCheck, access=access, limit=limit)
    if settings.api_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.api_cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["ETag", "Location", "Retry-After"],
        )
    app.add_middleware(HostCheck, access=access)
