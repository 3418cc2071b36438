import numpy as np
import pytest

from elmokit.config import LayerMix
from elmokit.runtime.pooling import mix_layers


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
