"""Layers of a frozen biLM → scores of tags: a learned layer mix, a BiLSTM, a CRF (Peters et al. 2018, §4 and A.3).

Each layer is first brought to mean 0 and standard deviation 1 by what its dimensions were in training: layers differ
in scale by orders, and the mix shall begin fair. The BiLSTM reads packed sentences, so padding is never seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.crf import CRF, Constraints


class TagNetwork(nn.Module):
    """What a tagger learns.

    Args:
        n_layers: L.
        width: of a word's vector, 2P.
        n_tags: K.
        hidden_width: of the LSTM in each direction.
        n_lstm_layers: of the BiLSTM.
        dropout: on its way in and out.
    """

    def __init__(
        self, n_layers: int, width: int, n_tags: int, *, hidden_width: int, n_lstm_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(n_layers, width))
        self.register_buffer("scale", torch.ones(n_layers, width))
        self.mix = LayerMixer(n_layers)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            width,
            hidden_width,
            n_lstm_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if n_lstm_layers > 1 else 0.0,
        )
        self.emissions = nn.Linear(2 * hidden_width, n_tags)
        self.crf = CRF(n_tags)

    def forward(self, layers: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Mean negative log likelihood per sentence.

        Args:
            layers: of frozen vectors. Shape (L, B, T, 2P).
            tags: the true ones. Shape (B, T).
            mask: real words. Shape (B, T).

        Returns:
            the loss, in nats.
        """
        loss: Tensor = self.crf(self.scores(layers, mask), tags, mask)
        return loss.mean()

    def scores(self, layers: Tensor, mask: Tensor) -> Tensor:
        """A score per word and tag. Shapes as in `forward`; returns (B, T, K)."""
        standard = (layers - self.mean[:, None, None]) / self.scale[:, None, None]
        x = self.dropout(self.mix(standard, mask))
        packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        found: Tensor = self.emissions(self.dropout(hidden))
        return found

    @torch.no_grad()
    def best(self, layers: Tensor, mask: Tensor, constraints: Constraints | None) -> list[list[int]]:
        """The best tags of each sentence. Shapes as in `forward`."""
        return self.crf.best(self.scores(layers, mask), mask, constraints)
