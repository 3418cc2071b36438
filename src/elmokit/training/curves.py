"""A picture of the loss of a training run (extra `plots`)."""

import json
from pathlib import Path

from elmokit.files import atomic_path
from elmokit.plots import new_figure


def draw_curve(log: str | Path, picture: str | Path) -> None:
    """Draw the loss and the held-out perplexity over the words read, from a run's `log.jsonl`, as a PNG file."""
    reports = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    figure, left = new_figure("", size=(8, 4.5))
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
