"""`anime serve`: the HTTP API."""


def serve() -> None:
    """Run the HTTP API on ANIME_API_HOST and ANIME_API_PORTS."""
    import asyncio
    import logging

    from uvicorn.loops.auto import auto_loop_factory

    from anime.api.serve import serve as serve_api
    from anime.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:  # uvloop's where it is there
        runner.run(serve_api(load_settings()))
