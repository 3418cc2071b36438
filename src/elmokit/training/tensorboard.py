"""Reports as TensorBoard event files (extra `tensorboard`), through PyTorch's own writer."""

from __future__ import annotations

from pathlib import Path

from elmokit.errors import MissingExtra
from elmokit.training.options import Report


class EventFiles:
    """Writes reports into a folder that TensorBoard reads.

    Args:
        folder: where the event files go; made if it is not there.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtra("tensorboard", "tensorboard", "event files") from None
        self._writer = SummaryWriter(str(folder))

    def add(self, report: Report) -> None:
        """Add a report's numbers at its number of words.

        Args:
            report: what the run said.
        """
        values = {
            "loss": report.loss,
            "learning_rate": report.learning_rate,
            "words_per_second": report.words_per_second,
            "gradient_norm": report.gradient_norm,
        }
        values |= {f"perplexity/{name}": value for name, value in (report.heldout or {}).items()}
        for name, value in values.items():
            self._writer.add_scalar(name, value, report.n_words)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
