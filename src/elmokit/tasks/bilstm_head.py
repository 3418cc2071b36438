"""Word vectors → a learned layer mix → a BiLSTM → attention or the maximum over words → classes (extra `torch`).

What readers of the tutorial asked for: the order of words counts. Texts are padded per batch and packed, and padding is
masked out of the attention and the maximum, so a text's score depends on its own words (up to rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.head_options import OWN_OPTIONS, HeadOptions, Over
from elmokit.tasks.head_training import as_arrays, probabilities_of, train_head
from elmokit.tasks.logistic import ClassWeight, number_classes, weigh_rows

Array = NDArray[Any]
_HIDDEN = 64


@dataclass(frozen=True, eq=False)
class WordLayers:
    """All layers of all words of texts: rows that can be taken like those of a matrix.

    Args:
        texts: an array per text, float16 (2 bytes × L × 2P a word). Shape (L, T, 2P).
    """

    texts: Sequence[NDArray[np.float16]]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: NDArray[np.integer]) -> WordLayers:
        return WordLayers([self.texts[int(row)] for row in rows])

    def batch(self, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
        """Some texts side by side: layers (L, B, T, 2P), and which places are words (B, T)."""
        texts = [self.texts[int(row)] for row in rows]
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

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        x = self.dropout(self.mix(layers, mask))
        lengths = mask.sum(1).clamp(min=1)  # a text without words is one place of zeros
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        real = torch.arange(mask.shape[1])[None] < lengths[:, None]
        if self.over == "max":
            pooled = hidden.masked_fill(~real[..., None], -torch.inf).amax(1)
        else:
            scores = self.attention(torch.tanh(hidden))[..., 0].masked_fill(~real, -torch.inf)
            pooled = (torch.softmax(scores, 1)[..., None] * hidden).sum(1)
        found: Tensor = self.classes(self.dropout(pooled))
        return found


class BiLSTMHead:
    """A BiLSTM over word vectors.

    Args:
        over: how words become one vector: "attention" or "max".
        class_weight: as in `LogisticRegression`.
        seed: of everything random.
        options: of the training; the seed above counts.

    Attributes:
        classes_: the classes, sorted.

    Example:
        >>> texts = WordLayers([np.full((1, n, 2), n, np.float16) for n in (1, 2)])
        >>> BiLSTMHead(options=HeadOptions(n_epochs=1, least_steps=1)).fit(texts, ["a", "b"]).predict_proba(texts).shape
        (2, 2)
    """

    C_: float | None = None

    def __init__(
        self,
        *,
        over: Over = "attention",
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
        options: HeadOptions | None = None,
    ) -> None:
        self.over, self.class_weight, self.seed = over, class_weight, seed
        self.options = replace(options or OWN_OPTIONS["bilstm"], seed=seed)
        self.classes_: Array = np.zeros(0)
        self._network: _Network | None = None

    def fit(self, X: WordLayers, y: ArrayLike, *, on_step: Callable[[int, int], None] | None = None) -> BiLSTMHead:
        """Learn.

        Args:
            X: n texts.
            y: a class for each. Shape (n,).
            on_step: called with (steps done, steps at most).

        Returns:
            itself.

        Raises:
            InputError: fewer than two classes.
            TrainingError: the loss is no number.
        """
        self.classes_, numbers = number_classes(y, n_rows=len(X))
        n_layers, _, width = X.texts[0].shape
        weights = weigh_rows(numbers, self.classes_, self.class_weight)
        self._network = train_head(  # type: ignore[assignment]  # what it made is what it gives
            lambda: _Network(n_layers, width, _HIDDEN, len(self.classes_), self.over),
            X.batch,
            numbers,
            weights,
            self.options,
            on_step=on_step,
        )
        return self

    def predict_proba(self, X: WordLayers) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        assert self._network is not None, "fit or restore comes first"
        return probabilities_of(self._network, X.batch, len(X), len(self.classes_))

    def predict(self, X: WordLayers) -> Array:
        """The most probable class of each text. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned: JSON values and arrays."""
        assert self._network is not None, "fit or restore comes first"
        return {"over": self.over}, as_arrays(self._network)

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:
        """Take back what `state` gave."""
        self.classes_, self.over = np.array(classes), facts["over"]
        gates, width = arrays["lstm.weight_ih_l0"].shape
        network = _Network(len(arrays["mix.weights"]), width, gates // 4, len(classes), self.over)
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        self._network = network.eval()
