"""The losses of pretraining: language model in both directions, and what a teacher adds.

Both directions share one softmax, and the char-CNN runs once per distinct spelling of a window. With a teacher, every
row of a window is one text; the mean of its mixed layers, which is what `Elmo.encode` returns, learns the teacher's
vector of the text, and the token layer the teacher's vectors of frequent words. The heads are dropped at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import ElmoConfig
from elmokit.nn.bilm import BiLM, TowerState
from elmokit.nn.softmax import SampledSoftmax
from elmokit.training.options import TrainingOptions
from elmokit.training.store import CorpusStore
from elmokit.training.stream import Window

if TYPE_CHECKING:
    from elmokit.training.teacher import TeacherTargets

States = tuple[TowerState, TowerState]
_NONE = torch.zeros(0, 0)


@dataclass(frozen=True)
class WindowBatch:
    """A window as tensors; the teacher's vectors have length 1, or are zero where there is none."""

    char_ids: Tensor  # (N, C) of the N distinct spellings
    inputs: Tensor  # (2, B, T) rows of `char_ids`, per direction
    targets: Tensor  # (2, B, T) vocabulary ids, per direction, −1 where there is none
    text_vectors: Tensor = _NONE  # (B, D) or (B, 0), the teacher's
    word_vectors: Tensor = _NONE  # (N, D') or (N, 0), the teacher's

    def to(self, device: torch.device) -> WindowBatch:
        """A copy on a device."""
        return WindowBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class BatchMaker:
    """Windows of spelling numbers → batches on the CPU."""

    store: CorpusStore
    target_ids: NDArray[np.int32]  # (n_spellings,) vocabulary id of every spelling
    max_characters: int
    teacher: TeacherTargets | None = None
    part: str = "train"

    def __call__(self, window: Window) -> WindowBatch:
        """Make a batch."""
        distinct, places = np.unique(np.maximum(window.inputs, 0), return_inverse=True)
        char_ids = self.store.char_ids(distinct, self.max_characters).astype(np.int64)
        targets = np.where(window.targets >= 0, self.target_ids[np.maximum(window.targets, 0)], -1).astype(np.int64)
        arrays: list[NDArray[Any]] = [char_ids, places.reshape(window.inputs.shape), targets]
        if self.teacher is not None:
            arrays += [self.teacher.texts(self.part, window.texts), self.teacher.words(distinct)]
        return WindowBatch(*map(torch.from_numpy, arrays))


class TeacherHeads(nn.Module):
    """The layer mix, which the model keeps, and two projections onto the teacher's vectors, which it does not."""

    def __init__(self, config: ElmoConfig, text_width: int, word_width: int, options: TrainingOptions) -> None:
        super().__init__()
        P = config.projection_width
        self.mix = nn.Parameter(torch.zeros(config.n_layers))
        self.text = nn.Linear(2 * P, text_width) if text_width else None
        self.word = nn.Linear(P, word_width) if word_width else None
        self.weights, self.temperature = options.all_loss_weights, options.temperature

    def forward(self, pooled: Tensor, vectors: Tensor, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """The weighted losses, and (sum of cosines to the teacher's text vectors, number of texts).

        From the mean layers of the texts, (L, B, 2P), and the vectors of the spellings, (N, P).
        """
        loss, similarity = pooled.new_zeros(()), pooled.new_zeros(2)
        if self.text is not None:
            target = batch.text_vectors
            known = target.any(dim=1).float()  # (B,)
            mixed = torch.einsum("l,lbp->bp", torch.softmax(self.mix, 0), pooled.float())  # (B, 2P)
            own = F.normalize(self.text(mixed).float(), dim=1)
            cosines = (own * target).sum(1) * known
            similarity = torch.stack([cosines.sum(), known.sum()])
            n = known.sum().clamp(min=1)
            between = target @ target.T  # (B, B)
            unknown = (known[None] == 0) | (between > 1 - 1e-4)  # also copies of the same text
            unknown = unknown & ~torch.eye(len(own), dtype=torch.bool, device=own.device)
            logits = (own @ target.T / self.temperature).masked_fill(unknown, -1e4)
            log_shares = F.log_softmax(logits, dim=1).diagonal()
            raw = F.normalize(mixed, dim=1)
            pairs = known[:, None] * known[None]
            loss = loss + self.weights["text"] * (n - cosines.sum()) / n
            loss = loss - self.weights["contrast"] * (log_shares * known).sum() / n
            errors = (raw @ raw.T - between).square() * pairs
            loss = loss + self.weights["similarity"] * errors.sum() / pairs.sum().clamp(min=1)
        if self.word is not None:
            known = batch.word_vectors.any(dim=1).float()  # (N,)
            cosines = F.cosine_similarity(self.word(vectors).float(), batch.word_vectors, dim=1) * known
            n = known.sum().clamp(min=1)
            loss = loss + self.weights["word"] * (n - cosines.sum()) / n
        return loss, similarity.detach()


class PretrainingModel(nn.Module):
    """The biLM with its softmax, and heads for a teacher's vectors. A word table is the softmax's weight too."""

    def __init__(
        self, config: ElmoConfig, words: Sequence[str], options: TrainingOptions, widths: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.bilm = BiLM(config, dropout=options.dropout, words=words if config.word_table else None)
        self.softmax = SampledSoftmax(len(words), config.projection_width, n_negatives=options.n_negatives)
        if config.word_table:
            self.softmax.weight = self.bilm.word_table.weight
        self.dropout = options.dropout
        self.heads = TeacherHeads(config, *widths, options) if widths else None

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set the parameters from those of `named_parameters`, where tied ones occur once."""
        tied = {"softmax.weight": weights["bilm.word_table.weight"]} if self.bilm.config.word_table else {}
        self.load_state_dict({**weights, **tied})

    def initial_states(self, batch_size: int) -> States:
        """Zero states for B rows."""
        return self.bilm.forward_layers.initial_state(batch_size), self.bilm.backward_layers.initial_state(batch_size)

    def forward(
        self, batch: WindowBatch, states: States, negatives: Tensor | None
    ) -> tuple[Tensor, Tensor, States, Tensor, Tensor]:
        """The losses of one window, by the sampled softmax; by the full one without negatives.

        Returns summed loss of each direction in nats (2,), number of targets of each (2,), final states, weighted loss
        of the teacher, and (sum of cosines to the teacher's text vectors, number of texts).
        """
        vectors = self.bilm.embed(batch.char_ids)  # (N, P)
        tops, carried, pooled = [], [], []
        towers = (self.bilm.forward_layers, self.bilm.backward_layers)
        real = batch.targets >= 0  # (2, B, T)
        for tower, state, inputs, mask in zip(towers, states, batch.inputs, real, strict=True):
            tokens = F.embedding(inputs, vectors)  # (B, T, P)
            outputs, state = tower(tokens, state)
            tops.append(outputs[-1])
            carried.append(TowerState(state.hidden.float(), state.cell.float()).detach())
            if self.heads is not None:
                pooled.append(torch.stack([_mean(layer, mask) for layer in (tokens, *outputs)]))
        counts = real.sum(dim=(1, 2))
        top = F.dropout(torch.stack(tops)[real], self.dropout, self.training)  # forward positions first
        losses = self.softmax(top, batch.targets[real], negatives)
        n_forward = int(counts[0])
        sums = torch.stack([losses[:n_forward].sum(), losses[n_forward:].sum()])
        taught = similarity = vectors.new_zeros(2)
        if self.heads is not None:
            taught, similarity = self.heads(torch.cat(pooled, dim=-1), vectors, batch)
        return sums, counts, (carried[0], carried[1]), taught.sum(), similarity


def _mean(layer: Tensor, real: Tensor) -> Tensor:
    """The mean over a text's words, without its boundary at position 0. Shapes (B, T, P), (B, T) → (B, P)."""
    words = real[:, 1:, None].to(layer.dtype)
    return (layer[:, 1:] * words).sum(1) / words.sum(1).clamp(min=1)
