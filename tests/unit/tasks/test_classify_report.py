"""The report's curves are scikit-learn's, and its page shows everything, escaped, from nowhere else."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.curves import calibration_bins, precision_recall
from elmokit.tasks.html_report import report_page
from elmokit.tasks.report import fit_and_report
from unit.tasks.encoders import WordHash, messages

TEXTS, LABELS = messages(200)
EVIL = "<script>alert('x')</script> & \"quoted\" שלום"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.words = [], []

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in ("meta", "rect", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40))
def test_average_precision_is_scikit_learns(rows):
    truth, p = np.array([t for t, _ in rows] + [True]), np.array([n / 8 for _, n in rows] + [0.5])
    curve = precision_recall("1", truth, p)
    assert curve.average_precision == pytest.approx(average_precision_score(truth, p))
    assert curve.recall[-1] == 1
    assert list(curve.recall) == sorted(curve.recall)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_every_row_once(rows):
    bins = calibration_bins(np.array([c for c, _ in rows]), [r for _, r in rows])
    assert sum(b.n for b in bins) == len(rows)
    assert sum(b.n * b.right for b in bins) == pytest.approx(sum(r for _, r in rows))


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
        assert mistake.text in shown
    assert labels[0] in shown
    assert not re.search(r"https?://|@import|url\(", page)
    assert page.count("<svg") == 2


def test_the_page_of_many_classes():
    texts = [f"{word} {i % 7}" for i in range(40) for word in ("red", "green", "blue")]
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), texts, [t.split()[0] for t in texts], baselines=False)
    assert [curve.label for curve in report.precision_recall] == ["blue", "green", "red"]
    assert report_page(report).count("<polyline") == 4
    if not report.mistakes:
        assert "<p>None.</p>" in report_page(report)
