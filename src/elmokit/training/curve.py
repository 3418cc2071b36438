"""A run's log → a picture of its loss and held-out perplexity (extra `plots`)."""

from __future__ import annotations

import json
from pathlib import Path

from elmokit.errors import MissingExtra
from elmokit.files import atomic_path


def draw_curve(log: str | Path, picture: str | Path) -> None:
    """Draw a run's loss over the words read.

    Args:
        log: the run's `log.jsonl`.
        picture: the PNG file to write.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plots", "drawing the loss") from None
    reports = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    left.plot([r["n_words"] for r in reports], [r["loss"] for r in reports], color="tab:blue", label="training loss")
    left.set(xlabel="words read", ylabel="sampled loss, nats")
    measured = [r for r in reports if r["heldout"]]
    if measured:
        right = left.twinx()
        mean = [r["heldout"]["mean"] for r in measured]
        right.plot([r["n_words"] for r in measured], mean, color="tab:orange", marker="o", label="held-out perplexity")
        right.set(ylabel="perplexity", yscale="log")
        figure.legend(loc="outside upper center", ncols=2)
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
