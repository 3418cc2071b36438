"""Which texts are read together, and how a batch and its state lie in memory.

A batch's rows stand longest first, so the rows still read at step t are its first `counts[t]`. All steps lie behind
each other in one array ("packed"), for the forward direction and for the backward one, which reads from the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import local
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError

Array = NDArray[Any]
Ints = NDArray[np.intp]
Rows = Sequence[int] | NDArray[np.integer[Any]]
Sentence = Sequence[str]

BEGIN: Any = object()  # of a sentence, among its words; no string equals it
END: Any = object()
MAX_ROWS = 256  # sentences that are read side by side: more make no product faster, but need more memory
MULTIPLE = 8  # rows of every matrix product are a multiple of this


@dataclass(frozen=True, eq=False)
class State:
    """Where the LSTMs of both directions stand; index 0 of the first axis is forward, 1 backward.

    Args:
        hidden: what each layer put out last, before any skip connection. Shape (2, LSTM layers, B, P).
        cell: each layer's cell. Shape (2, LSTM layers, B, cell width).

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=8, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=16))
        >>> State.zeros(config, 3).cell.shape
        (2, 2, 3, 16)
    """

    hidden: Array
    cell: Array

    @classmethod
    def zeros(cls, config: ElmoConfig, n_rows: int, *, dtype: DTypeLike = np.float32) -> State:
        """The state before a model of `config` has read anything, for `n_rows` sentences, in numbers of `dtype`."""
        n, P, C = config.bilstm.n_layers, config.projection_width, config.bilstm.cell_width
        return cls(np.zeros((2, n, n_rows, P), dtype), np.zeros((2, n, n_rows, C), dtype))

    @property
    def n_rows(self) -> int:
        """Rows of the batch (B)."""
        return int(self.hidden.shape[2])

    def take(self, rows: Rows) -> State:
        """The states of some rows, copied, in the order of `rows`; a row may stand twice."""
        return State(self.hidden[:, :, rows], self.cell[:, :, rows])

    def grown(self, n_rows: int, dtype: DTypeLike) -> State:
        """A copy in numbers of `dtype`, with rows of zeros added where there are fewer than `n_rows`."""
        new = (0, 0), (0, 0), (0, max(0, n_rows - self.n_rows)), (0, 0)
        return State(*(np.pad(array.astype(dtype), new) for array in (self.hidden, self.cell)))

    def check(self, config: ElmoConfig) -> State:
        """The state itself; ConfigError if it has the shapes of another model."""
        zeros = State.zeros(config, self.n_rows)
        actual, expected = ((state.hidden.shape, state.cell.shape) for state in (self, zeros))
        if actual != expected:
            raise ConfigError(
                f"the state has shapes {actual[0]} and {actual[1]}; this model needs {expected[0]} and {expected[1]}:"
                " was it made by another model?"
            )
        return self


@dataclass(frozen=True, eq=False)
class Batch:
    """Sentences that are read side by side, one word of each a step."""

    rows: Ints  # (B,) of each row, the sentence's index in the caller's list; longest sentence first
    lengths: Ints  # (B,) steps of each row, falling
    counts: Ints  # (T,) rows still read at each step, falling
    starts: Ints  # (T + 1,) place of each step's first row among all N packed rows; the last entry is N
    words: list[str]  # the distinct words, numbered from 2
    numbers: Ints  # (2, N) word numbers of all steps, forward and backward
    places: Ints  # (2, N) of the words of row 0, then row 1 …: their places among the packed rows

    def __post_init__(self) -> None:
        counts, starts, B = self.counts, self.starts, len(self.rows)  # compiled loops trust them
        steps_fit = len(starts) == len(counts) + 1 and starts[0] == 0 and (np.diff(starts) == counts).all()
        if not (steps_fit and len(counts) and counts[-1] > 0 and (np.diff(counts) <= 0).all() and counts[0] <= B):
            raise ValueError(f"the batch's {len(counts)} steps do not fit its {B} rows.")

    def spans(self, cut: int = 0) -> Iterator[tuple[int, slice]]:
        """Each row's sentence, and where its words lie row by row, without `cut` words at both ends."""
        ends = np.cumsum(self.lengths)
        for row, start, end in zip(self.rows.tolist(), ends - self.lengths, ends, strict=True):
            yield row, slice(start + cut, end - cut)


def make_batch(
    sentences: Sequence[Sentence], rows: Sequence[int] | Ints, *, backward: Sequence[Sentence] | None = None
) -> Batch:
    """Lay the sentences `rows` out step by step; `BEGIN` and `END` may stand among their words.

    The backward direction reads the sentences of `backward`, which are as long, where they are given.
    """
    ordered = sorted(rows, key=lambda i: -len(sentences[i]))
    lengths = np.array([len(sentences[i]) for i in ordered], dtype=np.intp)
    known: dict[str, int] = {BEGIN: 0, END: 1}
    read = [sentences] if backward is None else [sentences, backward]
    flat = [[known.setdefault(word, len(known)) for i in ordered for word in texts[i]] for texts in read]
    counts = np.searchsorted(-lengths, -np.arange(lengths.max(initial=0)), side="left").astype(np.intp)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    row = np.repeat(np.arange(len(lengths)), lengths)  # of each word, row by row
    position = np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]
    places = np.stack([starts[position] + row, starts[lengths[row] - 1 - position] + row])
    numbers = np.empty_like(places)
    for direction, own in enumerate(places):
        numbers[direction, own] = flat[direction % len(flat)]
    return Batch(np.array(ordered, dtype=np.intp), lengths, counts, starts, list(known)[2:], numbers, places)


def plan_batches(
    sentences: Sequence[Sentence], rows: Iterable[int], *, batch_words: int, max_rows: int
) -> list[list[int]]:
    """Choose rows to read together, longest first: `batch_words` words (or one longer sentence), `max_rows` rows."""
    batches: list[list[int]] = []
    n_words = 0
    for i in sorted(rows, key=lambda i: -len(sentences[i])):
        n_words += len(sentences[i])
        if not batches or n_words > batch_words or len(batches[-1]) == max_rows:
            batches.append([])
            n_words = len(sentences[i])
        batches[-1].append(i)
    return batches


def step_blocks(starts: NDArray[Any], max_rows: int) -> Iterator[tuple[int, int]]:
    """First step and end of blocks of steps whose packed rows are `max_rows` at most together (or one step alone)."""
    t = 0
    while t < len(starts) - 1:
        end = max(t + 1, int(np.searchsorted(starts, starts[t] + max_rows, side="right")) - 1)
        yield t, end
        t = end


def aligned(size: int, dtype: DTypeLike) -> Array:
    """Zeros that begin where a cache line begins, so that no load of a whole register touches two."""
    n_bytes = size * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + n_bytes].view(dtype)


class Buffers(local):
    """Each thread's arrays, allocated once: fresh memory costs more than the arithmetic done in it."""

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}

    def get(self, name: str, *shape: int) -> Array:
        """A contiguous array with undefined but finite contents; the same name gives a thread the same memory."""
        size = math.prod(shape)
        array = self._arrays.get(name)
        if array is None or array.size < size:
            self._arrays[name] = array = aligned(size, self.dtype)
        return array[:size].reshape(shape)
