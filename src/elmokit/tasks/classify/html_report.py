"""A report as one HTML file: tables, and figures drawn by matplotlib (extra `plots`) inside the page.

The page loads nothing from elsewhere and has no scripts; all text that comes from the data is escaped.
"""

from __future__ import annotations

import base64
import datetime
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from elmokit.projection import PALETTE, check_plots, new_figure
from elmokit.tasks.classify.report import ClassifierReport
from elmokit.tasks.classify.scores import PrecisionRecall
from elmokit.tasks.pages import whole_page

_MAX_CLASSES = 30
"""Classes up to which the confusion matrix is shown."""
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_STYLE = """body { max-width: 64rem; margin: 1.5rem auto; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 }
caption, figcaption { text-align: left; color: var(--soft) }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td.text { text-align: left }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 14rem }
tbody th bdi { display: inline-block; max-width: 16rem; white-space: normal; overflow-wrap: anywhere }
figure { display: inline-block; margin: .5rem 0; max-width: 29rem } img { max-width: 100%; height: auto }
"""
_FIGURE_STYLE = (
    "<style>svg { color: #1c2029; fill: currentColor }"
    " @media (prefers-color-scheme: dark) { svg { color: #e6e9f0 } }</style>"
)
"""Black in a figure is the colour of the page's text."""


def report_page(report: ClassifierReport, *, source: str = "") -> str:
    """The HTML page of a report.

    Args:
        report: what to show.
        source: name of the file with the texts, for the title.

    Raises:
        MissingExtra: matplotlib is not installed.

    Example:
        ``Path("report.html").write_text(report_page(report), encoding="utf-8")``
    """
    ours, f1 = report.entries[0], report.f1_name
    title = f"Text classifier{f': {source}' if source else ''}, {datetime.date.today():%d %B %Y}"
    right = "all labels right" if report.several else "accuracy"
    names = ["features", *dict.fromkeys([f1, "macro F1", "weighted F1", right])]
    names += [f"{f1}, {ours.folds.n_folds} folds"] if ours.folds else []
    classes = ([c.label, *(f"{x:.3f}" for x in (c.precision, c.recall, c.f1)), f"{c.support:,}"]
               for c in ours.held_out.classes)  # fmt: skip
    what = "label" if report.several else "class"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _summary(report),
        "<h2>Classifiers</h2>",
        _table(names, _entries(report)),
        f"<h2>{'Labels' if report.several else 'Classes'}</h2>",
        _table([what, "precision", "recall", "F1", "rows"], classes),
        *([] if report.several else [_confusion(report)]),
        "<h2>Probabilities</h2>",
        *([] if report.several else [_calibration(report)]),
        _precision_recall(report.precision_recall),
        _learning_curve(report),
        *([] if report.several else ["<h2>Most confident mistakes</h2>", _mistakes(report)]),
    ]
    return whole_page(title, f"<main>\n{chr(10).join(parts)}\n</main>", style=_STYLE)


def _summary(report: ClassifierReport) -> str:
    vectors = ", ".join(f"{name} {value}" for name, value in report.encoding.items() if value not in (None, False))
    cleaning, missing = ", ".join(report.cleaning) or "none", report.entries[0].held_out.without_rows
    notes = [*report.skipped, *([f"macro F1 leaves out labels without rows: {', '.join(missing)}"] if missing else [])]
    return (
        f"<p>Model {escape(report.model)}; {escape(vectors)}; cleaning {escape(cleaning)}. {report.n_train:,} training"
        f" rows, {report.n_test:,} held-out rows (seed {report.seed}); all scores are of the held-out rows."
        f"{''.join(f' {escape(note)}.' for note in notes)}</p>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: int | None = None, caption: str = "") -> str:
    """An HTML table of escaped cells; the first column names the rows, column `text` holds running text."""
    top = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'><bdi>{escape(row[0])}</bdi></th>"
        + "".join(
            f"<td{' class=text' if column == text else ''}><bdi>{escape(cell)}</bdi></td>"
            for column, cell in enumerate(row[1:], start=1)
        )
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    label = escape(caption or f"table of {head[0]}", quote=True)
    return (
        f"<div class='wide' role='region' tabindex='0' aria-label='{label}'>"
        f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _entries(report: ClassifierReport) -> Iterable[list[str]]:
    for entry in report.entries:
        s, f1 = entry.held_out, report.f1_name
        figures = {f1: report.f1(s), "macro F1": s.macro_f1, "weighted F1": s.weighted_f1, "accuracy": s.accuracy}
        spread = [f"{entry.folds.f1.mean:.3f} ± {entry.folds.f1.sd:.3f}"] if entry.folds else []
        yield [entry.name, *(f"{value:.3f}" for value in figures.values()), *spread]


def _confusion(report: ClassifierReport) -> str:
    matrix = report.entries[0].held_out.confusion
    if len(matrix) > _MAX_CLASSES:
        return f"<p>The confusion matrix of {len(matrix)} classes is in the JSON report.</p>"
    names = [str(label) for label in report.classes]
    rows = ([name, *(f"{n:,}" for n in row)] for name, row in zip(names, matrix, strict=True))
    head = ["class", *(f"predicted {name}" for name in names)]
    return _table(head, rows, caption="Confusion matrix: rows are the true classes")


def _mistakes(report: ClassifierReport) -> str:
    if not report.mistakes:
        return "<p>None.</p>"
    rows = ([f"{m.row + 1:,}", m.text, str(m.label), str(m.predicted), f"{m.probability:.0%}"] for m in report.mistakes)
    return _table(["row", "text", "class", "predicted", "probability"], rows, text=1)


def _figure(title: str, draw: Callable[[Any], None]) -> str:
    check_plots("the HTML report")
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "legend.framealpha": 0}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fonts without the letters of a label; the browser has its own
        figure, axes = new_figure("", size=(4.6, 3.6))
        draw(axes)
        axes.patch.set_visible(False)
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    picture = buffer.getvalue().replace("#000000", "currentColor").replace("<defs>", f"{_FIGURE_STYLE}<defs>", 1)
    data = base64.b64encode(picture.encode("utf-8", "replace")).decode()
    return (
        f"<figure><img alt='{escape(title, quote=True)}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _calibration(report: ClassifierReport) -> str:
    largest = max((b.n for b in report.calibration), default=1)
    x, y = [b.confidence for b in report.calibration], [b.right for b in report.calibration]
    low = min([*x, *y, 0.5])

    def draw(axes: Any) -> None:
        axes.plot([low, 1], [low, 1], color="0.5", linestyle="--")
        axes.scatter(x, y, s=[20 + 100 * b.n / largest for b in report.calibration], color=PALETTE[0])
        axes.set(xlabel="probability of the predicted class", ylabel="share that is right")

    error = report.calibration_error or 0.0
    return _figure(f"Calibration: how often predictions of this confidence are right (off by {error:.1%})", draw)


def _precision_recall(curves: Sequence[PrecisionRecall]) -> str:
    shown = sorted(curves, key=lambda curve: curve.average_precision)[: len(_DASHES)]
    if not shown:
        return ""
    names = ", ".join(f"{curve.label[:40]} (average precision {curve.average_precision:.3f})" for curve in shown)

    def draw(axes: Any) -> None:
        for curve, color, dash in zip(shown, PALETTE, _DASHES, strict=False):
            label = curve.label[:30].replace("$", r"\$")
            axes.plot(curve.recall, curve.precision, color=color, linestyle=dash, label=f" {label}")
        low = min(min(curve.precision) for curve in shown)
        axes.set(xlabel="recall", ylabel="precision", ylim=(low - 0.02, 1.02))
        if len(shown) > 1:
            axes.legend(fontsize=8)

    return _figure(f"Precision and recall of {'the hardest: ' if len(shown) < len(curves) else ''}{names}", draw)


def _learning_curve(report: ClassifierReport) -> str:
    if not report.learning_curve:
        return ""
    x, y = [p.n_rows for p in report.learning_curve], [p.f1 for p in report.learning_curve]

    def draw(axes: Any) -> None:
        axes.plot(x, y, color=PALETTE[0], marker="o")
        axes.set(xlabel="training rows", ylabel="F1 on the held-out rows")

    return _figure(f"Learning curve: {report.f1_name} after training on a part of the {x[-1]:,} rows", draw)
