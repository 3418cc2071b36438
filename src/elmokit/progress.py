"""A progress bar for long work, drawn by tqdm on standard error or in a notebook.

`show_progress=None`, the default everywhere, draws the bar in terminals and notebooks once the work has taken two
seconds, and nothing where standard error is a file or a pipe. tqdm is imported when a bar may be drawn.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DELAY = 2.0
"""Seconds of work before a bar appears by itself."""

Advance = Callable[[int], object]
"""Takes the number of items done since the last call."""


@contextmanager
def progress_bar(what: str, *, total: int | None, show: bool | None = None) -> Iterator[Advance]:
    """A bar for the work in the block.

    Args:
        what: a word or two for people, such as "encoding".
        total: number of items; None if it is not known.
        show: True draws the bar at once, False never, None after two seconds in a terminal or notebook.

    Yields:
        a function that takes how many items are done since its last call.

    Example:
        >>> with progress_bar("counting", total=2, show=False) as advance:
        ...     advance(2)
    """
    if show is False or (show is None and not (sys.stderr.isatty() or _in_notebook())):
        yield _ignore
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where ipywidgets is missing, and draws a text bar
        from tqdm.auto import tqdm
    with tqdm(desc=what, total=total, delay=0.0 if show else DELAY, file=sys.stderr, dynamic_ncols=True) as bar:
        yield bar.update


def _ignore(_n: int) -> None:
    """Draw nothing."""


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
