"""A classifier's report as tables on the terminal: ways beside each other, then ours in detail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from elmokit.cli.screen import Screen
    from elmokit.tasks.classify.report import Entry, LabelReport, Report
    from elmokit.tasks.classify.scores import ClassScore, PrecisionRecall

_WIDEST_CONFUSION = 8
"""With more classes than this the confusion matrix is in the JSON report only."""

_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)


def show_report(screen: Screen, report: Report) -> None:
    """Print the figures of all ways, and ours by class; a learning curve if there is one."""
    f1 = "macro F1" if report.positive is None else f"F1 of {report.positive}"
    n_folds = report.entries[0].folds.n_folds if report.entries[0].folds else 0
    names = [f1, "weighted F1", "accuracy", *([f"{f1}, {n_folds} folds"] if n_folds else []), "C", "seconds"]
    title = f"{report.n_test:,} rows held out, {report.n_train:,} learned from, seed {report.seed}"
    screen.table(_table(title, ["features", *names], (_cells(report, entry) for entry in report.entries)))

    ours = report.entries[0].held_out
    few = report.classes if len(report.classes) <= _WIDEST_CONFUSION else ()
    said = [f"said {str(label)[:12]}" for label in few]
    rows = (
        [*_class_cells(scores), *(str(n) for n in confused[: len(few)])]
        for scores, confused in zip(ours.classes, ours.confusion, strict=True)
    )
    title = _vectors(report)
    detail = _table(title, ["class", "precision", "recall", "F1", "rows", *said], rows)
    detail.caption = f"probabilities are off by {report.calibration_error:.1%}"
    screen.table(detail)
    if report.learning_curve:
        points = ([f"{point.n_rows:,}", f"{point.f1:.3f}"] for point in report.learning_curve)
        screen.table(_table("learning curve, held out", ["rows learned from", f1], points))


def show_details(screen: Screen, report: Report) -> None:
    """Print how often predictions are right by how sure they are, and precision by recall."""
    bins = ([f"{b.confidence:.0%}", f"{b.right:.0%}", f"{b.n:,}"] for b in report.calibration)
    screen.table(_table("calibration, held out", ["how sure", "right", "rows"], bins))
    show_precision_recall(screen, report.precision_recall)


def show_precision_recall(screen: Screen, curves: Sequence[PrecisionRecall]) -> None:
    """Print the precision at which so many of a class are found."""
    rows = (
        [curve.label[:40], *(f"{curve.precision_at(r):.3f}" for r in _RECALLS), f"{curve.average_precision:.3f}"]
        for curve in curves
    )
    names = ["class", *(f"at recall {r:g}" for r in _RECALLS), "average"]
    screen.table(_table("precision, held out", names, rows))


def show_mistakes(screen: Screen, report: Report, limit: int) -> None:
    """Print the most confident mistakes."""
    rows = (
        [str(m.row + 1), str(m.label)[:40], str(m.predicted)[:40], f"{m.probability:.0%}", " ".join(m.text.split())]
        for m in report.mistakes[:limit]
    )
    table = _table("most confident mistakes, held out", ["row", "class", "taken for", "how sure", "text"], rows)
    table.columns[-1].justify = "left"
    screen.table(table)


def show_label_report(screen: Screen, report: LabelReport) -> None:
    """Print the figures of all ways to give several labels, and ours by label."""
    ways = (
        [e.name, *(f"{x:.3f}" for x in (s.micro_f1, s.macro_f1, s.weighted_f1, s.accuracy)), f"{e.seconds:.1f}"]
        for e in report.entries
        for s in [e.held_out]
    )
    title = f"{report.n_test:,} rows held out, {report.n_train:,} learned from, seed {report.seed}"
    names = ["features", "micro F1", "macro F1", "weighted F1", "all labels right", "seconds"]
    screen.table(_table(title, names, ways))
    title = _vectors(report)
    rows = (_class_cells(scores) for scores in report.entries[0].held_out.classes)
    screen.table(_table(title, ["label", "precision", "recall", "F1", "rows"], rows))


def _vectors(report: Report | LabelReport) -> str:
    given = (f"{name} {value}" for name, value in report.encoding.items() if value not in (None, False))
    return f"{report.model}: {', '.join(given)}"


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The first column is the rows' names; the others are numbers."""
    from rich.table import Table

    table = Table(title=title)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _class_cells(scores: ClassScore) -> list[str]:
    numbers = (scores.precision, scores.recall, scores.f1)
    return [scores.label[:40], *(f"{value:.3f}" for value in numbers), str(scores.support)]


def _cells(report: Report, entry: Entry) -> list[str]:
    scores = entry.held_out
    cells = [entry.name, *(f"{value:.3f}" for value in (report.f1(scores), scores.weighted_f1, scores.accuracy))]
    if entry.folds is not None:
        cells.append(f"{entry.folds.f1.mean:.3f} ± {entry.folds.f1.sd:.3f}")
    return [*cells, "–" if entry.C is None else f"{entry.C:.3g}", f"{entry.seconds:.1f}"]
