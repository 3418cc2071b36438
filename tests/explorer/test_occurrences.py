"""What the explorer computes, without a server: cosines, maps and senses, against plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra server")

from elmokit.server.explorer import Reading, nearest, places_of, planes

TEXTS = ["I read it.", "Read the letter!", "", "They read, and read; nothing else."]


@pytest.fixture(scope="module")
def readings(elmo):
    return read(elmo, TEXTS)


def read(elmo, texts):
    found = elmo.encode_words(texts, layers="each")
    return [Reading.of(elmo, one.words, one.offsets, one.vectors) for one in found]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_views_are_the_layers_and_then_the_mix(elmo, readings):
    each = elmo.encode_words(TEXTS, layers="each")
    mixed = elmo.encode_words(TEXTS, layers="mix")
    for reading, layers, mix in zip(readings, each, mixed, strict=True):
        expected = np.concatenate([layers.vectors, mix.vectors[None]])
        lengths = np.linalg.norm(expected, axis=-1, keepdims=True)
        np.testing.assert_allclose(reading.views, expected / lengths, atol=1e-6)
        assert reading.words == layers.words


def test_places_pay_no_heed_to_capitals(readings):
    assert places_of("READ", readings) == [(0, 1), (1, 0), (3, 1), (3, 4)]
    assert places_of("nowhere", readings) == []


@pytest.mark.parametrize("same_word", [True, False])
def test_nearest_are_all_others_by_falling_cosine(elmo, readings, same_word):
    found = nearest((0, 1), readings, k=100, same_word=same_word)
    each = elmo.encode_words(TEXTS, layers="each")
    assert len(found) == elmo.n_layers + 1
    for layer, neighbours in enumerate(found[: elmo.n_layers]):
        scores = [score for _, score in neighbours]
        assert scores == sorted(scores, reverse=True)
        for (sentence, word), score in neighbours:
            other = each[sentence].vectors[layer, word]
            assert score == pytest.approx(cosine(each[0].vectors[layer, 1], other), abs=1e-5)
    places = {place for place, _ in found[0]}
    others = {(1, 0), (3, 1), (3, 4)}
    assert places == others if same_word else places > others
    words = {readings[sentence].words[word] for sentence, word in places}
    assert not words & {".", "!", ",", ";"}


def test_nearest_of_a_word_alone_is_nothing(elmo):
    alone = read(elmo, ["word"])
    assert nearest((0, 0), alone) == [[]] * (elmo.n_layers + 1)


def test_one_word_has_one_vector_in_the_first_layer_only(readings):
    first, *_, last = nearest((0, 1), readings, k=1, same_word=True)
    assert first[0][1] == pytest.approx(1.0, abs=1e-5)
    assert last[0][1] < 0.999


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_a_plane_is_what_scikit_learn_finds(n, seed):
    decomposition = pytest.importorskip("sklearn.decomposition")
    vectors = np.random.default_rng(seed).standard_normal((n, 8))
    (points,), (explained,) = planes(vectors[None])
    reference = decomposition.PCA(2, svd_solver="full").fit(vectors)
    assert explained == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-4)
    np.testing.assert_allclose(np.abs(points), np.abs(reference.transform(vectors)), atol=1e-3)


def test_a_plane_of_equal_vectors_is_one_point():
    points, _ = planes(np.ones((2, 5, 8), np.float32) + np.float32([[[0]], [[1e-7]]]))
    assert not points.any()


def test_planes_lie_as_the_next_one_does():
    rng = np.random.default_rng(3)
    last = rng.standard_normal((12, 6)) * [5, 3, 0.1, 0.1, 0.1, 0.1]
    turned = last[:, [1, 0, 2, 3, 4, 5]] * [-1, 1, 1, 1, 1, 1]  # the same points, seen from elsewhere
    points, _ = planes(np.stack([turned, last]))
    np.testing.assert_allclose(points[0], points[1], atol=1e-8)
