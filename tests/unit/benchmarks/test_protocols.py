import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from evaluation_sets import SETS, Texts, WordPairs, find_set
from protocols import (
    ElmoEncoder,
    TfidfEncoder,
    best_threshold,
    evaluate,
    pair_features,
    score_texts,
    score_words,
)
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmark_data import BAD, make_sets


class Knowing:
    """An encoder that sees how many bad words there are; its words mean the same in layer 1 only where they do."""

    name = "knowing"

    def texts(self, texts):
        return np.array([[sum(word in BAD for word in text.split()), len(text)] for text in texts], np.float32)

    def pairs(self, first, second):
        return pair_features(self.texts(first), self.texts(second))

    def words(self, sentences, places):
        n = len(sentences) // 2
        random = np.random.default_rng(0)
        noise = random.normal(size=(len(sentences), 4))
        told = np.ones((len(sentences), 4))
        told[n:][1::2] *= -1
        return np.stack([noise, told]).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", ["tweets", "tweets-5", "MR", "SST2", "TREC", "MRPC", "SICK-E", "SICK-R", "STSB"])
def test_sets_of_texts_and_pairs_are_scored(folder, name):
    one = find_set(name)
    figures = evaluate(one, one.read(folder), Knowing())
    assert figures.values[one.metric] > 90
    assert 0 <= evaluate(one, one.read(folder), TfidfEncoder()).values[one.metric] <= 100


def test_counted_words_have_no_vectors_in_context(folder):
    for name in ("WiC", "SCWS"):
        assert evaluate(find_set(name), find_set(name).read(folder), TfidfEncoder()) is None


def test_published_figures_name_their_source():
    assert {one.name for one in SETS if one.published} == {"tweets"}
    assert all(one.published.source for one in SETS if one.published)


def test_the_command_writes_every_figure(folder, tmp_path, monkeypatch, capsys):
    import json

    import quality_sets

    monkeypatch.setattr(
        "sys.argv",
        [
            "q",
            "--data",
            str(folder),
            "--sets",
            "MR,CR,WiC",
            "--variants",
            "mean:mix,max:0",
            "--out",
            str(tmp_path / "out.json"),
        ],
    )
    quality_sets.main()
    written = json.loads((tmp_path / "out.json").read_text())
    assert [(r["set"], r["variant"]) for r in written["results"]] == [
        ("MR", "mean:mix"),
        ("MR", "max:0"),
        ("MR", "TF-IDF"),
        ("WiC", "mean:mix"),
    ]
    assert written["skipped"][0]["set"] == "CR"
    assert "custrev.all" in capsys.readouterr().out


def test_labels_without_sense_are_not_learned():
    """What sees the tested rows in any way would find more than chance in 300 features of 200 rows."""
    random = np.random.default_rng(0)

    class Noise(Knowing):
        def texts(self, texts):
            return random.normal(size=(len(texts), 300)).astype(np.float32)

    examples = Texts([""] * 200, random.integers(0, 2, size=200).astype(str), None)
    figures = score_texts(Noise(), examples, n_folds=10, class_weight=None, seed=0)
    assert 38 < figures.values["accuracy"] < 62


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=80, deadline=None)
def test_no_threshold_is_better(pairs):
    values, truth = np.array([float(v) for v, _ in pairs]), np.array([t for _, t in pairs])
    share, threshold = best_threshold(values, truth)
    assert share == pytest.approx(((values > threshold) == truth).mean())
    assert share == pytest.approx(max(((values > edge - 0.5) == truth).mean() for edge in range(8)))


def test_the_layer_is_chosen_on_the_dev_part(folder):
    figures = score_words(Knowing(), find_set("WiC").read(folder))
    assert figures.chosen["layer"] == "1", "of equal figures the plain one is taken"
    ways = ("", " centred", " without 3 axes", " without 10 axes")
    layers = [f"accuracy, layer {name}{way}" for name in ("0", "1", "mix", "top alone") for way in ways]
    assert set(figures.values) == {"accuracy", *layers}
    assert figures.n_test == 8


def test_rated_words_are_judged_by_the_mean_of_the_layers():
    sentences = [["a"]] * 6
    examples = WordPairs(sentences, np.zeros(6, int), np.array([9.0, 5.0, 1.0]), None)

    class Turned(Knowing):
        def words(self, sentences, places):
            angles = np.array([0, 0, 0, 0.1, 0.5, 1.5])
            return np.stack([np.cos(angles), np.sin(angles)], axis=1)[None].astype(np.float32)

    assert score_words(Turned(), examples).values["Spearman"] == pytest.approx(100)


def test_counted_pairs_are_cosine_and_difference():
    first, second = ["so good a day", "bad phone"], ["a good phone", "so bad"]
    counts = TfidfVectorizer(sublinear_tf=True).fit([*first, *second])
    u, v = counts.transform(first).toarray(), counts.transform(second).toarray()
    ours = TfidfEncoder().pairs(first, second)
    np.testing.assert_allclose(ours, np.stack([(u * v).sum(1), np.abs(u - v).sum(1)], axis=1), rtol=1e-5)


def test_the_word_that_is_meant_is_taken_from_all_layers():
    from elmokit.checkpoints import Checkpoint
    from elmokit.config import BiLSTMConfig, ElmoConfig
    from elmokit.elmo import Elmo

    config = ElmoConfig(projection_width=4, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=8))
    random = np.random.default_rng(0)
    tensors = {name: random.normal(size=shape).astype(np.float32) for name, shape in config.tensor_shapes().items()}
    elmo = Elmo(Checkpoint(config, tensors, words=("<S>", "</S>", "<UNK>", "cat"), name="tiny"))
    encoder = ElmoEncoder(elmo)
    assert encoder.name == "tiny, mean, layers all"
    sentences = [["a", "cat"], ["cat"]]
    vectors = encoder.words(sentences, np.array([1, 0]))
    expected = elmo.encode_words(sentences, layers="each")
    np.testing.assert_array_equal(vectors[:, 0], expected[0].vectors[:, 1])
    np.testing.assert_array_equal(vectors[:, 1], expected[1].vectors[:, 0])
    assert encoder.pairs(["a cat"], ["cat"]).shape == (1, 2 * 3 * 8)


def test_a_common_part_is_taken_off_before_comparing():
    """Vectors that differ little beside what all share: centred, they tell the meanings apart."""
    random = np.random.default_rng(0)
    n = 60
    truth = np.arange(n) % 2 == 0
    parts = np.array(["train"] * 20 + ["dev"] * 10 + ["test"] * 30)

    class Shared(Knowing):
        def words(self, sentences, places):
            first = random.normal(size=(n, 8))
            second = np.where(truth[:, None], first, -first) + random.normal(size=(n, 8)) * 0.2
            lengths = random.uniform(0.1, 10, size=(2 * n, 1))
            return (1e3 + np.concatenate([first, second]) * lengths)[None].astype(np.float32)

    figures = score_words(Shared(), WordPairs([["a"]] * 2 * n, np.zeros(2 * n, int), truth, parts))
    assert "centred" in figures.chosen["layer"]
    assert figures.values["accuracy"] > 85 > figures.values["accuracy, layer 0"]
