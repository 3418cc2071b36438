"""A table of frequent words' vectors, added to what the character CNN says of them.

A small character CNN cannot hold what thousands of words mean; a table can, and tied to the softmax it costs no bytes.
Rare and misspelt words have their characters alone. A spelling that the table lacks takes the row of one that differs
in the case of A to Z only. Rows are found by character ids, so the module needs no strings.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elmokit.errors import ConfigError
from elmokit.text.char_ids import char_id_multipliers, table_keys


class WordTable(nn.Module):
    """One row per word of the vocabulary, scaled by a gain per component; ConfigError without a vocabulary.

    `<S>`, `</S>` and `<UNK>` have rows for the softmax alone. `dropout` is the probability with which a word's row is
    left out in training, so that its characters learn it too.
    """

    keys: Tensor
    rows: Tensor
    multipliers: Tensor

    def __init__(self, words: Sequence[str] | None, width: int, *, max_characters: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not words:
            raise ConfigError("a model with a word table needs its vocabulary.")
        self.weight = nn.Parameter(torch.randn(len(words), width) * width**-0.5)
        self.gain = nn.Parameter(torch.full((width,), 3.0))  # rows begin at the size of the char-CNN's vectors
        self.dropout = dropout
        keys, rows = table_keys(words, max_characters)
        multipliers = char_id_multipliers(max_characters)
        for name, array in (("keys", keys), ("rows", rows), ("multipliers", multipliers)):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, char_ids: Tensor, vectors: Tensor) -> Tensor:
        """Token vectors of words, (N, P), from their ids (N, C) and the character CNN's output, (N, P) or (N, 2P).

        A word of the table takes the first P and its row, another word the last P.
        """
        P = len(self.gain)
        if not len(self.keys):
            return vectors[:, -P:]
        is_upper = (char_ids > ord("A")) & (char_ids <= ord("Z") + 1)  # ids are bytes plus 1
        rows, known = self._find(char_ids)  # (N,)
        lower_rows, lower_known = self._find(torch.where(is_upper, char_ids + 32, char_ids))
        rows, known = torch.where(known, rows, lower_rows), known | lower_known
        if self.training and self.dropout:
            known = known & (torch.rand(len(known), device=known.device) >= self.dropout)
        added = nn.functional.embedding(rows, self.weight) * self.gain  # (N, P)
        return torch.where(known[:, None], vectors[:, :P] + added, vectors[:, -P:])

    def _find(self, char_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of words, and whether the table has them, (N,) each."""
        hashes = (char_ids.long() * self.multipliers).sum(dim=-1)
        places = torch.searchsorted(self.keys, hashes).clamp(max=len(self.keys) - 1)
        return self.rows[places], self.keys[places] == hashes
