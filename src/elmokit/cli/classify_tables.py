"""A classifier's report as tables on the terminal: classifiers beside each other, then the first one in detail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.tasks.classify.report import ClassifierReport

_WIDEST_CONFUSION = 4
"""With more classes than this the confusion matrix is in the JSON report only: a table fits 80 columns."""
_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)


def show_report(screen: Screen, report: ClassifierReport, *, details: bool = False, n_mistakes: int = 0) -> None:
    """Print the figures of all classifiers, those of the first by class, and what else was asked for."""
    ours, f1, several = report.entries[0], report.f1_name, report.several
    macro = ["macro F1"] if several else []
    spread = [f"F1, {ours.folds.n_folds} folds"] if ours.folds else []
    names = ["features", f1[:20], *macro, "weighted F1", "all right" if several else "accuracy", *spread, "seconds"]
    rows = []
    for entry in report.entries:
        s, folds = entry.held_out, entry.folds
        figures = [report.f1(s), *([s.macro_f1] if several else []), s.weighted_f1, s.accuracy]
        of_folds = [f"{folds.f1.mean:.3f} ± {folds.f1.sd:.3f}"] if folds else []
        rows.append([entry.name, *(f"{value:.3f}" for value in figures), *of_folds, f"{entry.seconds:.1f}"])
    _table(
        screen, f"{report.n_test:,} rows held out, {report.n_train:,} training rows, seed {report.seed}", names, rows
    )

    few = report.classes if not several and len(report.classes) <= _WIDEST_CONFUSION else ()
    rows = []
    for number, c in enumerate(ours.held_out.classes):
        confused = [str(n) for n in ours.held_out.confusion[number]] if few else []
        rows.append([c.label[:40], *(f"{x:.3f}" for x in (c.precision, c.recall, c.f1)), str(c.support), *confused])
    encoding = ", ".join(f"{name} {value}" for name, value in report.encoding.items() if value not in (None, False))
    names = ["label" if several else "class", "precision", "recall", "F1", "rows", *(f"as {x!s:.8}" for x in few)]
    notes = [f"C {ours.C:.3g}"] if isinstance(ours.C, float) else []
    if report.calibration_error is not None:
        notes.append(f"probabilities are off by {report.calibration_error:.1%}")
    if ours.held_out.without_rows:
        notes.append(f"macro F1 leaves out labels without rows: {', '.join(ours.held_out.without_rows)}")
    _table(screen, f"{report.model}: {encoding}", names, rows, caption="; ".join([*notes, *report.skipped]))
    if report.learning_curve:
        points = ([f"{point.n_rows:,}", f"{point.f1:.3f}"] for point in report.learning_curve)
        _table(screen, "learning curve, held out", ["training rows", f1], points)
    if details:
        _show_details(screen, report)
    if n_mistakes and not several:
        names = ["row", "class", "predicted", "probability", "text"]
        rows = [
            [str(m.row + 1), str(m.label)[:12], str(m.predicted)[:12], f"{m.probability:.0%}", " ".join(m.text.split())]
            for m in report.mistakes[:n_mistakes]
        ]
        _table(screen, "most confident mistakes, held out", names, rows)


def _show_details(screen: Screen, report: ClassifierReport) -> None:
    """Print how often predictions are right by their confidence, and precision by recall."""
    if report.calibration:
        bins = ([f"{b.confidence:.0%}", f"{b.right:.0%}", f"{b.n:,}"] for b in report.calibration)
        _table(screen, "calibration, held out", ["confidence", "right", "rows"], bins)
    rows = (
        [curve.label[:24], *(f"{curve.precision_at(r):.3f}" for r in _RECALLS), f"{curve.average_precision:.3f}"]
        for curve in report.precision_recall
    )
    _table(screen, "precision at a recall, held out", ["class", *map(str, _RECALLS), "average"], rows)


def _table(screen: Screen, title: str, names: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    """Print a table; the first column and a column of texts are left-aligned, the others hold numbers."""
    from rich.table import Table

    table = Table(title=title, caption=caption or None)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number and name != "text" else "left")
    for row in rows:
        table.add_row(*row)
    screen.table(table)
