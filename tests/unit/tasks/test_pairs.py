"""Pairs learn classes and degrees, keep what they learned, and know their model."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile, TextError
from elmokit.files import checksum
from elmokit.tasks.checks import check_pairs, check_scores
from elmokit.tasks.pairs.classifier import SentencePairs, pair_features
from elmokit.tasks.pairs.scorer import SimilarityScores, compare_scores
from unit.tasks.encoders import FILLER, WordHash
from unit.tasks.hostile import hostile


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
PAIRS = list(zip(FIRST, SECOND, strict=True))
SAME = ["1" if k > 3 else "0" for k in SHARED]


def more():
    first, second, shared = pairs(150, seed=1)
    return list(zip(first, second, strict=True)), shared


@pytest.fixture(scope="module")
def classes():
    return SentencePairs(WordHash()).fit(PAIRS, SAME)


@pytest.fixture(scope="module")
def scores():
    return SentencePairs(WordHash(), kind="scores").fit(PAIRS, SHARED)


def test_classes_are_learned(classes):
    new, shared = more()
    truth = ["1" if k > 3 else "0" for k in shared]
    assert classes.classes_.tolist() == ["0", "1"]
    assert classes.evaluate(new, truth).accuracy == classes.score(new, truth) > 0.8
    probabilities = classes.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert classes.predict(new).tolist() == classes.classes_[probabilities.argmax(1)].tolist()


def test_three_classes():
    made = SentencePairs(WordHash(), C=0.1, class_weight="balanced").fit(PAIRS, [k // 3 for k in SHARED])
    assert made.predict_proba(PAIRS[:2]).shape == (2, 3)
    assert made.score(PAIRS, [k // 3 for k in SHARED]) > 0.7


def test_scores_are_learned(scores):
    new, shared = more()
    result = scores.evaluate(new, shared)
    assert result.pearson > 0.85
    assert result.n_pairs == 150
    assert result.mean_squared_error == pytest.approx(np.mean((scores.predict(new) - shared) ** 2))
    assert result.spearman == scores.score(new, shared) > 0.8


def test_numbers_as_classes_come_back_as_numbers():
    made = SentencePairs(WordHash(), C=1.0).fit(PAIRS, np.array([int(k > 3) for k in SHARED]))
    assert {type(label) for label in made.predict(PAIRS).tolist()} == {int}


@pytest.mark.parametrize("name", ["classes", "scores"])
def test_a_prediction_depends_on_its_pair_alone(name, request):
    made = request.getfixturevalue(name)
    whole = made.predict(PAIRS[:40]).tolist()
    alone = [made.predict([pair])[0] for pair in PAIRS[:40]]
    assert whole == pytest.approx(alone) if name == "scores" else whole == alone
    assert made.predict([]).tolist() == []


def test_without_direction_a_pair_and_its_reverse_are_the_same(scores):
    reverse = [(b, a) for a, b in PAIRS]
    assert scores.predict(PAIRS) == pytest.approx(scores.predict(reverse))
    directed = SentencePairs(WordHash(), kind="scores", parts=["both"]).fit(PAIRS, SHARED)
    assert directed.predict(PAIRS) != pytest.approx(directed.predict(reverse))


def test_all_texts_are_encoded_in_one_call_and_each_once():
    elmo = WordHash()
    calls, encode = [], elmo.encode
    elmo.encode = lambda texts, *more, **options: calls.append(len(texts)) or encode(texts, *more, **options)
    SentencePairs(elmo, C=1.0).fit([("same", f"{i % 700}") for i in range(1400)], ["a", "b"] * 700)
    assert calls == [701]


def test_it_is_a_scikit_learn_estimator():
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.model_selection import GridSearchCV, cross_val_score

    made = SentencePairs(WordHash(), C=0.1)
    assert clone(made).get_params() == made.get_params()
    assert is_classifier(made)
    assert is_regressor(SentencePairs(WordHash(), kind="scores"))
    assert cross_val_score(made, PAIRS, SAME, cv=3).mean() > 0.7
    search = GridSearchCV(made, {"parts": [("difference",), ("difference", "product")]}, cv=2).fit(PAIRS, SAME)
    assert search.best_score_ > 0.7


def test_tables_arrays_and_zips_are_pairs(classes):
    frame = pytest.importorskip("pandas").DataFrame({"a": FIRST, "b": SECOND})
    expected = classes.predict(PAIRS[:9]).tolist()
    for some in (frame[:9], np.array(PAIRS[:9]), zip(FIRST[:9], SECOND[:9], strict=True)):
        assert classes.predict(some).tolist() == expected


@pytest.mark.parametrize("name", ["classes", "scores"])
def test_what_is_saved_comes_back(name, request, tmp_path):
    made = request.getfixturevalue(name)
    made.save(tmp_path / "m", metadata={"label": "same"})
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["pairs.json", "pairs.safetensors"]
    back = SentencePairs.load(tmp_path / "m", WordHash())
    assert back.predict(PAIRS).tolist() == made.predict(PAIRS).tolist()
    assert (back.kind, back.classes_.tolist()) == (made.kind, made.classes_.tolist())
    assert json.loads((tmp_path / "m" / "pairs.json").read_text())["metadata"] == {"label": "same"}
    back.save(tmp_path / "again")
    assert (tmp_path / "again/pairs.safetensors").read_bytes() == (tmp_path / "m/pairs.safetensors").read_bytes()


def test_another_model_is_refused_and_the_same_one_elsewhere_is_not(classes, tmp_path):
    classes.save(tmp_path)
    same = WordHash()
    same.source = "elsewhere"
    assert SentencePairs.load(tmp_path, same).predict(PAIRS[:5]).tolist()
    for other in (WordHash(seed=1), WordHash(dim=64)):
        with pytest.raises(CheckpointError, match="other weights"):
            SentencePairs.load(tmp_path, other)


def test_damaged_files_are_refused(classes, tmp_path):
    with pytest.raises(MissingFile, match=r"pairs\.json"):
        SentencePairs.load(tmp_path, WordHash())
    classes.save(tmp_path)
    data = bytearray((tmp_path / "pairs.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "pairs.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="does not belong"):
        SentencePairs.load(tmp_path, WordHash())
    for text in ("{", '{"format": 9}', "[]"):
        (tmp_path / "pairs.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"pairs\.json"):
            SentencePairs.load(tmp_path, WordHash())


@pytest.mark.parametrize("name", ["classes", "scores"])
def test_hostile_values_are_refused_with_the_name_of_the_file(name, request, tmp_path):
    request.getfixturevalue(name).save(tmp_path)
    texts = hostile(tmp_path, "pairs", lambda: SentencePairs.load(tmp_path, WordHash()).predict(PAIRS[:2]))
    assert [text for text in texts if str(tmp_path) not in text] == []


def test_an_array_larger_than_its_head_needs_is_refused_before_it_is_read(classes, tmp_path):
    classes.save(tmp_path)
    config, file = json.loads((tmp_path / "pairs.json").read_text()), tmp_path / "pairs.safetensors"
    n_bytes = 64 << 20
    header = json.dumps({"mean": {"dtype": "F64", "shape": [n_bytes // 8], "data_offsets": [0, n_bytes]}}).encode()
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + n_bytes)
    (tmp_path / "pairs.json").write_text(json.dumps({**config, "arrays_sha256": checksum(file)}))
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"'mean' has the shape \(8388608,\).*at most 256 MiB"):
        SentencePairs.load(tmp_path, WordHash())
    assert tracemalloc.get_traced_memory()[1] < n_bytes // 2
    tracemalloc.stop()


def test_wrong_arguments_are_named():
    elmo = WordHash()
    with pytest.raises(ConfigError, match="'scores'"):
        SentencePairs(elmo, kind="numbers").fit([("a", "b")], [1])
    for parts in ([], ["sum"], "product"):
        with pytest.raises(ConfigError, match="'difference'"):
            SentencePairs(elmo, parts=parts).fit([("a", "b")], ["1"])
    for C in (0, -1, "x", True, None):
        with pytest.raises(ConfigError, match="C is"):
            SentencePairs(elmo, C=C).fit([("a", "b")], ["1"])
    with pytest.raises(InputError, match="2 texts but 1 labels"):
        SentencePairs(elmo).fit([("a", "b"), ("a", "b")], ["1"])
    for y in (None, 3, "ab"):
        with pytest.raises(InputError, match="expected a class or score for each pair"):
            SentencePairs(elmo).fit([("a", "b"), ("a", "c")], y)
    with pytest.raises(InputError, match="call fit"):
        SentencePairs(elmo).predict([("a", "b")])
    for kind in ("classes", "scores"):
        with pytest.raises(InputError, match="different ones are needed"):
            SentencePairs(elmo, kind=kind).fit([("a", "a"), ("b", "b")], [1, 1])
    with pytest.raises(InputError, match=r"scores\[1\] is 'x'"):
        SentencePairs(elmo, kind="scores").fit([("a", "a"), ("b", "b")], [1, "x"])
    with pytest.raises(InputError, match="drop such rows"):
        check_scores([float("nan")], 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("a", "b"), ("a", None)], r"pairs\[1\]\[1\] is missing"),
        ([("a", "b"), (float("nan"), "b")], r"pairs\[1\]\[0\] is missing"),
        ([("a", 3)], r"pairs\[0\]\[1\] is a int"),
        ([("a", "b", "c")], r"pairs\[0\] is .*; expected two texts"),
        (["ab"], r"pairs\[0\] is 'ab'"),
        ([None], r"pairs\[0\] is None"),
        ("ab", "expected a list of pairs"),
        (None, "expected a list of pairs"),
    ],
)
def test_what_is_no_pair_is_named(given, message):
    with pytest.raises((InputError, TextError), match=message):
        check_pairs(given)


def test_what_only_one_kind_has_is_told(classes, scores):
    with pytest.raises(ConfigError, match="call predict"):
        scores.predict_proba(PAIRS)
    with pytest.raises(InputError, match="'2'"):
        classes.evaluate([("a", "b")], ["2"])
    assert isinstance(scores.evaluate(PAIRS, [str(k) for k in SHARED]), SimilarityScores)


vectors = arrays(np.float64, (3, 4), elements=st.floats(-10, 10))


@given(vectors, vectors)
def test_features_without_direction_are_symmetric(u, v):
    np.testing.assert_array_equal(pair_features(u, v), pair_features(v, u))
    assert pair_features(u, v, ["both", "product"]).shape == (3, 12)
    np.testing.assert_array_equal(pair_features(u, u)[:, :4], 0)


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=20, unique=True), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlations_do_not_mind_units(truth, scale, shift):
    same = compare_scores(truth, [scale * x + shift for x in truth])
    assert same.pearson == pytest.approx(1, abs=1e-6)
