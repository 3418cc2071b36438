"""Character ids → one vector per word: the character CNN (Peters et al. 2018, §3.1), and a table of frequent words.

Padding characters have a learned vector and take part in the convolutions; all windows of padding alone are equal, so
ids are cut to the longest word plus one such window, which changes no result. A small CNN cannot hold what thousands of
words mean; a table that is added to its vectors can, and tied to the softmax it costs no bytes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import CharCNNConfig
from elmokit.errors import ConfigError
from elmokit.text.char_ids import char_id_multipliers, table_keys

_LENGTHS = (5, 7, 9, 11, 13, 16)  # words of up to so many character ids, begin and end included, are convolved together


class Highway(nn.Module):
    """y = g · relu(transform(x)) + (1 − g) · x with g = sigmoid(gate(x)) (Srivastava et al. 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)  # starts by passing its input through

    def forward(self, x: Tensor) -> Tensor:
        """Transform. Shape (N, F) → (N, F)."""
        return torch.lerp(x, F.relu(self.transform(x)), torch.sigmoid(self.gate(x)))


class CharCNN(nn.Module):
    """One vector of `width` (P) per word from its characters."""

    def __init__(self, config: CharCNNConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.n_characters, config.embedding_width, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(config.embedding_width, n, w) for w, n in config.filters)
        self.highways = nn.ModuleList(Highway(config.n_filters) for _ in range(config.n_highway))
        self.projection = nn.Linear(config.n_filters, width) if config.projection else None
        with torch.no_grad():
            self.embedding.weight[1:].uniform_(-1.0, 1.0)

    def forward(self, char_ids: Tensor) -> Tensor:
        """Vectors of words, (N, C) → (N, P), from ids as `elmokit.text.char_ids` makes them."""
        x = self._maxima(char_ids)  # (N, F)
        for highway in self.highways:
            x = highway(x)
        return x if self.projection is None else self.projection(x)

    def _maxima(self, char_ids: Tensor) -> Tensor:
        """Maxima of the filters over positions, words of similar length together. Shape (N, F)."""
        differs = char_ids != char_ids[:, -1:]
        n_used = (differs * torch.arange(1, char_ids.shape[1] + 1, device=char_ids.device)).amax(dim=1)
        parts, rows = [], []
        for low, high in zip((-1, *_LENGTHS), (*_LENGTHS, char_ids.shape[1]), strict=True):
            chosen = ((n_used > low) & (n_used <= high)).nonzero()[:, 0]
            if len(chosen):
                parts.append(self._convolve(char_ids[chosen], int(n_used[chosen].max())))
                rows.append(chosen)
        if not parts:
            return self.embedding.weight.new_zeros(0, self.config.n_filters)
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _convolve(self, char_ids: Tensor, n_used: int) -> Tensor:
        """Maxima of words whose ids behind `n_used` are all their last one: one such window is enough.

        A matrix product over copied windows is faster than `Conv1d` on so few channels.
        """
        widest = max(w for w, _ in self.config.filters)
        x = self.embedding(char_ids[:, : n_used + widest])  # (N, C, E)
        maxima = []
        for convolve, (width, _) in zip(self.convolutions, self.config.filters, strict=True):
            assert isinstance(convolve, nn.Conv1d)
            n_windows = min(n_used + 1, x.shape[1] - width + 1)
            windows = torch.cat([x[:, i : i + n_windows] for i in range(width)], dim=2)  # (N, n_windows, width · E)
            weight = convolve.weight.transpose(1, 2).flatten(1)  # (n, width · E)
            maxima.append(F.linear(windows, weight, convolve.bias).amax(dim=1))
        activation = F.relu if self.config.activation == "relu" else torch.tanh  # monotonic: after the maximum
        return activation(torch.cat(maxima, dim=1))


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
