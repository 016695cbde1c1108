"""`anime intake`: the jobs that other programs put into Redis."""


def intake() -> None:
    """Take jobs from the Redis queue; the API does it otherwise (ANIME_TAKES_OLD_QUEUE)."""
    import asyncio
    import logging

    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_take())


async def _take() -> None:
    from anime.db.session import Database
    from anime.errors import ConfigurationError
    from anime.jobs.service import background_work, open_job_service
    from anime.progress.publisher import ProgressPublisher
    from anime.settings import load_settings
    from anime.settings.addresses import database_address, redis_address

    settings = load_settings()
    redis_url = redis_address(settings)
    if redis_url is None:
        raise ConfigurationError(
            "No Redis is known: ANIME_REDIS_URL is not set and no stack runs.",
            "Start everything with `anime up`, or set ANIME_REDIS_URL.",
        )
    async with (
        Database(database_address(settings)) as database,
        ProgressPublisher(redis_url) as publisher,
        open_job_service(settings, database, publisher) as job_service,
        background_work(job_service, takes_old_queue=True),
    ):
        await _until_told_to_stop()


async def _until_told_to_stop() -> None:
    import asyncio
    import signal

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
