"""A progress bar for long work, drawn by tqdm on standard error or in a notebook.

`show_progress=None` draws it in terminals and notebooks once the work has taken two seconds.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DELAY = 2.0  # seconds of work before a bar appears by itself

Advance = Callable[[int], object]  # takes the number of items done since the last call

ShowProgress = bool | Advance | None  # what `show_progress` takes: whether a bar is drawn, or what is called instead


@contextmanager
def progress_bar(what: str, *, total: int | None, show: ShowProgress = None, unit: str = "it") -> Iterator[Advance]:
    """A bar for the work in the block, such as "encoding": at once, never, or (None) after `DELAY` where people look.

    A function is called in place of a bar. The unit "B" counts bytes, shown in k, M and G.
    """
    if callable(show):
        yield show
        return
    if show is False or (show is None and not (sys.stderr.isatty() or "ipykernel" in sys.modules)):
        yield lambda n: None  # noqa: ARG005
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where ipywidgets is missing, and draws a text bar
        from tqdm.auto import tqdm
    options = {"delay": 0.0 if show else DELAY, "unit": unit, "unit_scale": unit == "B"}
    with tqdm(desc=what, total=total, file=sys.stderr, dynamic_ncols=True, **options) as bar:
        yield bar.update
