"""Word vectors of all layers → a learned layer mix → a BiLSTM → attention or maximum over words → classes (`torch`).

Texts are padded per batch and packed, and padding is masked out of the pooling, so a text's score depends on its own
words alone (up to rounding).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elmokit.errors import ConfigError
from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.classify.torch_head import Array, Collate, HeadDefaults, TorchHead

Over = Literal["attention", "max"]
_HIDDEN = 64


def pad_layers(texts: Sequence[NDArray[np.floating]]) -> tuple[Tensor, Tensor]:
    """B arrays (L, T, 2P), each with its own T → layers (L, B, T, 2P), zero behind the words, and their mask (B, T)."""
    n_layers, _, width = texts[0].shape
    longest = max(1, *(text.shape[1] for text in texts))
    layers = np.zeros((n_layers, len(texts), longest, width), np.float32)
    mask = np.zeros((len(texts), longest), np.bool_)
    for row, text in enumerate(texts):
        layers[:, row, : text.shape[1]] = text
        mask[row, : text.shape[1]] = True
    return torch.from_numpy(layers), torch.from_numpy(mask)


class _Network(nn.Module):
    def __init__(self, n_layers: int, width: int, hidden_width: int, n_classes: int, over: Over) -> None:
        super().__init__()
        self.over = over
        self.mix = LayerMixer(n_layers, layer_norm=True)
        self.dropout = nn.Dropout(0.4)
        self.lstm = nn.LSTM(width, hidden_width, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * hidden_width, 1)
        self.classes = nn.Linear(2 * hidden_width, n_classes)

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:  # (L, B, T, 2P), (B, T) → (B, K)
        x = self.dropout(self.mix(layers, mask))  # (B, T, 2P)
        lengths = mask.sum(1).clamp(min=1)  # a text without words is one position of zeros
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
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
        over: how words become one vector: "attention" or "max".
        class_weight, epochs, batch_size, seed, show_progress: see `TorchHead`.

    Raises:
        ConfigError: in `fit`, an unknown `over`.

    Example:
        >>> texts = [np.full((1, n, 2), n, np.float16) for n in (1, 2)]
        >>> BiLSTMHead(epochs=1).fit(texts, ["a", "b"]).predict_proba(texts).shape
        (2, 2)
    """

    over: Over = "attention"

    defaults: ClassVar[HeadDefaults] = HeadDefaults(n_epochs=15, patience=0.15, least_steps=600, learning_rate=3e-3)

    def _make_network(self, X: Sequence[Array], n_classes: int) -> nn.Module:
        if self.over not in ("attention", "max"):
            raise ConfigError(f'over is {self.over!r}; expected "attention" or "max".')
        n_layers, _, width = X[0].shape
        return _Network(n_layers, width, _HIDDEN, n_classes, self.over)

    def _collate(self, X: Sequence[Array], network: nn.Module) -> Collate:  # noqa: ARG002
        return lambda rows: pad_layers([X[int(row)] for row in rows])

    def restore(self, arrays: Mapping[str, Array], n_classes: int) -> BiLSTMHead:
        """Set the weights by name; the classes are 0 … n_classes - 1."""
        gates, width = arrays["lstm.weight_ih_l0"].shape
        network = _Network(len(arrays["mix.weights"]), width, gates // 4, n_classes, self.over)
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        self.network_, self.classes_ = network.eval(), np.arange(n_classes)
        return self
