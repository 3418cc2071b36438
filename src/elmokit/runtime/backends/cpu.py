"""A backend on the CPU, made of a character CNN and a tower of LSTMs for each direction, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.runtime.backends.char_cnn import CharCNN
from elmokit.runtime.batches import Batch
from elmokit.runtime.rows import BufferPool, Buffers
from elmokit.runtime.state import State

Array = NDArray[Any]


class AnyTower(Protocol):
    """What reads a batch in one direction (see `elmokit.runtime.backends.lstm.Tower`)."""

    def run(
        self, batch: Batch, numbers: NDArray[np.intp], tokens: Array, hidden: Array, cell: Array, buffers: Buffers
    ) -> tuple[list[Array], Array, Array]:
        """Give each layer's outputs and the rows' final hidden and cell states."""
        ...


class CpuBackend:
    """A `Backend` on the CPU.

    Args:
        cnn: the character CNN; None for a model without.
        towers: forward and backward.
        dtype: of the vectors.
        prepare_thread: called once on each thread that computes.
    """

    device = "cpu"
    splits: Sequence[tuple[int, ...]] = ((0,), (1,))

    def __init__(
        self,
        cnn: CharCNN | None,
        towers: Sequence[AnyTower],
        dtype: DTypeLike,
        prepare_thread: Callable[[], object] | None = None,
    ) -> None:
        self.cnn, self.towers, self.dtype, self.prepare_thread = cnn, towers, np.dtype(dtype), prepare_thread
        self._buffers = BufferPool(self.dtype)

    def embed(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Pass character ids (D, C) through the character CNN: token vectors (D, P)."""
        assert self.cnn is not None, "a model without characters has no character ids"
        with self._buffers.borrowed() as buffers:
            return self.cnn.encode_ids(ids, buffers)

    def read(
        self, batch: Batch, tokens: Array, start: State, slab: Array, after: State, directions: Sequence[int]
    ) -> None:
        """Read a batch through all LSTM layers; see `elmokit.runtime.backends.Backend.read`."""
        P = tokens.shape[1]
        for d in directions:
            with self._buffers.borrowed() as buffers:
                outputs, after.hidden[d], after.cell[d] = self.towers[d].run(
                    batch, batch.numbers[d], tokens, start.hidden[d], start.cell[d], buffers
                )
                for k, out in enumerate(outputs, start=1):  # (N, P)
                    slab[k, :, d * P : (d + 1) * P] = out[batch.places[d]]
