"""The layers of a word → one vector: γ · Σ softmax(w)ₗ · hₗ (Peters et al. 2018, equation 1)."""

import torch
from torch import Tensor, nn


class LayerMixer(nn.Module):
    """A learned weighted sum of layers.

    With `layer_norm`, each layer is first normalised over the real words and dimensions of each text. The original
    normalises over the whole batch, which makes a text's vectors depend on its neighbours.
    """

    def __init__(self, n_layers: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        """Mix layers (L, B, T, 2P) to (B, T, 2P), zero where the mask (B, T) of real words is False."""
        real = mask[..., None].to(layers.dtype)
        if self.layer_norm:
            count = (real.sum(dim=1, keepdim=True) * layers.shape[-1]).clamp(min=1.0)
            mean = (layers * real).sum(dim=(2, 3), keepdim=True) / count
            variance = (((layers - mean) * real) ** 2).sum(dim=(2, 3), keepdim=True) / count
            layers = (layers - mean) / torch.sqrt(variance + 1e-12)
        shares = torch.softmax(self.weights, dim=0).to(layers.dtype)
        return self.gamma.to(layers.dtype) * torch.einsum("l,lbtd->btd", shares, layers) * real
