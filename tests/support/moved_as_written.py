"""Moves a studio to another host by the commands that docs/operation.md says, word for word.

    python -m tests.support.moved_as_written

Both hosts are this machine, with other folders and ports. It takes minutes, so it is no test.
"""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from anime.settings import PROJECT_DIR
from tests.support.stack import RunningStack, running

PAGE = PROJECT_DIR / "docs" / "operation.md"
BACKUPS = "/mnt/backups/anime"  # as the page calls the folder


def blocks_of(heading: str) -> list[str]:
    """The blocks of commands below that heading of the page."""
    _, _, rest = PAGE.read_text().partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    return [
        block.replace("\n    ", "\n").strip()
        for block in re.findall(r"(?m)(?:^    .*\n)+", section)
    ]


async def told(stack: RunningStack, block: str) -> str:
    """What the commands print in a terminal of that host; all of them must end well."""
    print(block)  # noqa: T201  a program for people
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = await stack.run("bash", "-euc", block, variables={"PATH": path})
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nIt failed with {done.returncode}.")
    return done.stdout


async def files_of(stack: RunningStack) -> Sequence[bytes]:
    """The contents of all files of the studio, as it finds them by itself."""
    listed = (await told(stack, "anime files")).split()
    return sorted(Path(word).read_bytes() for word in listed if word.endswith(".png"))


async def main(folder: Path) -> None:
    """Fill a studio, move it, and compare."""
    backed_up, check = "old-backups", blocks_of("Moving to another host")
    leave, arrive, see = (block.replace(f"new-host:{BACKUPS}", BACKUPS) for block in check)
    there = str(folder / "backups")
    (folder / backed_up).mkdir()
    old = RunningStack(folder / "old", {"ANIME_BACKUP_DIR": str(folder / backed_up)})
    new = RunningStack(folder / "new", {"ANIME_BACKUP_DIR": there})
    for stack in (old, new):
        stack.folder.mkdir()
    async with running(old):
        for seed in (1, 2):
            await told(old, f"anime generate 'a rooftop at dusk' --seed {seed} --project Rain")
        before = await files_of(old)
        await old.stop()
        await told(old, leave.replace(BACKUPS, there))
        await told(new, arrive.replace(BACKUPS, there))
    shutil.rmtree(old.folder)  # nothing of it may be needed
    async with running(new):
        print(await told(new, see))  # noqa: T201
        if len(before) != 2 or await files_of(new) != before:
            sys.exit("Files differ.")
    print("Moved.")  # noqa: T201


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="anime-moved-") as name:
        asyncio.run(main(Path(name)))
