"""What training minimises: the negative log likelihood of the next word, in both directions.

`LanguageModel` joins the biLM with the softmax that both directions share. It works on one window: the char-CNN
runs once per distinct spelling of the window, both directions take their vectors from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import ElmoConfig
from elmokit.nn.bilm import BiLM
from elmokit.nn.bilstm import TowerState
from elmokit.nn.softmax import SampledSoftmax
from elmokit.training.store import Store
from elmokit.training.stream import Window

States = tuple[TowerState, TowerState]


@dataclass(frozen=True)
class Batch:
    """A window as tensors.

    Args:
        char_ids: of the window's N distinct spellings. Shape (N, C).
        inputs: per direction, places in `char_ids`. Shape (2, B, T).
        targets: per direction, vocabulary ids, −1 where there is none. Shape (2, B, T).
    """

    char_ids: Tensor
    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(t.to(device, non_blocking=True) for t in (self.char_ids, self.inputs, self.targets)))


class BatchMaker:
    """Windows of spelling numbers → batches.

    Args:
        store: the corpus.
        target_ids: vocabulary id of every spelling number. Shape (n_spellings,).
        max_characters: C.
    """

    def __init__(self, store: Store, target_ids: NDArray[np.int32], max_characters: int) -> None:
        self._store, self._targets, self._max_characters = store, target_ids, max_characters

    def __call__(self, window: Window) -> Batch:
        """The window as tensors on the CPU."""
        inputs = np.stack([window.forward_inputs, window.backward_inputs])
        targets = np.stack([window.forward_targets, window.backward_targets])
        distinct, places = np.unique(np.maximum(inputs, 0), return_inverse=True)
        wanted = np.where(targets >= 0, self._targets[np.maximum(targets, 0)], -1)
        return Batch(
            torch.from_numpy(self._store.char_ids(distinct, self._max_characters).astype(np.int64)),
            torch.from_numpy(places.reshape(inputs.shape)),
            torch.from_numpy(wanted.astype(np.int64)),
        )


class LanguageModel(nn.Module):
    """The biLM with its softmax.

    With a word table, the softmax's weight is the table.

    Args:
        config: of the biLM.
        words: the vocabulary of the softmax (V words).
        n_negatives: words proposed per step.
        dropout: see `BiLM`; also on the top layer's outputs.
    """

    def __init__(self, config: ElmoConfig, words: Sequence[str], *, n_negatives: int, dropout: float) -> None:
        super().__init__()
        self.bilm = BiLM(config, dropout=dropout, words=words if config.word_table else None)
        self.softmax = SampledSoftmax(len(words), config.projection_width, n_negatives=n_negatives)
        if config.word_table:
            self.softmax.weight = self.bilm.word_table.weight
        self.dropout = dropout

    def initial_states(self, n_rows: int) -> States:
        """Zero states for B rows."""
        return self.bilm.forward_layers.initial_state(n_rows), self.bilm.backward_layers.initial_state(n_rows)

    def forward(self, batch: Batch, states: States, negatives: Tensor | None) -> tuple[Tensor, Tensor, States]:
        """Losses of one window.

        Args:
            batch: the window.
            states: where each direction starts.
            negatives: proposed words; None for the full softmax.

        Returns:
            summed loss of each direction in nats (2,), number of targets of each (2,), the states to carry on.
        """
        vectors = self.bilm.embed(batch.char_ids)
        losses, counts, carried = [], [], []
        towers = (self.bilm.forward_layers, self.bilm.backward_layers)
        for tower, state, inputs, targets in zip(towers, states, batch.inputs, batch.targets, strict=True):
            outputs, state = tower(F.embedding(inputs, vectors), state)
            real = targets >= 0
            top = F.dropout(outputs[-1][real], self.dropout, self.training)
            losses.append(self.softmax(top, targets[real], negatives).sum())
            counts.append(real.sum())
            carried.append(TowerState(state.hidden.float(), state.cell.float()).detach())
        return torch.stack(losses), torch.stack(counts), (carried[0], carried[1])
