"""The network of a tagger: a learned layer mix, a BiLSTM and a CRF (Peters et al. 2018, §4 and A.3).

Each layer is first standardised by the training words, because layers differ in scale by orders of magnitude.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elmokit.nn.bilm import LayerMixer
from elmokit.tasks.torch_parts import PackedLSTM, pad_layers

Rules = tuple[Any, Any, Any]
"""Tags that may come first (K,), follow each other (K, K) and come last (K,), as `TagSet.allowed` gives them."""
Sentences = Sequence[NDArray[np.floating]]  # frozen layers of the words of each sentence, (L, T, 2P)

_NEVER = -1e9  # large against any score, and some of them can be added up without overflow
_BATCH_WORDS = 8192  # words of a batch, padding included; a longer sentence is a batch of its own
_BUCKET = 20  # batches that are sorted by length together, so that little is padded


class CRF(nn.Module):
    """A linear-chain conditional random field over K tags (Lafferty et al. 2001; Lample et al. 2016).

    A sequence's score is the sum of its words' scores (emissions, (B, T, K)) and of learned scores for each step from
    tag to tag, for the first tag and for the last. The mask (B, T) is True for real words, which come before padding,
    one at least.
    """

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.step = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Negative log likelihood of the true tags, in nats. Shape (B,)."""
        return self.log_partition(emissions, mask) - self.score(emissions, tags, mask)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Scores of given sequences. Shape (B,)."""
        tags = torch.where(mask, tags, 0)
        of_words = emissions.gather(2, tags[..., None])[..., 0] * mask
        steps = self.step[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        return of_words.sum(1) + steps.sum(1) + self.start[tags[:, 0]] + self.end[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the summed exponentials of all sequences' scores. Shape (B,)."""
        total = self.start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            longer = torch.logsumexp(total[:, :, None] + self.step, dim=1) + emissions[:, t]
            total = torch.where(mask[:, t, None], longer, total)
        return torch.logsumexp(total + self.end, dim=1)

    @torch.no_grad()
    def best(self, emissions: Tensor, mask: Tensor, rules: Rules | None = None) -> list[list[int]]:
        """The sequences with the highest score (Viterbi) that keep to the rules; None allows anything."""
        scores: list[Tensor] = [self.start, self.step, self.end]
        if rules is not None:
            masks = [torch.as_tensor(rule, device=emissions.device) for rule in rules]
            scores = [torch.where(rule, one, _NEVER) for rule, one in zip(masks, scores, strict=True)]
        start, step, end = scores
        best = start + emissions[:, 0]
        came_from: list[Tensor] = []
        for t in range(1, emissions.shape[1]):
            longer, before = (best[:, :, None] + step).max(dim=1)
            best = torch.where(mask[:, t, None], longer + emissions[:, t], best)
            came_from.append(before)
        back = torch.stack(came_from).tolist() if came_from else []
        tags = [[last] for last in (best + end).argmax(1).tolist()]
        for row, n_words in enumerate(mask.sum(1).tolist()):
            for t in range(n_words - 2, -1, -1):
                tags[row].append(back[t][row][tags[row][-1]])
        return [of_one[::-1] for of_one in tags]


class TagNetwork(nn.Module):
    """Frozen layers of words → tags."""

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

    def forward(self, sentences: Sentences, tags: Sequence[NDArray[np.int64]]) -> Tensor:
        """Mean negative log likelihood of the true tags (T,) per sentence, in nats, a scalar."""
        scores, mask = self.scores(sentences)
        padded = torch.zeros(mask.shape, dtype=torch.int64)  # (B, T)
        for row, own in zip(padded, tags, strict=True):
            row[: len(own)] = torch.from_numpy(own)
        loss: Tensor = self.crf(scores, padded.to(mask.device), mask)
        return loss.mean()

    def scores(self, sentences: Sentences) -> tuple[Tensor, Tensor]:
        """A score per word and tag, (B, T, K), and the mask of words, (B, T)."""
        layers, mask = pad_layers(sentences, self.mean.device)  # (L, B, T, 2P), (B, T)
        standard = (layers - self.mean[:, None, None]) / self.scale[:, None, None]
        x = self.dropout(self.mix(standard, mask))  # (B, T, 2P)
        return self.emissions(self.dropout(self.lstm(x, mask.sum(1)))), mask

    @torch.no_grad()
    def best(self, sentences: Sentences, rules: Rules | None) -> list[list[int]]:
        """The best tags of sentences, also of those without words; batches are made of similar lengths."""
        lengths = np.array([vectors.shape[1] for vectors in sentences], dtype=np.int64)
        tags: list[list[int]] = [[] for _ in sentences]
        for rows in batches(lengths, 64, None):
            best = self.crf.best(*self.scores([sentences[row] for row in rows]), rules)
            for row, own in zip(rows, best, strict=True):
                tags[row] = own
        return tags


def batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator | None
) -> Iterator[NDArray[np.int64]]:
    """Sentence numbers in batches of similar length; sentences without words are left out.

    `rng` shuffles sentences and batches; None sorts all by length, which computes fastest.
    """
    rows = np.flatnonzero(lengths)
    bucket = max(len(rows), 1) if rng is None else _BUCKET * batch_size
    rows = rows if rng is None else rng.permutation(rows)
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
