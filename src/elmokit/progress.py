"""A progress bar for long work: on standard error, on a terminal, and only when the work lasts.

Libraries that print are a nuisance in services and notebooks, long silence is one on a terminal. So nothing is shown
in the first two seconds, nothing when standard error is piped, and `show_progress` decides where someone does.
`rich` is imported when the first bar is drawn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 2.0
"""Seconds of work before a bar appears by itself."""

Advance = Callable[[int], None]
"""Takes the number of pieces that are done since the last call."""


@contextmanager
def progress_bar(what: str, *, total: int | None, show: bool | None = None) -> Iterator[Advance]:
    """A bar for the work in the block.

    Args:
        what: a word or two for people, such as "encoding".
        total: pieces in all; None where nobody knows.
        show: True draws the bar at once, False never, None after two seconds and on a terminal.

    Yields:
        a function that takes how many pieces are done since its last call.

    Example:
        >>> with progress_bar("counting", total=2, show=False) as advance:
        ...     advance(2)
    """
    if show is False or (show is None and not sys.stderr.isatty()):
        yield _nowhere
        return
    bar = _Bar(what, total, patience=0.0 if show else PATIENCE)
    try:
        yield bar.advance
    finally:
        bar.close()


def _nowhere(_n: int) -> None:
    """Tell nobody."""


class _Bar:
    def __init__(self, what: str, total: int | None, *, patience: float) -> None:
        self.what, self.total, self.done = what, total, 0
        self.start = time.monotonic() + patience
        self.bar: Any = None

    def advance(self, n: int) -> None:
        self.done += n
        if self.bar is None and time.monotonic() >= self.start:
            self.bar = _drawn(self.what, self.total)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _drawn(what: str, total: int | None) -> Any:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=Console(stderr=True))
    bar.add_task(what, total=total)
    bar.start()
    return bar
