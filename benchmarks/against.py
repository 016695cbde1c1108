"""The same benchmarks of this checkout and of another one, in turn, in one run."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

from anime.errors import ConfigurationError
from anime.settings import PROJECT_DIR
from benchmarks.effort import Effort
from benchmarks.report import Row
from benchmarks.studio import Studio, open_studio


def checked_checkout(path: Path) -> Path:
    """The folder, if it is an installed checkout.

    Raises:
        ConfigurationError: it is not.
    """
    folder = path.resolve()
    if not (folder / ".venv/bin/python").exists():
        raise ConfigurationError(
            f"{folder} is no installed checkout of this project.", "Run `make install` there."
        )
    return folder


async def measure_against(
    checkout: Path, measure: Callable[[Studio, Effort], Awaitable[list[Row]]], effort: Effort
) -> list[Row]:
    """Each figure of ours beside that of the checkout: medians of alternating rounds."""
    ours: list[list[Row]] = []
    theirs: list[list[Row]] = []
    for _ in range(effort.rounds):
        for found, place in ((theirs, checkout), (ours, PROJECT_DIR)):
            async with open_studio(place) as studio:
                found.append(await measure(studio, effort))
    return compared(ours, theirs)


def compared(ours: Sequence[Sequence[Row]], theirs: Sequence[Sequence[Row]]) -> list[Row]:
    """The figures that both have, each as the median of its rounds.

    >>> [row] = compared([[Row("a", 1)], [Row("a", 3)]], [[Row("a", 4)], [Row("a", 4)]])
    >>> row.ours, row.other, row.ratio
    (2.0, 4.0, 0.5)
    """
    ours_by_name, theirs_by_name = _by_name(ours), _by_name(theirs)
    return [
        Row(what, median(values), median(theirs_by_name[what]))
        for what, values in ours_by_name.items()
        if what in theirs_by_name
    ]


def _by_name(rounds: Sequence[Sequence[Row]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in (row for rows in rounds for row in rows):
        found.setdefault(row.what, []).append(row.ours)
    return found
