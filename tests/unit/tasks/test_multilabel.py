"""Any number of labels a text: scores are scikit-learn's, labels come back, and a folder knows what it holds."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from typer.testing import CliRunner

from elmokit.cli.app import app
from elmokit.cli.screen import Screen
from elmokit.data.tables import Table
from elmokit.errors import CheckpointError, ConfigError, InputError
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.html_report import label_report_page
from elmokit.tasks.logistic import LogisticRegression
from elmokit.tasks.multilabel import MultiLabelClassifier, OneVsRest, as_matrix, check_label_lists, score_labels
from elmokit.tasks.multilabel_report import fit_and_report_labels
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
    scores = score_labels(truth, said, WORDS)
    for average in ("micro", "macro", "weighted"):
        expected = f1_score(truth, said, average=average, zero_division=0.0)
        assert getattr(scores, f"{average}_f1") == pytest.approx(expected)
    assert scores.accuracy == pytest.approx(accuracy_score(truth, said))
    assert [c.f1 for c in scores.classes] == pytest.approx(list(f1_score(truth, said, average=None, zero_division=0.0)))


def test_it_learns_every_label_by_itself(learned):
    assert learned.classes_ == ("blue", "green", "red")
    assert learned.evaluate(TEXTS, LABELS).micro_f1 > 0.95
    assert {frozenset(found) for found in learned.predict(["it red blue thing", "it thing"])} == {
        frozenset({"red", "blue"}),
        frozenset(),
    }
    chances = learned.predict_proba(["it red green thing"])
    assert learned.decide(chances)[0][0] == learned.classes_[int(chances[0].argmax())], "the most probable first"
    assert learned.predict([]) == []


def test_one_versus_rest_is_what_scikit_learn_does(learned):
    from sklearn.linear_model import LogisticRegression as Reference

    X, truth = learned.features(TEXTS), as_matrix(LABELS, WORDS)
    ours = OneVsRest(C=1.0).fit(X, truth).predict_proba(X)
    theirs = OneVsRestClassifier(Reference(C=1.0, tol=1e-8)).fit(X, truth).predict_proba(X)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    one = LogisticRegression(C="cv").fit(X, truth[:, 0]).C_
    assert OneVsRest().fit(X, truth).C_[0] == one


def test_a_label_that_all_rows_have_or_none_is_certain():
    head = OneVsRest().fit(np.eye(4), np.array([[True, False]] * 4))
    assert ((head.predict_proba(np.eye(4)) > 0.5) == [True, False]).all()


def test_saved_and_loaded_it_predicts_the_same_and_only_as_what_it_is(tmp_path, learned):
    learned.save(tmp_path / "many")
    loaded = MultiLabelClassifier.load(tmp_path / "many", WordHash())
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), learned.predict_proba(TEXTS))
    with pytest.raises(CheckpointError, match="other weights"):
        MultiLabelClassifier.load(tmp_path / "many", WordHash(seed=1))
    with pytest.raises(CheckpointError, match="several labels"):
        TextClassifier.load(tmp_path / "many", WordHash())
    TextClassifier(WordHash(), C=1.0).fit(["a", "b"], ["0", "1"]).save(tmp_path / "one")
    with pytest.raises(CheckpointError, match="one label"):
        MultiLabelClassifier.load(tmp_path / "one", WordHash())


def test_the_report_judges_rows_that_were_not_seen():
    stages = []
    classifier = MultiLabelClassifier(WordHash())
    report = fit_and_report_labels(classifier, TEXTS, LABELS, on_stage=lambda *at: stages.append(at[0]))
    assert (report.n_train, report.n_test) == (120, 30)
    assert [entry.name for entry in report.entries] == ["elmokit", "TF-IDF of words", "TF-IDF of characters"]
    assert all(entry.held_out.micro_f1 > 0.9 for entry in report.entries)
    assert classifier.classes_ == report.labels, "it has learned from all rows"
    assert {"encoding texts", "learning labels", "learning from all rows"} <= set(stages)
    json.dumps(report.to_dict())
    page = label_report_page(report)
    assert "micro F1" in page
    assert page.count("<svg") == 1
    assert "http" not in page


def test_what_makes_no_sense_is_refused(learned):
    for labels, message in (
        (["red"], r"labels\[0\] is 'red'; expected a list"),
        ([["red"], [""]], r"labels\[1\] is \[''\]"),
        ([[1]], "expected strings"),
        ([[], []], "no text has any label"),
        ([["red"]], "2 texts but 1 lists"),
    ):
        with pytest.raises(InputError, match=message):
            check_label_lists(labels, n_texts=2)
    with pytest.raises(InputError, match=r"\['pink'\] were not learned"):
        learned.evaluate(["a"], [["pink"]])
    with pytest.raises(InputError, match="nothing yet"):
        learned.twin().predict(["a"])
    with pytest.raises(ConfigError, match="threshold is 2"):
        MultiLabelClassifier(WordHash(), threshold=2)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f"{text},{'; '.join(labels)}" for text, labels in zip(TEXTS[:40], LABELS, strict=False)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def run(*words):
    return CliRunner().invoke(app, ["classify", *map(str, words)], obj=Screen())


def test_from_a_table_to_labels_and_back(tmp_path, table, monkeypatch):
    monkeypatch.setattr("elmokit.elmo.Elmo.load", lambda *_, **__: WordHash())
    out, page, figures = tmp_path / "model", tmp_path / "page.html", tmp_path / "report.json"
    options = ["--labels-separator", ";", "--bad-rows", "keep", "--C", "1", "--html", page, "--json", figures]
    done = run("train", table, "--out", out, "--details", *options)
    assert done.exit_code == 0, done.output
    assert "micro F1" in done.output
    assert "at recall 0.9" in done.output
    assert json.loads(figures.read_text())["entries"][0]["held_out"]["micro_f1"] > 0.8
    assert "<svg" in page.read_text()
    assert run("predict", out, table, "--out", tmp_path / "said.csv", "--proba").exit_code == 0
    columns = ["label", "probability_blue", "probability_green", "probability_red"]
    said = [row.values for row in Table(source=tmp_path / "said.csv", bad_rows="keep").rows(columns)]
    right = [set(filter(None, row["label"].split(";"))) == set(own) for row, own in zip(said, LABELS, strict=False)]
    assert np.mean(right) > 0.9


def test_the_command_refuses_what_does_not_go_together(tmp_path, table):
    for options in (["--head", "mlp"], ["--join", "tfidf"], ["--folds", "3"], ["--compare-cleaning"]):
        done = run("train", table, "--out", tmp_path / "m", "--labels-separator", ";", *options)
        assert isinstance(done.exception, ConfigError) or "--labels-separator goes with" in done.output
        assert not (tmp_path / "m").exists()
