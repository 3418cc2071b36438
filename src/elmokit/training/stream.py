"""Corpus store → windows for truncated backpropagation: deterministic, shuffled, in bounded memory.

A text of n words gives n + 1 positions: the forward direction reads `<S> w1 … wn` and predicts `w1 … wn </S>`, as in
bilm-tf; the backward direction reads `</S> wn … w1` and predicts `wn … w1 <S>`. Consecutive texts are packed into
segments, which a row of the batch reads window by window, its LSTM state carried along. Numbers of texts are shuffled
once per epoch, and the segments of a few blocks among each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elmokit.training.store import BOS_NUMBER, EOS_NUMBER, CorpusStore

Numbers = NDArray[np.int64]
_TEXTS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Position:
    """The next window of a stream, for resuming."""

    epoch: int = 0
    pool: int = 0
    group: int = 0
    window: int = 0


@dataclass(frozen=True)
class Window:
    """Input of one step: spelling numbers, −1 behind the end of a row."""

    inputs: Numbers  # (2, B, T) what the forward and the backward direction read
    targets: Numbers  # (2, B, T) what they must predict
    texts: Numbers  # (B,) the text that a row holds in whole, −1 if it holds a part or several
    fresh: bool  # whether the rows begin new segments here, with zero states
    position: Position

    def shard(self, part: int, n_parts: int) -> Window:
        """One of n equal parts of the rows, for one of n processes."""
        n = len(self.texts) // n_parts
        own = slice(part * n, (part + 1) * n)
        return Window(self.inputs[:, own], self.targets[:, own], self.texts[own], self.fresh, self.position)


class Segment(NamedTuple):
    """What one row of a batch reads: inputs and targets of shape (n,), and the text if it is exactly one, else −1."""

    inputs: Numbers
    targets: Numbers
    text: int = -1


def pack_segments(
    ids: NDArray[np.uint32], ends: NDArray[np.int64], length: int, *, first_text: int | None = None
) -> Iterator[Segment]:
    """Pack consecutive texts, `ids` that end at `ends`, into segments of at most `length` positions; cut longer texts.

    With `first_text`, the number of the first text, every text gets segments of its own.
    """
    first = 0
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        n = 1
        if first_text is None:
            ahead = ends[first : first + length]  # a text takes two positions at least
            sizes = ahead - start + np.arange(1, len(ahead) + 1)  # positions up to the end of each text
            n = max(1, int(np.searchsorted(sizes, length, side="right")))
        last = first + n
        span = ids[start : int(ends[last - 1])].astype(np.int64)
        cuts = ends[first:last] - start
        begins = np.concatenate([[0], cuts[:-1]])
        inputs, targets = np.insert(span, begins, BOS_NUMBER), np.insert(span, cuts, EOS_NUMBER)
        text = -1 if first_text is None or len(inputs) > length else first_text + first
        for at in range(0, len(inputs), length):
            yield Segment(inputs[at : at + length], targets[at : at + length], text)
        first = last


class Stream:
    """Windows of one part of a corpus store, "train" or "heldout", without end, from any position.

    A window has `batch_size` rows (B) of `bptt` positions (T); None gives each row a text of its own, read in one
    window. `weights` say how often each source is read per epoch (else once); of a fraction, that part of its blocks,
    of about `block_words` words, is drawn anew each epoch. The segments of `pool_blocks` blocks are mixed.
    """

    def __init__(
        self,
        store: CorpusStore,
        *,
        batch_size: int,
        bptt: int | None = 32,
        segment: int = 128,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        part: str = "train",
        block_words: int = 8192,
        pool_blocks: int = 128,
    ) -> None:
        self.store, self.batch_size, self.bptt, self.segment, self.seed = store, batch_size, bptt, segment, seed
        self.part, self.pool_blocks = part, pool_blocks
        self._weights, self._block_words = dict(weights or {}), block_words
        self._blocks = [self._blocks_of(*getattr(source, part)) for source in store.sources]

    def _blocks_of(self, first: int, last: int) -> Numbers:
        """Texts that end in the same `block_words` words of the corpus make a block. Shape (n, 2): first, last + 1."""
        cuts = [np.array([first])]
        for at in range(first, last, _TEXTS_AT_ONCE):
            number = self.store.ends(self.part, at, min(at + _TEXTS_AT_ONCE + 1, last)) // self._block_words
            cuts.append(at + 1 + np.flatnonzero(np.diff(number)))
        edges = np.concatenate([*cuts, [last]]) if last > first else np.zeros(0, dtype=np.int64)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    def epoch_blocks(self, epoch: int) -> Numbers:
        """The blocks of an epoch in their order. Shape (n, 2): first text, last text + 1."""
        rng = np.random.default_rng([self.seed, epoch])
        chosen: list[Numbers] = []
        for source, blocks in zip(self.store.sources, self._blocks, strict=True):
            weight = self._weights.get(source.name, 1.0)
            n_more = round((weight - int(weight)) * len(blocks))
            chosen += [blocks] * int(weight) + [blocks[rng.permutation(len(blocks))[:n_more]]]
        return rng.permutation(np.concatenate(chosen))

    def windows(self, position: Position = Position()) -> Iterator[Window]:
        """Windows from a position on, without end."""
        _, first_pool, first_group, first_window = astuple(position)
        for epoch in count(position.epoch):
            blocks = self.epoch_blocks(epoch)
            for pool in range(first_pool, -(-len(blocks) // self.pool_blocks)):
                for group, rows in enumerate(self._pool(blocks, epoch, pool)):
                    if group >= first_group:
                        yield from self._group(rows, Position(epoch, pool, group, first_window))
                        first_window = 0
                first_group = 0
            first_pool = 0

    def _pool(self, blocks: Numbers, epoch: int, pool: int) -> list[list[Segment]]:
        """The segments of some blocks in batches; the last one is filled up from the beginning."""
        segments: list[Segment] = []
        for first, last in blocks[pool * self.pool_blocks : (pool + 1) * self.pool_blocks].tolist():
            own = first if self.bptt is None else None
            segments += pack_segments(*self.store.span(self.part, first, last), self.segment, first_text=own)
        rng = np.random.default_rng([self.seed, epoch, pool + 1])
        order = rng.permutation(len(segments))
        if self.bptt is None:  # texts of similar length side by side
            order = order[np.argsort([len(segments[i].inputs) for i in order], kind="stable")]
        order = np.resize(order, -(-len(order) // self.batch_size) * self.batch_size)
        batches = order.reshape(-1, self.batch_size)
        if self.bptt is None:
            batches = rng.permutation(batches)
        return [[segments[i] for i in batch] for batch in batches]

    def _group(self, rows: list[Segment], position: Position) -> Iterator[Window]:
        longest = max(len(row.inputs) for row in rows)
        bptt = self.bptt or longest
        width = -(-longest // bptt) * bptt
        inputs, targets = np.full((2, 2, len(rows), width), -1, dtype=np.int64)
        for r, row in enumerate(rows):
            n = len(row.inputs)
            inputs[0, r, :n], targets[0, r, :n] = row.inputs, row.targets
            inputs[1, r, :n], targets[1, r, :n] = row.targets[::-1], row.inputs[::-1]
        texts = np.array([row.text for row in rows])
        for w in range(position.window, width // bptt):
            at = slice(w * bptt, (w + 1) * bptt)
            yield Window(inputs[:, :, at], targets[:, :, at], texts, w == 0, replace(position, window=w))
