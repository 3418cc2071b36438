"""Every head learns, repeats itself, comes back from its folder, and knows a text by itself alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from elmokit.errors import CheckpointError, ConfigError
from elmokit.features import WordVectors
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.csr import CSR
from elmokit.tasks.joined import Beside, Joined, JoinedHead
from elmokit.tasks.logistic import LogisticRegression
from elmokit.tasks.report import fit_and_report
from elmokit.tasks.threshold import best_threshold
from unit.tasks.encoders import WordHash, messages

TEXTS, LABELS = messages(240)


class Words(WordHash):
    """As `WordHash`, with word vectors: three layers that differ in scale."""

    def encode_words_stream(self, texts, *, layers, show_progress):
        assert layers == "each"
        for text in texts:
            words = text.lower().split()
            vectors = np.array([self._word(word) for word in words]).reshape(len(words), self.config.dim)
            yield WordVectors(tuple(words), None, np.stack([vectors, 10 * vectors, -vectors]).astype(np.float32))


SETTINGS = {
    "joined": {"join": "tfidf", "C": 10.0},
    "votes": {"head": "votes", "C": 1.0},
    "mlp": {"head": "mlp"},
    "bilstm": {"head": "bilstm"},
    "threshold": {"threshold": "f1", "C": 1.0},
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
    np.testing.assert_allclose(loaded.predict_proba(TEXTS[:20]), learned.predict_proba(TEXTS[:20]), atol=1e-9)
    assert loaded.predict(TEXTS) == learned.predict(TEXTS)
    assert (loaded.head, loaded.settings.join) == (learned.head, learned.settings.join)
    assert loaded.threshold_ == learned.threshold_
    with pytest.raises(CheckpointError, match="other weights"):
        TextClassifier.load(tmp_path, Words(seed=1))


@pytest.mark.parametrize("name", ["mlp", "bilstm"])
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
    for settings in ({"head": "mlp"}, {"join": "tfidf", "C": 10.0}):
        weights = {"red": 1.0, "green": 2.0, "blue": 3.0}
        classifier = TextClassifier(Words(), class_weight=weights, **settings).fit(texts, labels)
        assert classifier.evaluate(texts, labels).accuracy > 0.9


def test_the_report_judges_every_head(learned):
    report = fit_and_report(learned.twin(), TEXTS, LABELS, baselines=False)
    assert report.f1(report.entries[0].held_out) > 0.7


def test_terms_of_held_out_rows_are_not_learned():
    head = JoinedHead(C=1.0)
    data = Joined(np.eye(6, dtype=np.float32), ["good one", "good two", "bad one", "bad two", "zzz", "zzz"])
    head.fit(data[np.arange(4)], [1, 1, 0, 0])
    assert not any("z" in term for term in head.state()[0]["terms"])


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_beside_is_the_matrix_of_both_blocks(n, d, m, seed):
    rng = np.random.default_rng(seed)
    dense, full = rng.normal(size=(n, d)), rng.normal(size=(n, m)) * (rng.random((n, m)) < 0.5)
    rows, columns = np.nonzero(full)
    sparse = CSR(full[rows, columns], columns, np.searchsorted(rows, np.arange(n + 1)), m)
    both, whole = Beside(dense, sparse), np.hstack([dense, full])
    weights, values = rng.normal(size=(d + m, 2)), rng.normal(size=(n, 2))
    np.testing.assert_allclose(both @ weights, whole @ weights, atol=1e-12)
    np.testing.assert_allclose(both.transposed_product(values), whole.T @ values, atol=1e-12)
    assert both.shape == whole.shape


def test_logistic_regression_learns_the_same_from_blocks():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 6)), rng.integers(0, 2, 80)
    sparse = CSR(X[:, 2:].ravel(), np.tile(np.arange(4), 80), np.arange(0, 321, 4), 4)
    whole = LogisticRegression(C=1.0, tolerance=1e-8).fit(X, y)
    blocks = LogisticRegression(C=1.0, tolerance=1e-8).fit(Beside(X[:, :2], sparse), y)
    np.testing.assert_allclose(blocks.coef_, whole.coef_, atol=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30))
def test_no_threshold_gives_a_better_f1(rows):
    truth, p = np.array([t for t, _ in rows]), np.array([n / 8 for _, n in rows])
    found = best_threshold(truth, p)

    def f1(threshold):
        return f1_score(truth, p >= threshold, zero_division=0.0)

    if truth.any():
        assert f1(found) == pytest.approx(max(f1(t) for t in np.arange(-1, 19) / 16))


def test_what_makes_no_sense_is_refused():
    for settings, message in (
        ({"head": "tree"}, "no head is called 'tree'"),
        ({"join": "words"}, "joined with"),
        ({"head": "mlp", "join": "tfidf"}, "logistic head only"),
        ({"threshold": 1.5}, "threshold is 1.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            TextClassifier(Words(), **settings)
    with pytest.raises(ConfigError, match="for two classes"):
        TextClassifier(Words(), threshold="f1", C=1.0).fit(["a", "b", "c"], ["a", "b", "c"])
    with pytest.raises(ConfigError, match="needs word vectors"):
        TextClassifier(WordHash(), head="bilstm").fit(TEXTS, LABELS)
