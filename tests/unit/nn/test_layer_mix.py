"""The learned sum of layers against the formula, with the weights of bilm-tf's own formula test."""

import numpy as np
import pytest
import torch

from elmokit.nn import LayerMixer


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("weights", "gamma"), [([0.1, 0.3, 0.5], 1.1), ([0.2, 0.4, 0.6], 0.88)])
def test_formula(weights, gamma, layer_norm):
    rng = np.random.default_rng(0)
    layers, mask = rng.normal(size=(3, 2, 4, 6)), np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
    mixer = LayerMixer(3, layer_norm=layer_norm).double()
    mixer.load_state_dict(
        {"weights": torch.tensor(weights, dtype=torch.float64), "gamma": torch.tensor(gamma, dtype=torch.float64)}
    )
    mixed = mixer(torch.tensor(layers), torch.tensor(mask)).detach().numpy()
    shares = np.exp(weights) / np.exp(weights).sum()
    for row, length in enumerate([3, 2]):
        own = layers[:, row, :length]
        if layer_norm:
            own = np.stack([(layer - layer.mean()) / np.sqrt(layer.var() + 1e-12) for layer in own])
        np.testing.assert_allclose(mixed[row, :length], gamma * np.einsum("l,ltd->td", shares, own), rtol=1e-9)
        assert not mixed[row, length:].any()
