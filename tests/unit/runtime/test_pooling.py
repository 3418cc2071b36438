import numpy as np
import pytest

from elmokit.config import LayerMix
from elmokit.encoding import POOLINGS
from elmokit.errors import ConfigError
from elmokit.runtime.pooling import mix_layers, pool, sif_weights

VECTORS = np.array([[1.0, 4.0], [3.0, 2.0], [5.0, 0.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [3, 2]),
        ("max", [5, 4]),
        ("mean+max", [3, 2, 5, 4]),
        ("first", [1, 4]),
        ("last", [5, 0]),
        ("first+last", [1, 4, 5, 0]),
        ("sif", [3, 2]),
    ],
)
def test_pool_by_hand(pooling, expected):
    found = pool(VECTORS, pooling, np.ones(3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected)


def test_sif_by_hand():
    weights = list(sif_weights({"the": 50, "cat": 1, "others": 949, "never": 0}).values())
    np.testing.assert_allclose(weights, [1e-3 / (1e-3 + p) for p in (0.05, 0.001, 0.949, 0)])
    expected = sum(w * v for w, v in zip(weights[:3], VECTORS, strict=True)) / 3
    np.testing.assert_allclose(pool(VECTORS, "sif", np.array(weights[:3])), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_text_without_words_gives_zeros_of_the_right_width(pooling):
    found = pool(np.zeros((0, 6), np.float32), pooling)
    assert found.shape == (6 * (1 + ("+" in pooling)),)
    assert found.dtype == np.float32
    assert not found.any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_vector_is_the_callers_own(pooling):
    vectors = VECTORS.copy()
    pool(vectors, pooling, np.ones(3))[:] = -1
    np.testing.assert_array_equal(vectors, VECTORS)


def test_mix_is_the_formula_of_the_paper():
    layers = np.random.default_rng(0).standard_normal((3, 4, 6))
    weights = (0.1, 0.3, 0.5)
    powers = np.exp(weights)
    expected = 1.1 * np.einsum("l,ltd->td", powers / powers.sum(), layers)
    np.testing.assert_allclose(mix_layers(layers, LayerMix(weights=weights, gamma=1.1)), expected, rtol=1e-12)


def test_mix_with_layer_norm_normalises_each_layer_over_the_text():
    layers = np.random.default_rng(0).standard_normal((2, 5, 4)) * 7 + 3
    expected = 0
    for share, layer in zip((0.4, 0.6), layers, strict=True):
        expected = expected + share * (layer - layer.mean()) / np.sqrt(layer.var() + 1e-12)
    mix = LayerMix(weights=tuple(np.log([0.4, 0.6])), layer_norm=True)
    np.testing.assert_allclose(mix_layers(layers, mix), expected, rtol=1e-12)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_mix_of_no_words_is_empty(layer_norm):
    assert mix_layers(np.zeros((3, 0, 8), np.float32), LayerMix(layer_norm=layer_norm)).shape == (0, 8)


def test_mix_refuses_another_number_of_weights():
    with pytest.raises(ConfigError, match="2 weights"):
        mix_layers(np.zeros((3, 1, 8)), LayerMix(weights=(0.0, 1.0)))
