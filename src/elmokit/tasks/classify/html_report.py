"""A report as one HTML file: tables, and figures drawn by matplotlib (extra `plots`) inside the page.

The page loads nothing from elsewhere and has no scripts; all text that comes from the data is escaped.
"""

import base64
import datetime
import io
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from elmokit.plots import PALETTE, check_plots, new_figure
from elmokit.tasks.classify.report import ClassifierReport, Figures, ReportTable, report_tables
from elmokit.tasks.pages import whole_page

_MAX_CLASSES = 30  # classes up to which the confusion matrix is shown
_SIZE = 4.6, 3.6  # of a figure, in inches
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_STYLE = """body { max-width: 64rem; margin: 1.5rem auto; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0 }
caption, figcaption { text-align: left; color: var(--soft) }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td.text { text-align: left }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 14rem }
tbody th bdi { display: inline-block; max-width: 16rem; white-space: normal; overflow-wrap: break-word }
figure { display: inline-block; margin: .5rem 0; max-width: 29rem } img { max-width: 100%; height: auto }
"""
_FIGURE_STYLE = """<style>svg { color: #1c2029; fill: currentColor }
@media (prefers-color-scheme: dark) { svg { color: #e6e9f0 } }</style>"""  # black is the colour of the page's text


def report_page(report: ClassifierReport, *, source: str = "") -> str:
    """The HTML page of a report; `source` names the file of texts, for the title; MissingExtra without matplotlib."""
    check_plots("the HTML report")
    title = f"Text classifier{f': {source}' if source else ''}, {datetime.date.today():%d %B %Y}"
    tables = {name: _table(table) for name, table in report_tables(report, most_classes=_MAX_CLASSES).items()}
    parts = [
        f"<h1>{escape(title)}</h1>\n<h2>Classifiers</h2>\n{tables['classifiers']}",
        f"<h2>{'Labels' if report.several else 'Classes'}</h2>\n{tables['classes']}\n{tables.get('confusion', '')}",
        "<h2>Probabilities</h2>",
        _calibration(report.calibration, report.calibration_error) if report.calibration_error is not None else "",
        _precision_recall(report.precision_recall),
        _learning_curve(report.learning_curve, report.f1_name),
        "" if report.several else f"<h2>Most confident mistakes</h2>{tables.get('mistakes', '<p>None.</p>')}",
    ]
    return whole_page(title, f"<main>\n{chr(10).join(parts)}\n</main>", style=_STYLE)


def _table(table: ReportTable) -> str:
    """An HTML table of escaped cells; the first column names the rows, a column "text" holds running text."""
    top = "".join(f"<th scope='col'>{escape(name)}</th>" for name in table.names)
    kinds = ["td class=text" if name == "text" else "td" for name in table.names]
    body = ""
    for first, *cells in table.rows:
        values = "".join(f"<{kind}><bdi>{escape(x)}</bdi></td>" for kind, x in zip(kinds[1:], cells, strict=True))
        body += f"<tr><th scope='row'><bdi>{escape(first)}</bdi></th>{values}</tr>"
    title, after = escape(table.title), f"<p>{escape(table.caption)}</p>" if table.caption else ""
    return (
        f"<div class='wide' role='region' tabindex='0' aria-label='{escape(table.title, quote=True)}'><table>"
        f"<caption>{title}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{after}"
    )


def _picture(title: str, axes: Any) -> str:
    """A figure of matplotlib inside the page."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fonts without the letters of a label; the browser has its own
        axes.figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    picture = buffer.getvalue().replace("#000000", "currentColor").replace("<defs>", f"{_FIGURE_STYLE}<defs>", 1)
    data = base64.b64encode(picture.encode("utf-8", "replace")).decode()
    return (
        f"<figure><img alt='{escape(title, quote=True)}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def _calibration(bins: Sequence[Figures], error: float) -> str:
    x, y, sizes = (np.array([b[name] for b in bins]) for name in ("confidence", "right", "n"))
    low = min(*x, *y, 0.5)
    axes = new_figure("", size=_SIZE)[1]
    axes.plot([low, 1], [low, 1], color="0.5", linestyle="--")
    axes.scatter(x, y, s=20 + 100 * sizes / sizes.max(), color=PALETTE[0])
    axes.set(xlabel="probability of the predicted class", ylabel="share that is right")
    return _picture(f"Calibration: how often predictions of this confidence are right (off by {error:.1%})", axes)


def _precision_recall(curves: Sequence[Figures]) -> str:
    shown = sorted(curves, key=lambda curve: curve["average_precision"])[: len(_DASHES)]
    if not shown:
        return ""
    axes = new_figure("", size=_SIZE)[1]
    for curve, color, dash in zip(shown, PALETTE, _DASHES, strict=False):
        label = curve["label"][:30].replace("$", r"\$")
        axes.plot(curve["recall"], curve["precision"], color=color, linestyle=dash, label=f" {label}")
    low = min(min(curve["precision"]) for curve in shown)
    axes.set(xlabel="recall", ylabel="precision", ylim=(low - 0.02, 1.02))
    if len(shown) > 1:
        axes.legend(fontsize=8, framealpha=0)
    names = ", ".join(f"{curve['label'][:40]} (average precision {curve['average_precision']:.3f})" for curve in shown)
    hardest = "the hardest: " if len(shown) < len(curves) else ""
    return _picture(f"Precision and recall of {hardest}{names}", axes)


def _learning_curve(points: Sequence[Figures], name: str) -> str:
    if not points:
        return ""
    axes = new_figure("", size=_SIZE)[1]
    axes.plot([p["n_rows"] for p in points], [p["f1"] for p in points], color=PALETTE[0], marker="o")
    axes.set(xlabel="training rows", ylabel="F1 on the held-out rows")
    return _picture(f"Learning curve: {name} after training on a part of the {points[-1]['n_rows']:,} rows", axes)
