"""The network of a tagger: a learned layer mix, a BiLSTM and a CRF (Peters et al. 2018, §4 and A.3), and its objective.

Each layer is first standardised by the training words, because layers differ in scale by orders of magnitude. The
BiLSTM reads packed sentences, so it never sees padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elmokit.nn.layer_mix import LayerMixer
from elmokit.tasks.tagging.cache import VectorCache
from elmokit.tasks.tagging.crf import CRF, Rules
from elmokit.tasks.torch_parts import PackedLSTM, pad_layers

_BATCH_WORDS = 8192  # words of a batch, padding included; a longer sentence is a batch of its own
_BUCKET = 20  # batches that are sorted by length together, so that little is padded


class TagNetwork(nn.Module):
    """Frozen layers of words, (L, B, T, 2P), and the mask of words, (B, T) → tags."""

    def __init__(self, n_layers: int, width: int, n_tags: int, *, hidden_width: int, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(n_layers, width))
        self.register_buffer("scale", torch.ones(n_layers, width))
        self.mix = LayerMixer(n_layers)
        self.dropout = nn.Dropout(dropout)
        self.lstm = PackedLSTM(width, hidden_width)
        self.emissions = nn.Linear(2 * hidden_width, n_tags)
        self.crf = CRF(n_tags)

    def forward(self, layers: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Mean negative log likelihood of the true tags (B, T) per sentence, in nats, a scalar."""
        loss: Tensor = self.crf(self.scores(layers, mask), tags, mask)
        return loss.mean()

    def scores(self, layers: Tensor, mask: Tensor) -> Tensor:
        """A score per word and tag. Shape (B, T, K)."""
        standard = (layers - self.mean[:, None, None]) / self.scale[:, None, None]
        x = self.dropout(self.mix(standard, mask))  # (B, T, 2P)
        scores: Tensor = self.emissions(self.dropout(self.lstm(x, mask.sum(1))))
        return scores

    @torch.no_grad()
    def best(self, sentences: Sequence[NDArray[np.floating]], rules: Rules | None) -> list[list[int]]:
        """The best tags of sentences, each of shape (L, T, 2P) with T ≥ 0; batches are made of similar lengths."""
        lengths = np.array([vectors.shape[1] for vectors in sentences], dtype=np.int64)
        tags: list[list[int]] = [[] for _ in sentences]
        for rows in batches(lengths, 64, None):
            layers, mask = pad_layers([sentences[row] for row in rows], self.mean.device)
            for row, best in zip(rows, self.crf.best(self.scores(layers, mask), mask, rules), strict=True):
                tags[row] = best
        return tags


@dataclass(frozen=True, eq=False)
class TagObjective:
    """What a tagger is fitted to (see `elmokit.fitting.epochs.Objective`); `metric` scores tags of `dev`."""

    train: VectorCache
    tags: Sequence[NDArray[np.int64]]
    dev: VectorCache
    metric: Callable[[list[list[int]]], float]
    batch_size: int
    rules: Rules | None

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Sentence numbers of the batches of an epoch."""
        return list(batches(self.train.lengths, self.batch_size, rng))

    def loss(self, network: TagNetwork, batch: NDArray[np.int64]) -> Tensor:
        """Mean loss of a batch."""
        layers, mask = pad_layers([self.train[int(row)] for row in batch], network.mean.device)
        tags = torch.zeros(mask.shape, dtype=torch.int64)
        for i, row in enumerate(batch):
            tags[i, : len(self.tags[row])] = torch.from_numpy(self.tags[row])
        loss: Tensor = network(layers, tags.to(mask.device), mask)
        return loss

    def score(self, network: TagNetwork) -> float:
        """Metric of the dev sentences, read a few at a time."""
        tags: list[list[int]] = []
        for start in range(0, len(self.dev.lengths), 1024):
            stop = min(start + 1024, len(self.dev.lengths))
            tags += network.best([self.dev[i] for i in range(start, stop)], self.rules)
        return self.metric(tags)


def batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator | None
) -> Iterator[NDArray[np.int64]]:
    """Sentence numbers in batches of similar length; sentences without words are left out.

    `rng` shuffles sentences and batches; None sorts all by length, which computes fastest.
    """
    rows = np.flatnonzero(lengths)
    bucket = max(len(rows), 1) if rng is None else _BUCKET * batch_size
    if rng is not None:
        rows = rng.permutation(rows)
    result: list[list[int]] = []
    for start in range(0, len(rows), bucket):
        part = rows[start : start + bucket]
        batch: list[int] = []
        for row in part[np.argsort(lengths[part], kind="stable")].tolist():
            if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > _BATCH_WORDS):
                result.append(batch)
                batch = []
            batch.append(row)
        result += [batch] if batch else []
    order = range(len(result)) if rng is None else rng.permutation(len(result))
    return (np.array(result[i]) for i in order)
