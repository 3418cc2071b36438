"""Options of `elmokit classify train`, in groups: columns, head and report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elmokit.cli import options
from elmokit.cli.commands import option
from elmokit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Which columns hold texts and labels."""

    text: options.TextColumn = "text"
    label: str = option("label", "Column with the labels.", metavar="COLUMN")
    separator: str | None = option(
        None,
        'Separator of several labels per text, for instance ";" (logistic head).',
        "--labels-separator",
        metavar="CHARACTER",
    )


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What learns, and how."""

    head: str = option(
        "logistic",
        '"logistic", "bilstm" (reads the words in order) or "finetune" (trains the model further), with the extra'
        ' "torch".',
        metavar="HEAD",
    )
    join: str | None = option(None, '"tfidf": put counted character n-grams beside the vectors (logistic head).')
    strength: str = option("cv", 'Inverse of the penalty; "cv" chooses it by cross-validation.', "--C", metavar="C")
    balance: bool = option(True, "Give rare classes more weight.")
    threshold: str = option(
        "0.5",
        'Probability from which the positive one of two classes is predicted; "f1" chooses the best.',
        metavar="PROBABILITY",
    )
    positive: str | None = option(None, "Positive one of two classes; the last in sorted order if not given.")
    over: str = option("attention", 'How the words of "bilstm" become one vector: "attention" or "max".')
    epochs: int | None = option(None, 'Passes over the rows at most ("bilstm", "finetune").', min=1)

    def settings(self, out: str) -> dict[str, Any]:
        """The arguments of `TextClassifier`."""
        from elmokit.tasks.classify.heads import new_head

        head: Any = self.head
        if self.head == "bilstm":
            head = new_head(self.head, over=self.over)
        elif self.head == "finetune":
            head = new_head(self.head, snapshots=snapshots(out))
        threshold = number("--threshold", self.threshold, "f1")
        return {
            "head": head, "join": self.join, "threshold": threshold, "positive": self.positive, "epochs": self.epochs
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How to evaluate, and what to show."""

    test_size: float = option(0.2, "Share of the rows held out.")
    seed: options.Seed = 42
    folds: int = option(0, "Also cross-validate over all rows, with this many folds.")
    baseline: bool = option(True, "Show TF-IDF baselines beside it.")
    compare_cleaning: bool = option(False, "Also evaluate the classic cleaning recipe, in steps.", "--compare-cleaning")
    learning_curve: bool = option(False, "Also train on a tenth, a quarter and half of the rows.", "--learning-curve")
    mistakes: int = option(0, "Number of most confident mistakes to show, at most 10.", min=0)
    details: bool = option(False, "Also show calibration, and precision by recall.", "--details")
    json_file: str | None = option(None, "Also write the report to this file.", "--json", metavar="FILE")
    html: str | None = option(None, 'Also write the report as a page with figures (extra "plots").', metavar="FILE")


def number(name: str, text: str, word: str) -> Any:
    """Read an option that takes a number or one word; a ConfigError if it is neither."""
    if text == word:
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'{name} is {text!r}; expected a number or "{word}".') from None


def snapshots(out: str) -> Path:
    """Folder of the snapshots of --head finetune."""
    return Path(out) / "run"
