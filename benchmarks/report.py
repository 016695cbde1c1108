"""What a run has found: rows of figures, as a table and as JSON."""

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

WIDTH_OF_A_FILE = 120  # columns
VERDICTS = {True: "[green]yes", False: "[red]no", None: ""}
RESULTS = PROJECT_DIR / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Reach:
    """What is to be reached: at least, or at most, so much; by the figure or by the ratio."""

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
    """One figure of ours, beside the same of who does without us.

    `other` is the bare client's or the stock worker's, by the name of the row.
    """

    what: str
    ours: float
    other: float | None = None
    reach: Reach | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by the other; None without another."""
        return self.ours / self.other if self.other else None

    @property
    def is_met(self) -> bool | None:
        """Whether it reaches what it is to reach; None if that is nothing, or not comparable."""
        if self.reach is None:
            return None
        value = self.ratio if self.reach.by_ratio else self.ours
        return None if value is None else self.reach.is_met(value)


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the rows of one benchmark as a table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_OF_A_FILE)
    console.print(table(name, rows))


def table(name: str, rows: Sequence[Row]) -> Table:
    """The rows of one benchmark, their notes below them."""
    notes = dict.fromkeys(row.note for row in rows if row.note)
    drawn = Table(title=name, title_justify="left", caption="; ".join(notes), box=SIMPLE_HEAD)
    drawn.add_column("what")
    for heading in ("reach", "ours", "bare / stock", "ratio"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("ok")
    for row in rows:
        figures = (_short(row.ours), _short(row.other), _short(row.ratio))
        drawn.add_row(row.what, str(row.reach or ""), *figures, VERDICTS[row.is_met])
    return drawn


def write(found: Mapping[str, Sequence[Row]], options: Mapping[str, object]) -> Path:
    """The file that all of it was written to."""
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
    """The commit of the working tree; empty where there is none."""
    done = subprocess.run(  # of PATH, and only asked
        ["git", "describe", "--always", "--dirty"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return done.stdout.strip()


def _short(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
