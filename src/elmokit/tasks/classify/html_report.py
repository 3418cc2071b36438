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

from elmokit.errors import MissingExtra
from elmokit.tasks.classify.report import Entry, LabelReport, Report
from elmokit.tasks.classify.scores import ClassScore, PrecisionRecall

_MAX_CLASSES = 30
"""Classes up to which the confusion matrix is shown."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, for colour-blind readers
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_STYLE = """:root{color-scheme:light dark;--line:#c8c8c8;--quiet:#5a5a5a}
@media(prefers-color-scheme:dark){:root{--line:#555;--quiet:#b0b0b0}}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:1.5rem auto;padding:0 1rem}
h1{overflow-wrap:anywhere}
div.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;color:var(--quiet)}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td.text{text-align:left}td.text{white-space:normal;overflow-wrap:anywhere;min-width:14rem}
figure{display:inline-block;margin:.5rem 0;max-width:100%}figcaption{color:var(--quiet)}
img{max-width:100%;height:auto;background:#fff;border-radius:4px}"""


def check_plots() -> None:
    """Check that matplotlib is installed, before work starts.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtra("matplotlib", "plots", "the HTML report") from None


def report_page(report: Report, *, source: str = "") -> str:
    """The page of a report.

    Args:
        report: what to show.
        source: name of the file with the texts, for the title.

    Returns:
        a complete HTML document.

    Raises:
        MissingExtra: matplotlib is not installed.

    Example:
        ``Path("report.html").write_text(report_page(report), encoding="utf-8")``
    """
    f1 = "macro F1" if report.positive is None else f"F1 of {report.positive}"
    folds = report.entries[0].folds
    names = [
        "features",
        f1,
        "macro F1",
        "weighted F1",
        "accuracy",
        *([f"{f1}, {folds.n_folds} folds"] if folds else []),
    ]
    return _page(
        source,
        _summary(report),
        "<h2>Classifiers</h2>",
        _table(names, (_entry(report, entry) for entry in report.entries)),
        "<h2>Classes</h2>",
        _classes("class", report.entries[0].held_out.classes),
        _confusion(report),
        "<h2>Probabilities</h2>",
        _figure(
            f"Calibration: how often predictions of this confidence are right (off by {report.calibration_error:.1%})",
            lambda axes: _draw_calibration(axes, report),
        ),
        _precision_recall(report.precision_recall),
        _learning_curve(report, f1),
        "<h2>Most confident mistakes</h2>",
        _mistakes(report),
    )


def label_report_page(report: LabelReport, *, source: str = "") -> str:
    """The page of a report on several labels per text.

    Args:
        report: what to show.
        source: name of the file with the texts, for the title.

    Returns:
        a complete HTML document.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    scores = [(entry.name, entry.held_out) for entry in report.entries]
    rows = ([name, *(f"{x:.3f}" for x in (s.micro_f1, s.macro_f1, s.weighted_f1, s.accuracy))] for name, s in scores)
    return _page(
        source,
        _summary(report),
        "<h2>Classifiers</h2>",
        _table(["features", "micro F1", "macro F1", "weighted F1", "all labels right"], rows),
        "<h2>Labels</h2>",
        _classes("label", report.entries[0].held_out.classes),
        _precision_recall(report.precision_recall),
    )


def _page(source: str, *parts: str) -> str:
    title = f"Report of a text classifier{': ' if source else ''}{escape(source)}"
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width,initial-scale=1'>"
            f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f"<p>{datetime.date.today():%d %B %Y}</p>",
            *parts,
            "</body></html>",
        ]
    )


def _summary(report: Report | LabelReport) -> str:
    vectors = ", ".join(f"{name} {value}" for name, value in report.encoding.items() if value not in (None, False))
    cleaning = ", ".join(report.cleaning) or "none"
    return (
        f"<p>Model {escape(report.model)}; {escape(vectors)}; cleaning {escape(cleaning)}. {report.n_train:,} training"
        f" rows, {report.n_test:,} held-out rows (seed {report.seed}); all scores are of the held-out rows."
        f"{''.join(f' {escape(note)}.' for note in report.skipped)}</p>"
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
    return f"<div class='wide'><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _entry(report: Report, entry: Entry) -> list[str]:
    s = entry.held_out
    spread = [f"{entry.folds.f1.mean:.3f} ± {entry.folds.f1.sd:.3f}"] if entry.folds else []
    return [entry.name, *(f"{x:.3f}" for x in (report.f1(s), s.macro_f1, s.weighted_f1, s.accuracy)), *spread]


def _classes(what: str, classes: Sequence[ClassScore]) -> str:
    rows = ([c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", f"{c.support:,}"] for c in classes)
    return _table([what, "precision", "recall", "F1", "rows"], rows)


def _confusion(report: Report) -> str:
    matrix = report.entries[0].held_out.confusion
    if len(matrix) > _MAX_CLASSES:
        return f"<p>The confusion matrix of {len(matrix)} classes is in the JSON report.</p>"
    names = [c.label for c in report.entries[0].held_out.classes]
    rows = ([name, *(f"{n:,}" for n in row)] for name, row in zip(names, matrix, strict=True))
    head = ["class", *(f"predicted {name}" for name in names)]
    return _table(head, rows, caption="Confusion matrix: rows are the true classes")


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return "<p>None.</p>"
    rows = ([f"{m.row + 1:,}", m.text, str(m.label), str(m.predicted), f"{m.probability:.0%}"] for m in report.mistakes)
    return _table(["row", "text", "class", "predicted", "probability"], rows, text=1)


def _figure(title: str, draw: Callable[[Any], None]) -> str:
    check_plots()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fonts without the letters of a label; the browser has its own
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue().encode("utf-8", "replace")).decode()
    return (
        f"<figure><img alt='{escape(title, quote=True)}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _draw_calibration(axes: Any, report: Report) -> None:
    largest = max((b.n for b in report.calibration), default=1)
    x, y = [b.confidence for b in report.calibration], [b.right for b in report.calibration]
    low = min([*x, *y, 0.5])
    axes.plot([low, 1], [low, 1], color="0.6", linestyle="--")
    axes.scatter(x, y, s=[20 + 100 * b.n / largest for b in report.calibration], color=_COLOURS[0])
    axes.set(xlabel="probability of the predicted class", ylabel="share that is right")


def _precision_recall(curves: Sequence[PrecisionRecall]) -> str:
    shown = sorted(curves, key=lambda curve: curve.average_precision)[: len(_COLOURS)]
    if not shown:
        return ""
    names = ", ".join(f"{curve.label[:40]} (average precision {curve.average_precision:.3f})" for curve in shown)
    return _figure(
        f"Precision and recall of {'the hardest: ' if len(shown) < len(curves) else ''}{names}",
        lambda axes: _draw_curves(axes, shown),
    )


def _draw_curves(axes: Any, curves: Sequence[PrecisionRecall]) -> None:
    for curve, colour, dash in zip(curves, _COLOURS, _DASHES, strict=False):
        label = curve.label[:30].replace("$", r"\$")
        axes.plot(curve.recall, curve.precision, color=colour, linestyle=dash, label=f" {label}")
    axes.set(xlabel="recall", ylabel="precision", ylim=(min(min(c.precision) for c in curves) - 0.02, 1.02))
    if len(curves) > 1:
        axes.legend(fontsize=8)


def _learning_curve(report: Report, f1: str) -> str:
    if not report.learning_curve:
        return ""
    x, y = [p.n_rows for p in report.learning_curve], [p.f1 for p in report.learning_curve]

    def draw(axes: Any) -> None:
        axes.plot(x, y, color=_COLOURS[0], marker="o")
        axes.set(xlabel="training rows", ylabel="F1 on the held-out rows")

    return _figure(f"Learning curve: {f1} after training on a part of the {x[-1]:,} rows", draw)
