"""A training run drawn: a picture of the loss (extra `plots`), TensorBoard event files (extra `tensorboard`)."""

import json
from pathlib import Path

from elmokit.errors import needing
from elmokit.files import atomic_path
from elmokit.plots import new_figure
from elmokit.training.options import TrainingReport


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


class EventFiles:
    """Writes reports into a folder of TensorBoard event files."""

    def __init__(self, folder: str | Path) -> None:
        with needing("tensorboard", "tensorboard", "event files"):
            from torch.utils.tensorboard import SummaryWriter
        self._writer = SummaryWriter(str(folder))

    def add(self, report: TrainingReport) -> None:
        """Add the numbers of a report at its number of words."""
        names = ("loss", "learning_rate", "words_per_second", "gradient_norm", "teacher_similarity")
        values = {name: getattr(report, name) for name in names if getattr(report, name) is not None}
        values |= {f"perplexity/{name}": value for name, value in (report.heldout or {}).items()}
        for name, value in values.items():
            self._writer.add_scalar(name, value, report.n_words)

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()
