"""Options of `elmokit classify train`, in groups: columns, head and report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from elmokit.cli import options


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Which columns hold texts and labels."""

    text: options.TextColumn = "text"
    label: Annotated[str, typer.Option("--label", help="Column with the labels.", metavar="COLUMN")] = "label"
    separator: Annotated[
        str | None,
        typer.Option(
            "--labels-separator",
            help='Separator of several labels per text, for instance ";" (logistic head).',
            metavar="CHARACTER",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What learns, and how."""

    head: Annotated[
        str,
        typer.Option(
            "--head",
            help='"logistic", "bilstm" (reads the words in order) or "finetune" (trains the model further), with the'
            ' extra "torch".',
            metavar="HEAD",
        ),
    ] = "logistic"
    join: Annotated[
        str | None,
        typer.Option("--join", help='"tfidf": put counted character n-grams beside the vectors (logistic head).'),
    ] = None
    strength: Annotated[
        str, typer.Option("--C", help='Inverse of the penalty, or "cv" to choose it by cross-validation.', metavar="C")
    ] = "cv"
    balance: Annotated[bool, typer.Option("--balance/--no-balance", help="Give rare classes more weight.")] = True
    threshold: Annotated[
        str,
        typer.Option(
            "--threshold",
            help='Probability from which the positive one of two classes is predicted; "f1" chooses the best.',
            metavar="PROBABILITY",
        ),
    ] = "0.5"
    positive: Annotated[
        str | None,
        typer.Option("--positive", help="Positive one of two classes; the last in sorted order if not given."),
    ] = None
    over: Annotated[
        str, typer.Option("--over", help='How the words of "bilstm" become one vector: "attention" or "max".')
    ] = "attention"
    epochs: Annotated[
        int | None, typer.Option("--epochs", help='Passes over the rows at most ("bilstm", "finetune").', min=1)
    ] = None

    def settings(self, out: str) -> dict[str, Any]:
        """The arguments of `TextClassifier`."""
        from elmokit.tasks.classify.heads import new_head

        head: Any = self.head
        if self.head == "bilstm":
            head = new_head(self.head, over=self.over)
        elif self.head == "finetune":
            head = new_head(self.head, snapshots=snapshots(out))
        return {
            "head": head,
            "join": self.join,
            "threshold": number("--threshold", self.threshold, "f1"),
            "positive": self.positive,
            "epochs": self.epochs,
        }


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How to evaluate, and what to show."""

    test_size: Annotated[float, typer.Option("--test-size", help="Share of the rows held out.")] = 0.2
    seed: options.Seed = 42
    folds: Annotated[int, typer.Option("--folds", help="Also cross-validate over all rows, with this many folds.")] = 0
    baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help="Show TF-IDF baselines beside it.")] = True
    compare_cleaning: Annotated[
        bool, typer.Option("--compare-cleaning", help="Also evaluate the classic cleaning recipe, in steps.")
    ] = False
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also train on a tenth, a quarter and half of the rows.")
    ] = False
    mistakes: Annotated[
        int, typer.Option("--mistakes", help="Number of most confident mistakes to show, at most 10.", min=0)
    ] = 0
    details: Annotated[bool, typer.Option("--details", help="Also show calibration, and precision by recall.")] = False
    json_file: Annotated[
        str | None, typer.Option("--json", help="Also write the report to this file.", metavar="FILE")
    ] = None
    html: Annotated[
        str | None,
        typer.Option("--html", help='Also write the report as a page with figures (extra "plots").', metavar="FILE"),
    ] = None


COLUMNS = ColumnOptions()
HEAD = HeadOptions()
REPORT = ReportOptions()
VECTORS = options.VectorOptions(pooling="mean+max")
"""The defaults of the groups."""


def number(option: str, text: str, word: str) -> Any:
    """Read an option that takes a number or one word; a ConfigError if it is neither."""
    from elmokit.errors import ConfigError

    if text == word:
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'{option} is {text!r}; expected a number or "{word}".') from None


def snapshots(out: str) -> Path:
    """Folder of the snapshots of --head finetune."""
    return Path(out) / "run"
