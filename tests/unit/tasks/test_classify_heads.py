"""Every head learns, repeats itself, comes back from its folder, and knows a text by itself alone."""

import numpy as np
import pytest
from sklearn.base import clone

from elmokit.errors import CheckpointError, ConfigError
from elmokit.features import WordVectors
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.classify.evaluate import fit_and_report
from unit.tasks.encoders import WordHash, messages

TEXTS, LABELS = messages(240)


class Words(WordHash):
    """As `WordHash`, with word vectors: three layers that differ in scale."""

    def encode_words_stream(self, texts, *, layers, show_progress=None):
        assert layers == "each"
        for text in texts:
            words = text.lower().split()
            vectors = np.array([self._word(word) for word in words]).reshape(len(words), self.config.dim)
            yield WordVectors(tuple(words), None, np.stack([vectors, 10 * vectors, -vectors]).astype(np.float32))


SETTINGS = {
    "joined": {"join": "tfidf", "C": 10.0},
    "bilstm": {"head": "bilstm"},
    "threshold": {"threshold": 0.4, "C": 1.0},
}


@pytest.fixture(scope="module", params=SETTINGS)
def learned(request):
    return TextClassifier(Words(), **SETTINGS[request.param]).fit(TEXTS, LABELS)


def test_it_learns(learned):
    texts, labels = messages(100, seed=1)
    assert learned.evaluate(texts, labels).f1_of("1") > 0.8
    np.testing.assert_allclose(learned.predict_proba(texts).sum(1), 1)


def test_a_texts_score_does_not_depend_on_its_batch(learned):
    texts = [*TEXTS[:5], "a " * 60, "", "unknown"]
    together = learned.predict_proba(texts)
    alone = np.concatenate([learned.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(learned.predict_proba(texts[::-1])[::-1], together, atol=1e-6)


def test_saved_and_loaded_it_predicts_the_same(tmp_path, learned):
    learned.save(tmp_path)
    loaded = TextClassifier.load(tmp_path, Words())
    np.testing.assert_allclose(loaded.predict_proba(TEXTS[:20]), learned.predict_proba(TEXTS[:20]), atol=1e-6)
    assert loaded.predict(TEXTS).tolist() == learned.predict(TEXTS).tolist()
    assert (loaded.head_name, loaded.join) == (learned.head_name, learned.join)
    assert loaded.threshold == learned.threshold
    with pytest.raises(CheckpointError, match="other weights"):
        TextClassifier.load(tmp_path, Words(seed=1))


@pytest.mark.parametrize("name", ["bilstm"])
def test_a_seed_gives_one_result_and_leaves_the_callers_randomness_alone(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (
        TextClassifier(Words(), seed=seed, **SETTINGS[name]).fit(TEXTS[:60], LABELS[:60]).predict_proba(TEXTS[:9])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4
    assert torch.equal(torch.get_rng_state(), state)


def test_the_bilstm_hears_the_order_of_words():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(["good", "bad", "thing"])) for _ in range(120)]
    labels = [int(text.index("good") < text.index("bad")) for text in texts]
    bilstm = TextClassifier(Words(), head="bilstm").fit(texts, labels)
    assert bilstm.evaluate(texts, labels).accuracy > 0.9
    assert TextClassifier(Words()).fit(texts, labels).evaluate(texts, labels).accuracy < 0.7


def test_three_classes_and_given_weights():
    texts = [f"{word} {i}" for i in range(12) for word in ("red", "green", "blue")]
    labels = [text.split()[0] for text in texts]
    for settings in ({"head": "bilstm"}, {"join": "tfidf", "C": 10.0}):
        weights = {"red": 1.0, "green": 2.0, "blue": 3.0}
        classifier = TextClassifier(Words(), class_weight=weights, **settings).fit(texts, labels)
        assert classifier.evaluate(texts, labels).accuracy > 0.9


def test_the_report_judges_every_head(learned):
    report = fit_and_report(clone(learned), TEXTS, LABELS, baselines=False)
    assert report.f1(report.entries[0].held_out) > 0.7


def test_terms_are_those_of_the_training_texts():
    classifier = TextClassifier(Words(), join="tfidf", C=1.0).fit(["good", "bad"] * 3, [1, 0] * 3)
    terms = classifier.pipeline_["features"].transformer_list[1][1].vocabulary_
    assert "good" in terms
    assert not any("z" in term for term in terms)
    assert classifier.predict_proba(["zzz"]).shape == (1, 2)


def test_the_positive_class_can_be_chosen(tmp_path):
    one, other = (TextClassifier(Words(), C=1.0, threshold=0.9, positive=p).fit(TEXTS, LABELS) for p in ("0", "1"))
    p = one.predict_proba(TEXTS)
    assert one.predict(TEXTS).tolist() == np.where(p[:, 0] >= 0.9, "0", "1").tolist()
    assert other.predict(TEXTS).tolist() == np.where(p[:, 1] >= 0.9, "1", "0").tolist()
    one.save(tmp_path)
    assert TextClassifier.load(tmp_path, Words()).predict(TEXTS).tolist() == one.predict(TEXTS).tolist()
    assert fit_and_report(one, TEXTS, LABELS, baselines=False).positive == "0"
    with pytest.raises(ConfigError, match="positive is 'x'"):
        TextClassifier(Words(), positive="x").fit(TEXTS, LABELS)


def test_what_makes_no_sense_is_refused():
    for settings, message in (
        ({"head": "tree"}, "head is 'tree'"),
        ({"join": "words"}, "join is 'words'"),
        ({"head": "bilstm", "join": "tfidf"}, "logistic head only"),
        ({"C": -1.0}, "C is -1.0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            TextClassifier(Words(), **settings).fit(TEXTS, LABELS)
