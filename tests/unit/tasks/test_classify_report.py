"""The report's curves are scikit-learn's, and its page shows everything, escaped, from nowhere else."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from elmokit.cli.classify import ReportOptions, show_report
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.classify.evaluate import fit_and_report
from elmokit.tasks.classify.html_report import report_page
from elmokit.tasks.classify.report import calibration_bins, precision_at, precision_recall
from unit.tasks.encoders import WordHash, messages

TEXTS, LABELS = messages(200)
EVIL = "<script>alert('x')</script> & \"quoted\" שלום"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.words = [], []

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        assert not {name for name, _ in attrs} & {"href", "onload", "onclick"}
        assert all(value.startswith("data:image/svg+xml;base64,") for name, value in attrs if name == "src")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40))
def test_average_precision_is_scikit_learns(rows):
    truth, p = np.array([t for t, _ in rows] + [True]), np.array([n / 8 for _, n in rows] + [0.5])
    curve = precision_recall("1", truth, p)
    assert curve["average_precision"] == pytest.approx(average_precision_score(truth, p))
    assert curve["recall"][-1] == 1
    assert list(curve["recall"]) == sorted(curve["recall"])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_every_row_once(rows):
    bins = calibration_bins(np.array([c for c, _ in rows]), np.array([r for _, r in rows]))
    assert sum(b["n"] for b in bins) == len(rows)
    assert sum(b["n"] * b["right"] for b in bins) == pytest.approx(sum(r for _, r in rows))


def test_the_page_is_whole_and_escaped():
    texts = [f"{text} {EVIL}" for text in TEXTS]
    labels = [f"{EVIL * 5}{label}" for label in LABELS]
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), texts, labels, baselines=False, n_folds=3)
    page = report_page(report)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert EVIL not in page
    shown = "".join(tags.words)
    assert report.mistakes
    for mistake in report.mistakes:
        assert mistake["text"] in shown
    assert labels[0] in shown
    assert not re.search(r"https?://|@import|url\(", page)
    assert page.count("<img") == 2
    for data in re.findall("base64,([^']*)", page):
        picture = base64.b64decode(data).decode()
        assert "<script" not in picture
        assert picture.rstrip().endswith("</svg>")


def test_the_page_of_many_classes():
    texts = [f"{word} {i % 7}" for i in range(40) for word in ("red", "green", "blue")]
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), texts, [t.split()[0] for t in texts], baselines=False)
    assert [curve["label"] for curve in report.precision_recall] == ["blue", "green", "red"]
    assert report_page(report).count("<img") == 2
    if not report.mistakes:
        assert "<p>None.</p>" in report_page(report)


def test_the_learning_curve_grows_over_nested_parts_and_ends_with_all_rows():
    report = fit_and_report(TextClassifier(WordHash()), TEXTS, LABELS, baselines=False, learning_curve=True)
    assert [point["n_rows"] for point in report.learning_curve] == [16, 40, 80, 160]
    assert report.learning_curve[-1]["f1"] == report.f1(report.entries[0].held_out)
    assert report.learning_curve[-1]["f1"] > report.learning_curve[0]["f1"]
    page = report_page(report)
    assert page.count("<img") == 3
    assert "Learning curve: F1 of 1" in page


def test_precision_at_a_recall_is_the_best_one_there():
    rng = np.random.default_rng(0)
    truth, p = rng.random(60) < 0.4, rng.random(60)
    curve = precision_recall("1", truth, p)
    for recall in (0.0, 0.5, 0.9, 1.0):
        found = [truth[p >= t].mean() for t in p if truth[p >= t].sum() / truth.sum() >= recall]
        assert precision_at(curve, recall) == pytest.approx(max(found))


def test_every_table_of_the_terminal_shows_the_reports_figures(capsys):
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), TEXTS, LABELS, n_folds=2, learning_curve=True)
    show_report(report, ReportOptions(details=True, mistakes=1))
    shown = capsys.readouterr().out
    for title in (
        "learning curve",
        "calibration",
        "precision at a recall",
        "most confident mistakes",
        "F1, 2 folds",
    ):
        assert title in shown
    assert f"{report.learning_curve[0]['f1']:.3f}" in shown
    assert f"{report.precision_recall[0]['average_precision']:.3f}" in shown
    assert f"{report.calibration[-1]['right']:.0%}" in shown
    assert "".join(report.mistakes[0]["text"].split()) in "".join(shown.split())
    assert "".join(report.mistakes[1]["text"].split()) not in "".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
