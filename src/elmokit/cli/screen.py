"""What people see while a command runs: results on standard output, progress and notes on standard error.

Progress shows only on a terminal and only for work that lasts; `rich` is imported when the first bar is
drawn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

Advance = Callable[[str, int, "int | None"], None]
"""Takes what is being done, steps done, and steps in all (None where nobody knows)."""

_PATIENCE = 0.5
_NOTES_SHOWN = 5


class Screen:
    """Where a command prints.

    Args:
        quiet: whether only errors are printed.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._n_notes = 0

    def say(self, text: str) -> None:
        """Print a result on standard output."""
        if not self.quiet:
            typer.echo(text)

    def note(self, text: str) -> None:
        """Print a remark on standard error; of many, the first few."""
        self._n_notes += 1
        if not self.quiet and self._n_notes <= _NOTES_SHOWN:
            typer.echo(text, err=True)

    def end_notes(self, what: str) -> None:
        """Say how many remarks there were, if not all were shown.

        Args:
            what: that they were about, as in "rows left out".
        """
        if not self.quiet and self._n_notes > _NOTES_SHOWN:
            typer.echo(f"{self._n_notes} {what} in all", err=True)
        self._n_notes = 0

    def table(self, table: Any) -> None:
        """Print a rich table on standard output; nothing in its cells is taken as markup."""
        if not self.quiet:
            from rich.console import Console

            width = None if sys.stdout.isatty() else 120
            Console(width=width, highlight=False, markup=False, emoji=False).print(table)

    @contextmanager
    def progress(self) -> Iterator[Advance]:
        """Bars that appear on a terminal once the work has lasted half a second, and leave when it ends.

        Yields:
            a function that tells how far a stage is; each new stage gets a bar.
        """
        if self.quiet or not sys.stderr.isatty():
            yield _nowhere
            return
        bars = _Bars()
        try:
            yield bars.advance
        finally:
            bars.stop()


def _nowhere(_stage: str, _done: int, _total: int | None) -> None:
    """Tell nobody."""


class _Bars:
    def __init__(self) -> None:
        self._start = time.monotonic()
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def advance(self, stage: str, done: int, total: int | None) -> None:
        if self._bars is None:
            if time.monotonic() - self._start < _PATIENCE:
                return
            self._bars = self._draw()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def _draw(self) -> Any:
        from rich import progress
        from rich.console import Console

        bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bars.start()
        return bars

    def stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
