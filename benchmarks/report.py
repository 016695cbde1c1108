"""The results of a run: rows of figures, as a table and as JSON."""

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from anime.settings import PROJECT_DIR

FILE_COLUMNS = 120  # columns
VERDICTS = {True: "[green]yes", False: "[red]no", None: ""}
RESULTS = PROJECT_DIR / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Reach:
    """A goal: at least or at most so much, by the figure or by the ratio."""

    limit: float
    at_least: bool = False
    by_ratio: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{'×' if self.by_ratio else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours, beside the same figure without this project.

    `other` is that of the bare client, of the stock worker or of another checkout.
    """

    what: str
    ours: float
    other: float | None = None
    reach: Reach | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours divided by the other; None if there is no other."""
        return self.ours / self.other if self.other else None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None if there is none, or nothing to compare with."""
        if self.reach is None:
            return None
        value = self.ratio if self.reach.by_ratio else self.ours
        return None if value is None else self.reach.is_met(value)


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the rows of one benchmark as a table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_COLUMNS)
    console.print(table(name, rows))


def table(name: str, rows: Sequence[Row]) -> Table:
    """The rows of one benchmark, with their notes below."""
    notes = dict.fromkeys(row.note for row in rows if row.note)
    drawn = Table(title=name, title_justify="left", caption="; ".join(notes), box=SIMPLE_HEAD)
    drawn.add_column("what")
    for heading in ("reach", "ours", "bare / stock / against", "ratio"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("ok")
    for row in rows:
        figures = (_short(row.ours), _short(row.other), _short(row.ratio))
        drawn.add_row(row.what, str(row.reach or ""), *figures, VERDICTS[row.is_met])
    return drawn


def write(found: Mapping[str, Sequence[Row]], options: Mapping[str, object]) -> Path:
    """Write everything to a new file, and return its path."""
    now = datetime.now(UTC)
    content = {
        "at": now.isoformat(),
        "commit": _commit(),
        "machine": _machine(),
        "options": dict(options),
        "rows": {
            name: [asdict(row) | {"ratio": row.ratio, "is_met": row.is_met} for row in rows]
            for name, rows in found.items()
        },
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def _machine() -> dict[str, object]:
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1_minute": psutil.getloadavg()[0],
        "python": platform.python_version(),
        "prefect": version("prefect"),
    }


def _commit() -> str:
    """The commit of the working tree; empty if there is none."""
    done = subprocess.run(  # the git of PATH; it changes nothing
        ["git", "describe", "--always", "--dirty"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return done.stdout.strip()


def _short(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
