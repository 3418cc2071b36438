"""Word vectors of all layers → a learned layer mix → a BiLSTM → attention or maximum over words → classes (`torch`).

Texts are padded per batch and packed, and padding is masked out of the pooling, so a text's score depends on its own
words alone (up to rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from elmokit.errors import ConfigError
from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.classify.torch_head import Array, TorchHead
from elmokit.tasks.torch_parts import PackedLSTM, pad_layers

_HIDDEN = 64


class _Network(nn.Module):
    def __init__(self, n_layers: int, width: int, n_classes: int, over: str) -> None:
        super().__init__()
        self.over = over
        self.mix = LayerMixer(n_layers, layer_norm=True)
        self.dropout = nn.Dropout(0.4)
        self.lstm = PackedLSTM(width, _HIDDEN)
        self.attention = nn.Linear(2 * _HIDDEN, 1)
        self.classes = nn.Linear(2 * _HIDDEN, n_classes)

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:  # (L, B, T, 2P), (B, T) → (B, K)
        x = self.dropout(self.mix(layers, mask))  # (B, T, 2P)
        lengths = mask.sum(1).clamp(min=1)  # a text without words is one position of zeros
        hidden = self.lstm(x, lengths)  # (B, T, 2H)
        real = torch.arange(mask.shape[1])[None] < lengths[:, None]  # (B, T)
        if self.over == "max":
            pooled = hidden.masked_fill(~real[..., None], -torch.inf).amax(1)
        else:
            scores = self.attention(torch.tanh(hidden))[..., 0].masked_fill(~real, -torch.inf)
            pooled = (torch.softmax(scores, 1)[..., None] * hidden).sum(1)
        logits: Tensor = self.classes(self.dropout(pooled))
        return logits


@dataclass(eq=False, repr=False)
class BiLSTMHead(TorchHead):
    """A BiLSTM over word vectors.

    Args:
        over: how words become one vector: "attention" or "max"; ConfigError in `fit` for another.
        class_weight, epochs, batch_size, seed, show_progress: see `TorchHead`.

    Example:
        ``TextClassifier(elmo, head=BiLSTMHead(over="max"))``
    """

    over: Literal["attention", "max"] = "attention"

    default_epochs: ClassVar[int] = 15
    least_steps: ClassVar[int] = 600
    patience: ClassVar[float] = 0.15
    rates: ClassVar[dict[str, float]] = {"learning_rate": 3e-3}

    def _make_network(self, X: Sequence[Array], n_classes: int) -> nn.Module:
        if self.over not in ("attention", "max"):
            raise ConfigError(f'over is {self.over!r}; expected "attention" or "max".')
        n_layers, _, width = X[0].shape
        return _Network(n_layers, width, n_classes, self.over)

    def _inputs(self, network: Any, X: Sequence[Array], rows: Array) -> tuple[Tensor, ...]:  # noqa: ARG002
        return pad_layers([X[int(row)] for row in rows])
