"""A classifier learns, says how well, and comes back from its folder only to its own model."""

import json
import os

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from elmokit.encoding import Encoding
from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile, OutputError, TextError
from elmokit.tasks.checks import check_labels
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.classify.evaluate import fit_and_report
from elmokit.tasks.classify.report import calibration_bins, calibration_error
from unit.tasks.encoders import WordHash, messages

TEXTS, LABELS = messages(200)


@pytest.fixture(scope="module")
def learned():
    return TextClassifier(WordHash()).fit(TEXTS, LABELS)


def test_it_learns(learned):
    texts, labels = messages(100, seed=1)
    assert learned.classes_.tolist() == ["0", "1"]
    assert learned.evaluate(texts, labels).f1_of("1") > 0.8
    probabilities = learned.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert learned.predict(texts).tolist() == [learned.classes_[i] for i in probabilities.argmax(1)]


def test_labels_come_back_as_they_were_given():
    numbers = TextClassifier(WordHash(), C=1.0).fit(TEXTS, np.array([int(label) for label in LABELS]))
    assert numbers.predict(TEXTS).dtype.kind == "i"


def test_columns_of_data_frames_are_texts():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": TEXTS, "label": LABELS}).sample(frac=1, random_state=0)
    classifier = TextClassifier(WordHash(), C=1.0)
    predicted = classifier.fit(frame["text"], frame["label"]).predict(frame["text"])
    assert predicted.tolist() == classifier.predict(frame["text"].tolist()).tolist()
    report = fit_and_report(classifier, frame["text"], frame["label"], baselines=False)
    for mistake in report.mistakes:
        assert frame["text"].iloc[mistake["row"]] == mistake["text"]
    with pytest.raises(InputError, match=r"texts\[1\] is missing"):
        classifier.predict(pandas.Series(["a", None]))


def test_a_lone_string_is_no_list_of_texts(learned):
    with pytest.raises(TextError, match="one str"):
        learned.predict("so happy")
    with pytest.raises(TextError, match="one str"):
        fit_and_report(learned, "so happy", ["1"])


def test_texts_are_strings(learned):
    with pytest.raises(TextError, match=r"texts\[1\] is a list"):
        learned.predict(["a", ["b"]])


def test_no_texts_give_no_predictions(learned):
    assert learned.predict([]).shape == (0,)
    assert learned.predict_proba([]).shape == (0, 2)


def test_cleaning_comes_first():
    cleaned = TextClassifier(WordHash(), cleaning=["urls", "lowercase"])
    plain = TextClassifier(WordHash())
    texts = ["So http://x.y Happy", "It broke"] * 4
    cleaned.fit(texts, [0, 1] * 4)
    plain.fit(["so happy", "it broke"] * 4, [0, 1] * 4)
    np.testing.assert_array_equal(cleaned.predict_proba(texts), plain.predict_proba(["so happy", "it broke"] * 4))


@pytest.mark.parametrize("labels", [LABELS, [int(label) for label in LABELS], [label == "1" for label in LABELS]])
@pytest.mark.parametrize("class_weight", ["balanced", None, "given"])
def test_saved_and_loaded_it_predicts_the_same(tmp_path, labels, class_weight):
    weights = dict.fromkeys(set(labels), 1.5) if class_weight == "given" else class_weight
    saved = TextClassifier(WordHash(), encoding=Encoding("max", [1, 2]), cleaning=["urls"], class_weight=weights).fit(
        TEXTS, labels
    )
    saved.save(tmp_path / "deep" / "model")
    loaded = TextClassifier.load(tmp_path / "deep" / "model", WordHash())
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), saved.predict_proba(TEXTS), atol=1e-6)
    assert loaded.predict(TEXTS).tolist() == saved.predict(TEXTS).tolist()
    assert (loaded.encoding, loaded.cleaning) == (saved.encoding, saved.cleaning)
    assert loaded.class_weight == weights
    assert sorted(os.listdir(tmp_path / "deep" / "model")) == ["classifier.json", "classifier.safetensors"]


def test_another_model_is_refused(tmp_path, learned):
    learned.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"trained with the model 'word hash'.* 'other'"):
        TextClassifier.load(tmp_path, WordHash(dim=64, name="other"))
    with pytest.raises(CheckpointError, match="other weights"):
        TextClassifier.load(tmp_path, WordHash(seed=1))


def test_a_little_rounding_is_the_same_model(tmp_path, learned):
    class Rounded(WordHash):
        def encode(self, texts, **options):
            return super().encode(texts, **options).astype(np.float16).astype(np.float32)

    learned.save(tmp_path)
    assert TextClassifier.load(tmp_path, Rounded()).classes_.tolist() == ["0", "1"]


def test_damaged_classifiers_are_refused(tmp_path, learned):
    with pytest.raises(MissingFile, match=r"classifier\.json: no such file"):
        TextClassifier.load(tmp_path, WordHash())
    learned.save(tmp_path)
    config = json.loads((tmp_path / "classifier.json").read_text())
    (tmp_path / "classifier.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="does not belong to"):
        TextClassifier.load(tmp_path, WordHash())
    (tmp_path / "classifier.json").write_text(json.dumps({**config, "format": 9}))
    with pytest.raises(CheckpointError, match="another version"):
        TextClassifier.load(tmp_path, WordHash())
    (tmp_path / "classifier.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a readable saved head"):
        TextClassifier.load(tmp_path, WordHash())


def test_a_folder_that_can_not_be_made(tmp_path, learned):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be created"):
        learned.save(tmp_path / "file" / "model")


def test_what_can_not_be_learned_is_refused(tmp_path, learned):
    fresh = TextClassifier(WordHash())
    for call in (lambda: fresh.predict(["a"]), lambda: fresh.save(tmp_path)):
        with pytest.raises(InputError, match="not fitted yet"):
            call()
    with pytest.raises(InputError, match="two classes"):
        fresh.fit(["a", "b"], ["1", "1"])
    with pytest.raises(InputError, match="2 texts but 1 labels"):
        fresh.fit(["a", "b"], ["1"])
    with pytest.raises(InputError, match=r"labels\[1\] is missing \(nan\)"):
        fresh.fit(["a", "b"], [1.0, float("nan")])
    with pytest.raises(InputError, match=r"texts\[1\] is missing"):
        fresh.fit(["a", None, "c"], [0, 1, 0])
    with pytest.raises(InputError, match="strings and others numbers"):
        check_labels(["a", 1], n_texts=2)
    with pytest.raises(InputError, match=r"\['2'\] were not learned"):
        learned.evaluate(["a"], ["2"])
    with pytest.raises(ConfigError, match="unknown cleaning step"):
        TextClassifier(WordHash(), cleaning=["soap"]).fit(["a", "b"], [0, 1])


def test_the_report_judges_rows_that_were_not_seen():
    classifier = TextClassifier(WordHash(), C=1.0, class_weight=None)
    report = fit_and_report(classifier, TEXTS, LABELS, n_folds=5)
    ours, words, characters = report.entries
    train, test = train_test_split(np.arange(200), test_size=0.2, random_state=42)
    alone = TextClassifier(WordHash(), C=1.0, class_weight=None)
    alone.fit([TEXTS[i] for i in train], [LABELS[i] for i in train])
    truth, predicted = [LABELS[i] for i in test], alone.predict([TEXTS[i] for i in test])
    assert report.f1(ours.held_out) == pytest.approx(f1_score(truth, predicted, pos_label="1"))
    assert (report.n_train, report.n_test, report.positive) == (160, 40, "1")
    assert words.held_out.accuracy > 0.8
    assert ours.folds["n_folds"] == 5
    assert 0 < ours.folds["f1"]["sd"] < 0.3
    assert (words.name, characters.name) == ("TF-IDF of words", "TF-IDF of characters")
    assert len(classifier.predict(TEXTS)) == 200, "it is fitted on all rows"
    json.dumps(report.to_dict())


def test_the_report_encodes_each_text_once():
    elmo = WordHash()
    fit_and_report(TextClassifier(elmo, C=1.0), TEXTS, LABELS, n_folds=3, baselines=False)
    assert elmo.n_encoded == len(set(TEXTS))


def test_the_most_confident_mistakes_come_first():
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), TEXTS, LABELS, baselines=False)
    n_wrong = sum(sum(row) for row in report.entries[0].held_out.confusion) - sum(
        row[i] for i, row in enumerate(report.entries[0].held_out.confusion)
    )
    assert 0 < len(report.mistakes) == min(n_wrong, 10)
    for mistake in report.mistakes:
        assert (TEXTS[mistake["row"]], LABELS[mistake["row"]]) == (mistake["text"], mistake["label"])
        assert mistake["predicted"] != mistake["label"]
        assert mistake["probability"] >= 0.5
    confidence = [mistake["probability"] for mistake in report.mistakes]
    assert confidence == sorted(confidence, reverse=True)


def test_the_calibration_error_is_the_gap_between_confidence_and_truth():
    def error(confidence, right):
        return calibration_error(calibration_bins(np.array(confidence), np.array(right)))

    assert error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0)
    assert error([0.9] * 10, [True] * 4 + [False] * 6) == pytest.approx(0.5)
    assert error([1.0, 1.0, 0.6, 0.6], [True, True, False, False]) == pytest.approx(0.3)


def test_the_report_of_many_classes():
    texts = [
        f"{word} {filler}"
        for word in ("red", "green", "blue")
        for filler in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    ]
    labels = [text.split()[0] for text in texts]
    report = fit_and_report(TextClassifier(WordHash()), texts, labels, baselines=False, seed=1)
    assert report.positive is None
    assert report.f1(report.entries[0].held_out) > 0.6
    assert report.entries[0].folds is None


def test_the_report_refuses_one_class():
    with pytest.raises(InputError, match="training rows of 2 are all '1'"):
        fit_and_report(TextClassifier(WordHash()), ["a", "b"], ["1", "1"])
    held_out = train_test_split(np.arange(10), test_size=0.2, random_state=42)[1][0]
    labels = ["1" if i == held_out else "0" for i in range(10)]
    with pytest.raises(InputError, match="training rows of 10 are all"):
        fit_and_report(TextClassifier(WordHash()), ["a b"] * 10, labels)
