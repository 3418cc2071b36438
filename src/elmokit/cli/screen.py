"""What people see while a command runs: results on standard output, progress and notes on standard error."""

import sys
from collections.abc import Iterable, Sequence

import typer

from elmokit.data.streams import STDIN

_NOTES_SHOWN = 5
_WIDTH = 80  # columns of a table that is not printed to a terminal


class Screen:
    """Where commands print; `quiet` leaves out notes, summaries and progress bars, never results and errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet, self.n_notes = quiet, 0

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
        self.n_notes += 1
        if self.n_notes <= _NOTES_SHOWN:
            self.report(text)

    def report(self, text: str) -> None:
        """Print how far long work has come, on standard error; not if quiet."""
        if not self.quiet:
            typer.echo(text, err=True)

    def end_notes(self) -> None:
        """Print the number of notes, all of them on rows left out, if not all were shown."""
        if self.n_notes > _NOTES_SHOWN:
            self.report(f"{self.n_notes} rows left out in all")
        self.n_notes = 0

    def table(
        self, names: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", caption: str = "", gap: bool = False
    ) -> None:
        """Print a table that fits the terminal, or 80 columns; `gap` puts an empty line between its rows."""
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


screen = Screen()
"""The screen of the running command."""
