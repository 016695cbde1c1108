"""Small pictures of large ones."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from anime.assets.thumbnails import draw_thumbnail
from anime.core.paths import thumbnail_path
from anime.errors import UnusableFile
from tasks.files import PlacedFile


# Twice is harmless: the name follows from the content, and the same picture replaces itself.
@task(name="make thumbnails", cache_policy=NO_CACHE)
async def make_thumbnails(root: Path, files: Sequence[PlacedFile]) -> dict[str, str]:
    """Paths of the thumbnails, by SHA-256, of those files that can have one.

    A picture without a thumbnail is still a picture: what cannot be drawn is logged and left out.
    """
    made: dict[str, str] = {}
    for file in files:
        target = root / thumbnail_path(file.sha256)
        try:
            await asyncio.to_thread(draw_thumbnail, file.path, target)
        except (OSError, UnusableFile) as fault:
            get_run_logger().warning("No thumbnail of %s: %s", file.path.name, fault)
        else:
            made[file.sha256] = str(target)
    return made
