"""A report → one HTML page that needs nothing else: tables, and pictures drawn here as inline SVG.

No script, no style sheet, font or picture from elsewhere; every text that comes from the data is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from elmokit.tasks.curves import PrecisionRecall
from elmokit.tasks.metrics import ClassScore
from elmokit.tasks.multilabel_report import LabelReport
from elmokit.tasks.report import Entry, Report

_SIDE, _MARGIN = 260, 40
_COLOURS = ("#0b62a4", "#c4501b", "#3a7d34", "#7a4fa3", "#8a6d00", "#b3306b")
_WIDEST = 30
"""Classes up to which the confusion matrix is drawn."""
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;
background:#fff}table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}th,td{padding:.25rem .7rem;
border-bottom:1px solid #ccc;text-align:right}th:first-child,td.text{text-align:left;overflow-wrap:anywhere;
max-width:34rem}figure{display:inline-block;margin:1rem}figcaption{font-size:.9rem;color:#444}"""

_HEAD = (
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width'><title>Report of a text classifier</title>"
    f"<style>{_STYLE}</style></head><body><h1>Report of a text classifier</h1>"
)


def report_page(report: Report) -> str:
    """The page of a report.

    Args:
        report: what to show.

    Returns:
        a whole HTML document.

    Example:
        ``Path("report.html").write_text(report_page(report), encoding="utf-8")``
    """
    parts = [
        _HEAD,
        f"<p>Model {escape(report.model)}; layers {escape(str(report.layers))}, pooling {escape(report.pooling)},"
        f" cleaning {escape(', '.join(report.cleaning) or 'none')}. {report.n_train:,} rows learned from,"
        f" {report.n_test:,} held out (seed {report.seed}); all figures are of the rows held out.</p>",
        "<h2>Ways to classify</h2>",
        _ways(report),
        "<h2>Classes</h2>",
        _classes(report.entries[0].held_out.classes),
        _confusion(report),
        "<h2>Probabilities</h2>",
        _calibration(report),
        _precision_recall(report.precision_recall),
        *([_learning_curve(report)] if report.learning_curve else []),
        "<h2>Most confident mistakes</h2>",
        _mistakes(report),
        "</body></html>",
    ]
    return "\n".join(parts)


def label_report_page(report: LabelReport) -> str:
    """The page of a report on several labels a text.

    Args:
        report: what to show.

    Returns:
        a whole HTML document.
    """
    ways = (
        [entry.name, *(f"{x:.3f}" for x in (s.micro_f1, s.macro_f1, s.weighted_f1, s.accuracy))]
        for entry in report.entries
        for s in [entry.held_out]
    )
    parts = [
        _HEAD,
        f"<p>Model {escape(report.model)}; layers {escape(str(report.layers))}, pooling {escape(report.pooling)},"
        f" cleaning {escape(', '.join(report.cleaning) or 'none')}. {report.n_train:,} rows learned from,"
        f" {report.n_test:,} held out (seed {report.seed}); all figures are of the rows held out.</p>",
        "<h2>Ways to give labels</h2>",
        _table(["features", "micro F1", "macro F1", "weighted F1", "all labels right"], ways),
        "<h2>Labels</h2>",
        _classes(report.entries[0].held_out.classes),
        _precision_recall(report.precision_recall),
        "</body></html>",
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are escaped here; the first column is the rows' names."""
    top = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'><bdi>{escape(row[0])}</bdi></th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _ways(report: Report) -> str:
    f1 = "macro F1" if report.positive is None else f"F1 of {report.positive}"
    folds = report.entries[0].folds
    head = ["features", f1, "macro F1", "weighted F1", "accuracy", *([f"{f1}, {folds.n_folds} folds"] if folds else [])]
    return _table(head, (_way(report, entry) for entry in report.entries))


def _way(report: Report, entry: Entry) -> list[str]:
    s = entry.held_out
    figures = [f"{x:.3f}" for x in (report.f1(s), s.macro_f1, s.weighted_f1, s.accuracy)]
    spread = [f"{entry.folds.f1.mean:.3f} ± {entry.folds.f1.sd:.3f}"] if entry.folds else []
    return [entry.name, *figures, *spread]


def _classes(classes: Sequence[ClassScore]) -> str:
    rows = ([c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", f"{c.support:,}"] for c in classes)
    return _table(["class", "precision", "recall", "F1", "rows"], rows)


def _confusion(report: Report) -> str:
    matrix = report.entries[0].held_out.confusion
    if len(matrix) > _WIDEST:
        return f"<p>The confusion matrix of {len(matrix)} classes is in the JSON report.</p>"
    names = [c.label for c in report.entries[0].held_out.classes]
    head = "".join(f"<th scope='col'>said <bdi>{escape(name)}</bdi></th>" for name in names)
    rows = []
    for name, row in zip(names, matrix, strict=True):
        total = max(sum(row), 1)
        cells = "".join(f"<td style='background:rgb(11 98 164/{0.6 * n / total:.2f})'>{n:,}</td>" for n in row)
        rows.append(f"<tr><th scope='row'><bdi>{escape(name)}</bdi></th>{cells}</tr>")
    caption = "<caption>Confusion matrix: rows are the true classes</caption>"
    top = f"<thead><tr><th scope='col'>class</th>{head}</tr></thead>"
    return f"<table>{caption}{top}<tbody>{''.join(rows)}</tbody></table>"


def _place(x: float, y: float) -> str:
    """Where a point of the unit square is on the picture."""
    return f"{_MARGIN + x * _SIDE:.1f},{_MARGIN / 2 + (1 - y) * _SIDE:.1f}"


def _picture(title: str, across: str, up: str, marks: str) -> str:
    """A unit square with axes, and what is drawn in it."""
    end = _MARGIN / 2 + _SIDE
    ticks = "".join(
        f"<text x='{_MARGIN + t * _SIDE}' y='{end + 14}' text-anchor='middle'>{t:g}</text>"
        f"<text x='{_MARGIN - 5}' y='{end - t * _SIDE + 4}' text-anchor='end'>{t:g}</text>"
        for t in (0, 0.5, 1)
    )
    return (
        f"<figure><svg role='img' aria-label='{escape(title)}' width='{_SIDE + 2 * _MARGIN}' height='{_SIDE + 60}'"
        f" font-size='11' fill='#333'>"
        f"<rect x='{_MARGIN}' y='{_MARGIN / 2}' width='{_SIDE}' height='{_SIDE}' fill='none'"
        f" stroke='#999'/>{ticks}<text x='{_MARGIN + _SIDE / 2}' y='{end + 30}' text-anchor='middle'>{escape(across)}"
        f"</text><text transform='translate(12 {end - _SIDE / 2}) rotate(-90)' text-anchor='middle'>{escape(up)}</text>"
        f"{marks}</svg><figcaption>{escape(title)}</figcaption></figure>"
    )


def _calibration(report: Report) -> str:
    largest = max((b.n for b in report.calibration), default=1)
    dots = "".join(
        f"<circle cx='{x}' cy='{y}' r='{2 + 6 * (b.n / largest) ** 0.5:.1f}' fill='{_COLOURS[0]}'><title>{b.n:,} rows"
        f"</title></circle>"
        for b in report.calibration
        for x, y in [_place(b.confidence, b.right).split(",")]
    )
    line = f"<polyline points='{_place(0, 0)} {_place(1, 1)}' stroke='#999' stroke-dasharray='4' fill='none'/>"
    title = f"Calibration: how often predictions are right that are this sure (off by {report.calibration_error:.1%})"
    return _picture(title, "probability of what was said", "share that is right", line + dots)


def _learning_curve(report: Report) -> str:
    most = report.learning_curve[-1].n_rows
    places = [_place(point.n_rows / most, point.f1) for point in report.learning_curve]
    line = f"<polyline points='{' '.join(places)}' stroke='{_COLOURS[0]}' fill='none' stroke-width='1.5'/>"
    dots = "".join(
        f"<circle cx='{x}' cy='{y}' r='3' fill='{_COLOURS[0]}'><title>{point.n_rows:,} rows: {point.f1:.3f}</title>"
        "</circle>"
        for point, place in zip(report.learning_curve, places, strict=True)
        for x, y in [place.split(",")]
    )
    f1 = "macro F1" if report.positive is None else f"F1 of {report.positive}"
    title = f"Learning curve: {f1} after learning from a part of the {most:,} rows"
    return _picture(title, "share of the rows learned from", "F1", line + dots)


def _precision_recall(found: Sequence[PrecisionRecall]) -> str:
    curves = sorted(found, key=lambda curve: curve.average_precision)[: len(_COLOURS)]
    if not curves:
        return ""
    lines = "".join(
        f"<polyline points='{' '.join(map(_place, curve.recall, curve.precision))}' stroke='{colour}' fill='none'"
        f" stroke-width='1.5'><title>{escape(curve.label)}</title></polyline>"
        for curve, colour in zip(curves, _COLOURS, strict=False)
    )
    names = ", ".join(f"{curve.label[:40]} (average precision {curve.average_precision:.3f})" for curve in curves)
    hardest = "the hardest: " if len(curves) < len(found) else ""
    return _picture(f"Precision and recall of {hardest}{names}", "recall", "precision", lines)


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return "<p>None.</p>"
    rows = "".join(
        f"<tr><td>{m.row + 1:,}</td><td class='text'><bdi>{escape(m.text)}</bdi></td>"
        f"<td><bdi>{escape(str(m.label))}</bdi></td><td><bdi>{escape(str(m.predicted))}</bdi></td><td>{m.probability:.0%}</td></tr>"
        for m in report.mistakes
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("row", "text", "class", "taken for", "how sure"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
