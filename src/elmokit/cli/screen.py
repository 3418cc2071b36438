"""What people see while a command runs: results on standard output, progress and notes on standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import typer

from elmokit.data.streams import STDIN

T = TypeVar("T")
Advance = Callable[[str, int, "int | None"], None]
"""Takes the name of the stage, the number of steps done, and the number of all steps (None if it is unknown)."""

_DELAY = 0.5
_NOTES_SHOWN = 5
_WIDTH = 80  # columns of a table that is not printed to a terminal


class Screen:
    """Where commands print; `quiet` leaves out notes, summaries and progress bars, never results and errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.begin(quiet=quiet)

    def begin(self, *, quiet: bool) -> None:
        """Forget the notes of a command before."""
        self.quiet, self._n_notes = quiet, 0

    @property
    def show_progress(self) -> bool | None:
        """The value for `show_progress` parameters: False if quiet, else None (automatic)."""
        return False if self.quiet else None

    def say(self, text: str) -> None:
        """Print a result on standard output."""
        typer.echo(text)

    def done(self, text: str, out: str = "") -> None:
        """Print what was written where, on standard output; not if quiet, or if `out` is standard output itself."""
        if not self.quiet and out != STDIN:
            typer.echo(text)

    def note(self, text: str) -> None:
        """Print a note on standard error; of many, only the first five."""
        self._n_notes += 1
        if self._n_notes <= _NOTES_SHOWN:
            self.report(text)

    def report(self, text: str) -> None:
        """Print how far long work has come, on standard error; not if quiet."""
        if not self.quiet:
            typer.echo(text, err=True)

    def end_notes(self, what: str = "rows left out") -> None:
        """Print the number of notes if not all were shown."""
        if self._n_notes > _NOTES_SHOWN:
            self.report(f"{self._n_notes} {what} in all")
        self._n_notes = 0

    def table(
        self, names: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", caption: str = "", gap: bool = False
    ) -> None:
        """Print a table that fits the terminal, or 80 columns; `gap` puts an empty line between its rows.

        Columns of numbers are aligned right, all but the first. Nothing in the cells is taken as markup.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table

        rows = list(rows)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, show_lines=gap, pad_edge=False, collapse_padding=True)
        for number, name in enumerate(names):
            numeric = number > 0 and all(row[number][:1] in "-0123456789" for row in rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        width = None if sys.stdout.isatty() else _WIDTH
        console = Console(width=width, highlight=False, markup=False, emoji=False)
        with console.capture() as printed:
            for part in filter(None, (title, table, caption)):
                console.print(part)
        typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()) + "\n")

    def tracked(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """The items, with a progress bar as they are consumed."""
        with self.progress() as advance:
            for n_done, item in enumerate(items, 1):
                yield item
                advance(what, n_done, total)

    @contextmanager
    def progress(self) -> Iterator[Advance]:
        """Progress bars on standard error: only on a terminal, and only for work that lasts half a second."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _stage, _done, _total: None
            return
        from tqdm import tqdm

        with ExitStack() as stack:
            bars: dict[str, Any] = {}

            def advance(stage: str, done: int, total: int | None) -> None:
                if stage not in bars:
                    bars[stage] = stack.enter_context(tqdm(desc=stage, delay=_DELAY, leave=False, position=len(bars)))
                bars[stage].total = total
                bars[stage].update(done - bars[stage].n)

            yield advance


screen = Screen()
"""The screen of the running command."""
