"""Any number of labels a text: scores are scikit-learn's, labels come back, and a folder knows what it holds."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from elmokit.cli.app import build
from elmokit.data.tables import Table
from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.tasks.checks import check_label_sets
from elmokit.tasks.classify import MultiLabelClassifier, TextClassifier
from elmokit.tasks.classify.evaluate import fit_and_report
from elmokit.tasks.classify.html_report import report_page
from elmokit.tasks.classify.report import score
from unit.tasks.encoders import WordHash

WORDS = ("red", "green", "blue")
RNG = np.random.default_rng(0)
LABELS = [tuple(word for word in WORDS if RNG.random() < 0.4) for _ in range(150)]
TEXTS = [" ".join(["it", *labels, "thing"]) for labels in LABELS]


@pytest.fixture(scope="module")
def learned():
    return MultiLabelClassifier(WordHash(), C=1.0).fit(TEXTS, LABELS)


@given(st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=20))
def test_scores_are_scikit_learns(rows):
    truth, said = np.array(rows)[:, :3], np.array(rows)[:, 3:]
    scores = score(truth, said, WORDS)
    for average in ("micro", "weighted"):
        expected = f1_score(truth, said, average=average, zero_division=0.0)
        assert getattr(scores, f"{average}_f1") == pytest.approx(expected)
    there = truth.any(0)
    assert scores.macro_f1 == pytest.approx(np.mean([c.f1 for c in scores.classes if c.support] or [0.0]))
    assert len(scores.without_rows) == (~there).sum()
    assert scores.accuracy == pytest.approx(accuracy_score(truth, said))
    assert [c.f1 for c in scores.classes] == pytest.approx(list(f1_score(truth, said, average=None, zero_division=0.0)))


def test_it_learns_every_label_by_itself(learned):
    assert learned.classes_.tolist() == ["blue", "green", "red"]
    assert learned.evaluate(TEXTS, LABELS).micro_f1 > 0.95
    assert {frozenset(found) for found in learned.predict(["it red blue thing", "it thing"])} == {
        frozenset({"red", "blue"}),
        frozenset(),
    }
    chances = learned.predict_proba(["it red green thing"])
    assert learned.decide(chances)[0][0] == learned.classes_[int(chances[0].argmax())], "the most probable first"
    assert learned.predict([]) == []


def test_a_label_that_all_rows_have_is_always_given(tmp_path):
    labels = [["all", "red"], ["all"]] * 8
    classifier = MultiLabelClassifier(WordHash(), C=1.0).fit(["a red thing", "a thing"] * 8, labels)
    classifier.save(tmp_path)
    for one in (classifier, MultiLabelClassifier.load(tmp_path, WordHash())):
        assert all("all" in given for given in one.predict(["nothing", "red", ""]))


def test_saved_and_loaded_it_predicts_the_same_and_only_as_what_it_is(tmp_path, learned):
    learned.save(tmp_path / "many")
    loaded = MultiLabelClassifier.load(tmp_path / "many", WordHash())
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), learned.predict_proba(TEXTS), atol=1e-6)
    with pytest.raises(CheckpointError, match="other weights"):
        MultiLabelClassifier.load(tmp_path / "many", WordHash(seed=1))
    with pytest.raises(CheckpointError, match="several labels"):
        TextClassifier.load(tmp_path / "many", WordHash())
    TextClassifier(WordHash(), C=1.0).fit(["a", "b"], ["0", "1"]).save(tmp_path / "one")
    with pytest.raises(CheckpointError, match="one label"):
        MultiLabelClassifier.load(tmp_path / "one", WordHash())


def test_the_report_judges_rows_that_were_not_seen():
    classifier = MultiLabelClassifier(WordHash())
    report = fit_and_report(classifier, TEXTS, LABELS)
    assert (report.n_train, report.n_test) == (120, 30)
    assert [entry.name for entry in report.entries] == ["elmokit", "TF-IDF of words", "TF-IDF of characters"]
    assert all(entry.held_out.micro_f1 > 0.9 for entry in report.entries)
    assert tuple(classifier.classes_) == report.classes, "it is fitted on all rows"
    json.dumps(report.to_dict())
    page = report_page(report)
    assert "micro F1" in page
    assert page.count("<img") == 1
    assert "://" not in page


def test_what_makes_no_sense_is_refused(learned):
    for labels, message in (
        (["red"], r"labels\[0\] is 'red'; expected a list"),
        ([["red"], [""]], r"labels\[1\] is \[''\]"),
        ([[1]], "expected strings"),
        ([[], []], "no text has any label"),
        ([["red"]], "2 texts but 1 lists"),
    ):
        with pytest.raises(InputError, match=message):
            check_label_sets(labels, n_texts=2)
    with pytest.raises(InputError, match=r"\['pink'\] were not learned"):
        learned.evaluate(["a"], [["pink"]])
    with pytest.raises(InputError, match="not fitted yet"):
        clone(learned).predict(["a"])
    with pytest.raises(ConfigError, match="threshold is 2"):
        MultiLabelClassifier(WordHash(), threshold=2).fit(["a", "b"], [["x"], ["y"]])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f"{text},{'; '.join(labels)}" for text, labels in zip(TEXTS[:40], LABELS, strict=False)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def run(*words):
    return CliRunner().invoke(build(), ["classify", *map(str, words)])


def test_from_a_table_to_labels_and_back(tmp_path, table, monkeypatch):
    monkeypatch.setattr("elmokit.elmo.Elmo.load", lambda *_, **__: WordHash())
    out, page, figures = tmp_path / "model", tmp_path / "page.html", tmp_path / "report.json"
    options = ["--labels-separator", ";", "--bad-rows", "keep", "--C", "1", "--html", page, "--json", figures]
    done = run("train", table, "--out", out, "--details", *options)
    assert done.exit_code == 0, done.output
    assert "micro F1" in done.output
    assert "precision at a recall" in done.output
    assert json.loads(figures.read_text())["entries"][0]["held_out"]["micro_f1"] > 0.8
    assert "<img" in page.read_text()
    assert run("predict", out, table, "--out", tmp_path / "said.csv", "--proba").exit_code == 0
    columns = ["label", "probability_blue", "probability_green", "probability_red"]
    said = [row.values for row in Table(source=tmp_path / "said.csv", bad_rows="keep").rows(columns)]
    right = [set(filter(None, row["label"].split(";"))) == set(own) for row, own in zip(said, LABELS, strict=False)]
    assert np.mean(right) > 0.9


def test_the_command_refuses_what_does_not_go_together(tmp_path, table):
    for options in (["--head", "bilstm"], ["--join", "tfidf"], ["--positive", "red"], ["--threshold", "0.4"]):
        done = run("train", table, "--out", tmp_path / "m", "--labels-separator", ";", *options)
        assert isinstance(done.exception, ConfigError) or "--labels-separator goes with" in done.output
        assert not (tmp_path / "m").exists()
