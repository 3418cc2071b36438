"""The biLM itself, tuned with the classes (extra `torch`): words → biLM → learned layer mix → pooling → classes.

As ULMFiT does it (Howard & Ruder 2018): at first the new head and the layer mix learn alone, then the LSTM layers join
from the top down, the character CNN last; each part learns 2.6 times more slowly than the one above it; the rate rises
for a tenth of the steps and falls in a straight line. Words are pooled to their mean and maximum; ULMFiT's hidden layer
and its dropouts of weights are left out. The weights of the best epoch, by the loss of a tenth of the rows set aside,
are kept. Thousands of texts take minutes where the frozen heads take seconds, so there is a snapshot after each epoch.
Of a text, the first 400 words are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from elmokit.checkpoints import Checkpoint
from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import ConfigError
from elmokit.nn.bilm import BiLM
from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.head_options import OWN_OPTIONS, HeadOptions
from elmokit.tasks.head_training import OnStep, as_arrays, probabilities_of, train_head
from elmokit.tasks.logistic import ClassWeight, number_classes, weigh_rows
from elmokit.tasks.word_rows import WordRows
from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids

Array = NDArray[Any]

LONGEST = 400
"""Words of a text that are read; activations of a word take about 100 KB while it is learned from."""


class _Network(nn.Module):
    def __init__(self, config: ElmoConfig, n_classes: int) -> None:
        super().__init__()
        self.bilm = BiLM(config, dropout=0.1)
        self.mix = LayerMixer(config.n_layers)
        self.dropout = nn.Dropout(0.3)
        self.classes = nn.Linear(2 * config.dim, n_classes)

    def forward(self, ids: Tensor) -> Tensor:
        layers = self.bilm(ids)
        words, mask = self.mix(layers.vectors, layers.mask), layers.mask[..., None]
        if words.shape[1] == 0:  # texts without words
            words, mask = words.new_zeros(len(words), 1, words.shape[2]), mask.new_zeros(len(words), 1, 1)
        mean = words.sum(1) / mask.sum(1).clamp(min=1)
        largest = words.masked_fill(~mask, -torch.inf).amax(1).masked_fill(~mask.any(1), 0.0)
        found: Tensor = self.classes(self.dropout(torch.cat([mean, largest], 1)))
        return found


def _parts(network: nn.Module) -> list[list[nn.Parameter]]:
    """The head with the mix, the LSTM layers of both directions from the top down, what reads characters."""
    assert isinstance(network, _Network)
    bilm = network.bilm
    levels = reversed(range(len(bilm.forward_layers)))
    lstm = [[*bilm.forward_layers[i].parameters(), *bilm.backward_layers[i].parameters()] for i in levels]
    return [[*network.classes.parameters(), *network.mix.parameters()], *lstm, list(bilm.char_cnn.parameters())]


class FinetuneHead:
    """A biLM and a layer on top of it, learned together.

    Args:
        start: gives the biLM that learning starts from, or, for `restore`, the one that was learned.
        class_weight: as in `LogisticRegression`.
        seed: of everything random.
        options: of the training; the seed above counts.
        snapshots: a folder for a file that is written after each epoch, named by all that the training depends on;
            where it is there, the training goes on from it.

    Attributes:
        classes_: the classes, sorted.

    Raises:
        ConfigError: at `fit`, a model without characters.
    """

    C_: float | None = None

    def __init__(
        self,
        start: Callable[[], Checkpoint],
        *,
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
        options: HeadOptions | None = None,
        snapshots: Path | None = None,
    ) -> None:
        self.start, self.class_weight, self.snapshots = start, class_weight, snapshots
        self.options = replace(options or OWN_OPTIONS["finetune"], seed=seed)
        self.classes_: Array = np.zeros(0)
        self._network: _Network | None = None

    def fit(self, X: WordRows, y: ArrayLike, *, on_step: OnStep | None = None) -> FinetuneHead:
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
        weights = weigh_rows(numbers, self.classes_, self.class_weight)
        start = self._started()

        def make() -> _Network:
            network = _Network(start.config, len(self.classes_))
            network.bilm.load_tensors(start.tensors)
            return network

        self._network = train_head(  # type: ignore[assignment]  # what it made is what it gives
            make,
            _Collate(X, start.config),
            numbers,
            weights,
            self.options,
            parts=_parts,
            snapshot=self._snapshot(start, X, numbers, weights),
            on_step=on_step,
        )
        return self

    def _started(self) -> Checkpoint:
        start = self.start()
        if start.config.char_cnn is None:
            raise ConfigError(f"{start.name}: this model looks words up in a table; only one that reads characters"
                              " can be tuned with the classes.")  # fmt: skip
        return start

    def _snapshot(self, start: Checkpoint, X: WordRows, numbers: Array, weights: Array) -> Path | None:
        """A file whose name stands for the model, texts, classes and options."""
        if self.snapshots is None:
            return None
        mark = hashlib.sha256(repr((start.config, self.options, X.texts)).encode("utf-8", "surrogatepass"))
        for array in (*start.tensors.values(), numbers, weights):
            mark.update(np.ascontiguousarray(array).tobytes())
        return self.snapshots / f"finetune-{mark.hexdigest()[:16]}.safetensors"

    def predict_proba(self, X: WordRows) -> Array:
        """Probabilities of the classes, in the order of `classes_`. Shape (n, n_classes)."""
        assert self._network is not None, "fit or restore comes first"
        collate = _Collate(X, self._network.bilm.config)
        return probabilities_of(self._network, collate, len(X), len(self.classes_))

    def predict(self, X: WordRows) -> Array:
        """The most probable class of each text. Shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def checkpoint(self) -> Checkpoint:
        """The biLM that was learned, with its layer mix: what `elmokit.checkpoints.save` writes."""
        assert self._network is not None, "fit or restore comes first"
        mix = self._network.mix
        learned = LayerMix(weights=tuple(mix.weights.tolist()), gamma=mix.gamma.item())
        start = self.start()
        return replace(
            start,
            tensors=as_arrays(self._network.bilm),
            layer_mix=learned,
            name=f"{start.name}, tuned with classes",
            softmax=None,
        )

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What was learned on top of the biLM: JSON values and arrays."""
        assert self._network is not None, "fit or restore comes first"
        return {}, {k: array for k, array in as_arrays(self._network).items() if not k.startswith("bilm.")}

    def restore(self, facts: dict[str, Any], arrays: dict[str, Array], classes: Sequence[Any]) -> None:  # noqa: ARG002
        """Take back what `state` gave; `start` gives the biLM."""
        self.classes_, tuned = np.array(classes), self.start()
        network = _Network(tuned.config, len(classes))
        network.bilm.load_tensors(tuned.tensors)
        above = {name: torch.tensor(array) for name, array in arrays.items()}
        network.load_state_dict(network.state_dict() | above)
        self._network = network.eval()


@dataclass(frozen=True, eq=False)
class _Collate:
    """Row numbers → character ids with boundary rows, zeros behind each text. Shape (B, T + 2, C)."""

    texts: WordRows
    config: ElmoConfig

    def __call__(self, rows: NDArray[np.integer]) -> tuple[Tensor]:
        assert self.config.char_cnn is not None
        width = self.config.char_cnn.max_characters
        begin, end = sentence_boundary_ids(width)
        texts = [self.texts.texts[int(row)][:LONGEST] for row in rows]
        ids = np.zeros((len(texts), max(map(len, texts), default=0) + 2, width), np.int64)
        for row, words in zip(ids, texts, strict=True):
            row[0], row[len(words) + 1] = begin, end
            row[1 : len(words) + 1] = words_to_char_ids(words, width)
        return (torch.from_numpy(ids),)
