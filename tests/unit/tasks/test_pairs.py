"""Pairs learn classes and degrees, keep what they learned, and know their model."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile, TextError
from elmokit.tasks.pairs import DegreeScores, SentencePairs, check_degrees, pair_features, score_degrees
from unit.tasks.encoders import FILLER, WordHash


def pairs(n, seed=0):
    """Two texts of six words each, and how many of them they share."""
    random = np.random.default_rng(seed)
    first, second, shared = [], [], []
    for _ in range(n):
        words = random.permutation(FILLER)
        k = int(random.integers(0, 7))
        first.append(" ".join(words[:6]))
        second.append(" ".join(random.permutation([*words[:k], *words[6 : 12 - k]])))
        shared.append(k)
    return first, second, shared


FIRST, SECOND, SHARED = pairs(300)
SAME = ["1" if k > 3 else "0" for k in SHARED]


@pytest.fixture(scope="module")
def classes():
    return SentencePairs(WordHash()).fit(FIRST, SECOND, SAME)


@pytest.fixture(scope="module")
def degrees():
    return SentencePairs(WordHash(), kind="degrees").fit(FIRST, SECOND, SHARED)


def test_classes_are_learned(classes):
    first, second, shared = pairs(150, seed=1)
    truth = ["1" if k > 3 else "0" for k in shared]
    assert classes.classes_ == ("0", "1")
    assert classes.evaluate(first, second, truth).accuracy > 0.8
    probabilities = classes.predict_proba(first, second)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert classes.predict(first, second) == [classes.classes_[i] for i in probabilities.argmax(1)]


def test_degrees_are_learned(degrees):
    first, second, shared = pairs(150, seed=1)
    scores = degrees.evaluate(first, second, shared)
    assert scores.pearson > 0.85
    assert scores.n_pairs == 150
    predicted = degrees.predict(first, second)
    assert scores.mean_squared_error == pytest.approx(np.mean((np.array(predicted) - shared) ** 2))
    assert scores.spearman > 0.8


def test_numbers_as_classes_come_back_as_numbers():
    made = SentencePairs(WordHash(), C=1.0).fit(FIRST, SECOND, np.array([int(k > 3) for k in SHARED]))
    assert {type(label) for label in made.predict(FIRST, SECOND)} == {int}


@pytest.mark.parametrize("name", ["classes", "degrees"])
def test_a_prediction_depends_on_its_pair_alone(name, request):
    made = request.getfixturevalue(name)
    whole = made.predict(FIRST[:40], SECOND[:40])
    alone = [made.predict([a], [b])[0] for a, b in zip(FIRST[:40], SECOND[:40], strict=True)]
    assert whole == pytest.approx(alone) if name == "degrees" else whole == alone
    assert made.predict([], []) == []


def test_without_direction_a_pair_and_its_reverse_are_the_same(degrees):
    assert degrees.predict(FIRST, SECOND) == pytest.approx(degrees.predict(SECOND, FIRST))
    directed = SentencePairs(WordHash(), kind="degrees", parts=["both"]).fit(FIRST, SECOND, SHARED)
    assert directed.predict(FIRST, SECOND) != pytest.approx(directed.predict(SECOND, FIRST))


def test_a_text_in_many_pairs_is_encoded_once():
    elmo = WordHash()
    SentencePairs(elmo, C=1.0).fit(["same"] * 20, [f"{i % 4}" for i in range(20)], ["a", "b"] * 10)
    assert elmo.n_encoded == 5


def test_progress_counts_distinct_texts():
    said = []
    SentencePairs(WordHash()).features(["a"] * 600, map(str, range(600)), on_progress=lambda *at: said.append(at))
    assert said == [(256, 601), (512, 601), (601, 601)]


@pytest.mark.parametrize("name", ["classes", "degrees"])
def test_what_is_saved_comes_back(name, request, tmp_path):
    made = request.getfixturevalue(name)
    made.save(tmp_path / "m", facts={"label": "same"})
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["pairs.json", "pairs.safetensors"]
    back = SentencePairs.load(tmp_path / "m", WordHash())
    assert back.predict(FIRST, SECOND) == made.predict(FIRST, SECOND)
    assert (back.kind, back.classes_) == (made.kind, made.classes_)
    assert json.loads((tmp_path / "m" / "pairs.json").read_text())["facts"] == {"label": "same"}
    back.save(tmp_path / "again")
    assert (tmp_path / "again/pairs.safetensors").read_bytes() == (tmp_path / "m/pairs.safetensors").read_bytes()


def test_another_model_is_refused(classes, tmp_path):
    classes.save(tmp_path)
    with pytest.raises(CheckpointError, match="same shape but other weights"):
        SentencePairs.load(tmp_path, WordHash(name="other", seed=1))
    with pytest.raises(CheckpointError, match="made differently"):
        SentencePairs.load(tmp_path, WordHash(dim=64))


def test_damaged_files_are_refused(classes, tmp_path):
    with pytest.raises(MissingFile, match=r"pairs\.json"):
        SentencePairs.load(tmp_path, WordHash())
    classes.save(tmp_path)
    data = bytearray((tmp_path / "pairs.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "pairs.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="does not belong"):
        SentencePairs.load(tmp_path, WordHash())
    for text, message in (("{", "not JSON"), ('{"format": 9}', "format 1"), ("[]", "format 1")):
        (tmp_path / "pairs.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            SentencePairs.load(tmp_path, WordHash())


def test_wrong_arguments_are_named():
    elmo = WordHash()
    with pytest.raises(ConfigError, match="'degrees'"):
        SentencePairs(elmo, kind="numbers")
    for parts in ([], ["sum"], "product"):
        with pytest.raises(ConfigError, match="'difference'"):
            SentencePairs(elmo, parts=parts)
    with pytest.raises(InputError, match="2 first texts but 1 second"):
        SentencePairs(elmo).fit(["a", "b"], ["a"], ["1", "0"])
    with pytest.raises(InputError, match="is missing"):
        SentencePairs(elmo).fit(["a", None], ["a", "b"], ["1", "0"])
    with pytest.raises(TextError, match="one str"):
        SentencePairs(elmo).features("a", "b")
    with pytest.raises(InputError, match="call fit"):
        SentencePairs(elmo).predict(["a"], ["b"])
    with pytest.raises(InputError, match="it takes different ones"):
        SentencePairs(elmo, kind="degrees").fit(["a", "b"], ["a", "b"], [1, 1])
    with pytest.raises(InputError, match=r"degrees\[1\] is 'x'"):
        SentencePairs(elmo, kind="degrees").fit(["a", "b"], ["a", "b"], [1, "x"])
    with pytest.raises(InputError, match="leave such rows out"):
        check_degrees([float("nan")], 1)


def test_what_only_one_kind_has_is_told(classes, degrees):
    with pytest.raises(ConfigError, match="call predict"):
        degrees.predict_proba(FIRST, SECOND)
    with pytest.raises(InputError, match="'2'"):
        classes.evaluate(["a"], ["b"], ["2"])
    assert isinstance(degrees.evaluate(FIRST, SECOND, [str(k) for k in SHARED]), DegreeScores)


vectors = arrays(np.float64, (3, 4), elements=st.floats(-10, 10))


@given(vectors, vectors)
def test_features_without_direction_are_symmetric(u, v):
    np.testing.assert_array_equal(pair_features(u, v), pair_features(v, u))
    assert pair_features(u, v, ["both", "product"]).shape == (3, 12)
    np.testing.assert_array_equal(pair_features(u, u)[:, :4], 0)


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=20, unique=True), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlations_do_not_mind_units(truth, scale, shift):
    same = score_degrees(truth, [scale * x + shift for x in truth])
    assert same.pearson == pytest.approx(1, abs=1e-6)
