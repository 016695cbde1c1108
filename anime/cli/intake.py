"""`anime intake`: submits the jobs that other programs put into Redis."""


def intake() -> None:
    """Submit jobs from the Redis list, in place of the API (ANIME_TAKES_OLD_QUEUE)."""
    import asyncio

    asyncio.run(_consume())


async def _consume() -> None:
    from anime.errors import ConfigurationError
    from anime.jobs.background import background_work
    from anime.jobs.service import connect_job_service
    from anime.net.log_lines import write_logs
    from anime.net.tracing import start_tracing
    from anime.settings import load_settings
    from anime.settings.addresses import not_known, redis_address

    settings = load_settings()
    write_logs(settings)
    start_tracing(settings, "anime-intake")
    if redis_address(settings) is None:
        raise ConfigurationError(*not_known(settings, "Redis", "ANIME_REDIS_URL"))
    async with (
        connect_job_service(settings) as jobs,
        background_work(jobs, takes_redis_queue=True),
    ):
        await _wait_for_signal()


async def _wait_for_signal() -> None:
    import asyncio
    import signal

    stop_requested = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    await stop_requested.wait()
