"""The parts of the stack as they start and stop, on stderr."""

import sys
from typing import TYPE_CHECKING

from anime.cli.terminal import print_note
from anime.stack.parts import PartState, PartStatus

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_COLOURS = {
    PartState.READY: "green",
    PartState.DIED: "yellow",
    PartState.LOST: "red",
    PartState.STOPPED: "dim",
}


class PartsDisplay:
    """A line for each part, updated in place; in a log, a line for each change."""

    def __init__(self) -> None:
        self._parts: dict[str, PartStatus] = {}
        self._live: Live | None = None

    def show(self, status: PartStatus) -> None:
        """Show a part's new state."""
        if not sys.stderr.isatty():
            print_note(f"  {status.name:<12} {status}")
            return
        self._parts[status.name] = status
        self._opened().update(self._table())

    def close(self) -> None:
        """Leave the lines as they are; later output goes below."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._parts.clear()

    def _opened(self) -> "Live":
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=Console(stderr=True), refresh_per_second=12)
            self._live.start()
        return self._live

    def _table(self) -> "RenderableType":
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for name, status in self._parts.items():
            is_busy = status.state in {PartState.STARTING, PartState.STOPPING}
            mark = Spinner("dots") if is_busy else Text("●", _COLOURS[status.state])
            table.add_row("", mark, f"{name:<12}", Text(str(status)))
        return table
