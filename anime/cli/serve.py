"""`anime serve`: the HTTP API."""


def serve() -> None:
    """Run the HTTP API on ANIME_API_HOST and ANIME_API_PORTS."""
    import asyncio

    from uvicorn.loops.auto import auto_loop_factory

    from anime.api.serve import serve as serve_api
    from anime.net.log_lines import write_logs
    from anime.net.tracing import start_tracing
    from anime.settings import load_settings

    settings = load_settings()
    write_logs(settings)
    start_tracing(settings, "anime-api")
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:  # uvloop's where it is there
        runner.run(serve_api(settings))
