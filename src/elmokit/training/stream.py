"""Store → batches for truncated backpropagation: deterministic, shuffled, in bounded memory.

Consecutive texts are packed into segments of at most `segment` positions; a batch row reads one segment window by
window (`unroll` positions each), its LSTM state carried from window to window and zero at the segment's start. So
the model learns both what our stateless encoding needs (a text from a zero state) and what the original had (a
text after others).

A text of n words gives n + 1 positions: forward reads `<S> w1 … wn` and predicts `w1 … wn </S>`, as bilm-tf. The
backward direction is the same pair of sequences swapped and reversed: it reads `</S> wn … w1` and predicts
`wn … w1 <S>`.

Shuffling is by blocks (consecutive texts of about `block_words` words): all blocks in a seeded order per epoch, and
the segments of `pool_blocks` blocks mixed among each other. Where a run stands is three numbers (`Position`), so a
resumed run sees the very batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elmokit.training.store import BOS_NUMBER, EOS_NUMBER, Store

Numbers = NDArray[np.int64]
Blocks = NDArray[np.int64]

_TEXTS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Position:
    """Where a stream stands: the next window to be read."""

    epoch: int = 0
    pool: int = 0
    group: int = 0
    window: int = 0


@dataclass(frozen=True)
class Window:
    """One step's input: spelling numbers, −1 where a row has ended. All of shape (B, unroll).

    Args:
        forward_inputs, forward_targets: what the forward direction reads and must predict.
        backward_inputs, backward_targets: the same for the backward direction.
        fresh: whether the rows begin new segments here, with zero states.
        position: where this window stands.
    """

    forward_inputs: Numbers
    forward_targets: Numbers
    backward_inputs: Numbers
    backward_targets: Numbers
    fresh: bool
    position: Position

    def rows(self, part: int, n_parts: int) -> Window:
        """One of n equal parts of the rows, for one of n processes."""
        n = len(self.forward_inputs) // n_parts
        own = slice(part * n, (part + 1) * n)
        return Window(
            self.forward_inputs[own],
            self.forward_targets[own],
            self.backward_inputs[own],
            self.backward_targets[own],
            self.fresh,
            self.position,
        )


@dataclass(frozen=True)
class Segment:
    """What one batch row reads. Both of shape (n,), n at most the segment length."""

    inputs: Numbers
    targets: Numbers


def pack_segments(ids: NDArray[np.uint32], ends: NDArray[np.int64], length: int) -> Iterator[Segment]:
    """Consecutive texts → segments of at most `length` positions; a longer text is cut.

    Args:
        ids: words of all texts.
        ends: where each text ends.
        length: positions at most.

    Yields:
        the segments, in order; their positions together are words + texts.
    """
    first = 0
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        ahead = ends[first : first + length]  # a text takes two positions at least
        sizes = ahead - start + np.arange(1, len(ahead) + 1)  # positions up to the end of each text
        n = max(1, int(np.searchsorted(sizes, length, side="right")))
        last = first + n
        span = ids[start : int(ends[last - 1])].astype(np.int64)
        cuts = ends[first:last] - start
        begins = np.concatenate([[0], cuts[:-1]])
        inputs, targets = np.insert(span, begins, BOS_NUMBER), np.insert(span, cuts, EOS_NUMBER)
        for at in range(0, len(inputs), length):
            yield Segment(inputs[at : at + length], targets[at : at + length])
        first = last


class Stream:
    """Batches of a store, without end, from any position.

    Args:
        store: the corpus.
        n_rows: B, rows of a batch.
        unroll: positions of a window.
        segment: positions of a segment at most; a multiple of `unroll`.
        seed: of the order.
        weights: how often each source is read per epoch, by its name (fractions: that part of its blocks, drawn
            anew each epoch); 1 where not named.
        part: "train" or "heldout".
        block_words: words of a block, about.
        pool_blocks: blocks mixed among each other.
    """

    def __init__(
        self,
        store: Store,
        *,
        n_rows: int,
        unroll: int = 32,
        segment: int = 128,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        part: str = "train",
        block_words: int = 8192,
        pool_blocks: int = 128,
    ) -> None:
        self.store, self.n_rows, self.unroll, self.segment, self.seed = store, n_rows, unroll, segment, seed
        self.part, self.pool_blocks = part, pool_blocks
        self._weights = dict(weights or {})
        self._block_words = block_words
        ranges: list[tuple[int, int]] = [getattr(source, part) for source in store.sources]
        self._blocks = [self._blocks_of(first, last) for first, last in ranges]

    def _blocks_of(self, first: int, last: int) -> Blocks:
        """Texts that end in the same `block_words` words of the corpus make a block. Shape (n, 2): first, last + 1."""
        cuts = [np.array([first])]
        for at in range(first, last, _TEXTS_AT_ONCE):
            number = self.store.ends(self.part, at, min(at + _TEXTS_AT_ONCE + 1, last)) // self._block_words
            cuts.append(at + 1 + np.flatnonzero(np.diff(number)))
        edges = np.concatenate([*cuts, [last]]) if last > first else np.zeros(0, dtype=np.int64)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    def epoch_blocks(self, epoch: int) -> Blocks:
        """The blocks of an epoch in their order. Shape (n, 2): first text, last text + 1."""
        rng = np.random.default_rng([self.seed, epoch])
        chosen: list[Blocks] = []
        for source, blocks in zip(self.store.sources, self._blocks, strict=True):
            weight = self._weights.get(source.name, 1.0)
            chosen += [blocks] * int(weight)
            n_more = round((weight - int(weight)) * len(blocks))
            chosen.append(blocks[rng.permutation(len(blocks))[:n_more]])
        return rng.permutation(np.concatenate(chosen))

    def windows(self, position: Position = Position()) -> Iterator[Window]:
        """Windows from a position on, without end.

        Args:
            position: the first window to give.

        Yields:
            the windows.
        """
        epoch, pool, group, window = position.epoch, position.pool, position.group, position.window
        while True:
            blocks = self.epoch_blocks(epoch)
            while pool * self.pool_blocks < len(blocks):
                segments = self._pool(blocks, epoch, pool)
                n_groups = -(-len(segments) // self.n_rows)
                while group < n_groups:
                    rows = [segments[i % len(segments)] for i in range(group * self.n_rows, (group + 1) * self.n_rows)]
                    yield from self._group(rows, Position(epoch, pool, group, window))
                    group, window = group + 1, 0
                pool, group = pool + 1, 0
            epoch, pool = epoch + 1, 0

    def _pool(self, blocks: Blocks, epoch: int, pool: int) -> list[Segment]:
        segments: list[Segment] = []
        for first, last in blocks[pool * self.pool_blocks : (pool + 1) * self.pool_blocks].tolist():
            segments += pack_segments(*self.store.span(self.part, first, last), self.segment)
        order = np.random.default_rng([self.seed, epoch, pool + 1]).permutation(len(segments))
        return [segments[i] for i in order]

    def _group(self, rows: list[Segment], position: Position) -> Iterator[Window]:
        longest = max(len(row.inputs) for row in rows)
        width = -(-longest // self.unroll) * self.unroll
        arrays = np.full((4, len(rows), width), -1, dtype=np.int64)
        for r, row in enumerate(rows):
            n = len(row.inputs)
            arrays[0, r, :n], arrays[1, r, :n] = row.inputs, row.targets
            arrays[2, r, :n], arrays[3, r, :n] = row.targets[::-1], row.inputs[::-1]
        for w in range(position.window, width // self.unroll):
            at = slice(w * self.unroll, (w + 1) * self.unroll)
            here = Position(position.epoch, position.pool, position.group, w)
            yield Window(arrays[0, :, at], arrays[1, :, at], arrays[2, :, at], arrays[3, :, at], w == 0, here)
