"""Which texts are read together, and how a batch is laid out: each distinct text once, texts of one length together.

A batch is laid out step by step. Its rows stand longest first, so the rows that are still being read at step t are its
first `counts[t]`, and no step is spent on padding. All steps lie behind each other in one array ("packed"), both for
the forward direction and for the backward direction, which reads each sentence from its end. All backends share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sentence = Sequence[str]

BOS_NUMBER, EOS_NUMBER = 0, 1
"""Numbers of begin and end of sentence among a batch's distinct words; words count from 2."""

MAX_ROWS = 256
"""Sentences that are read side by side. More make no matrix product faster, but need more memory."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Sentences that are read side by side, one word of each a step.

    Args:
        rows: for each row, the sentence's index in the caller's list; longest sentence first. Shape (B,).
        lengths: steps of each row. Shape (B,), falling.
        counts: rows still read at each step. Shape (T,), falling.
        starts: place of each step's first row among all steps; the last entry is N, the number of packed rows.
            Shape (T + 1,).
        words: the distinct words, numbered from 2; numbers 0 and 1 are begin and end of sentence.
        numbers: word numbers of all steps, forward and backward. Shape (2, N).
        places: for the words of row 0, then row 1 …, where they lie among the packed rows: forward and backward.
            Shape (2, N).
    """

    rows: NDArray[np.intp]
    lengths: NDArray[np.intp]
    counts: NDArray[np.intp]
    starts: NDArray[np.intp]
    words: list[str]
    numbers: NDArray[np.intp]
    places: NDArray[np.intp]

    @property
    def ends(self) -> NDArray[np.intp]:
        """Where each row ends in the row-by-row order. Shape (B,)."""
        return np.cumsum(self.lengths)


def make_batch(
    sentences: Sequence[Sentence], rows: Sequence[int] | NDArray[np.intp], *, boundaries: bool = False
) -> Batch:
    """Lay sentences out step by step.

    Args:
        sentences: the caller's sentences.
        rows: which of them make this batch, in any order.
        boundaries: whether each sentence is read with its begin and its end.

    Returns:
        the batch.

    Example:
        >>> batch = make_batch([["a"], ["b", "c"]], [0, 1])
        >>> batch.rows.tolist(), batch.counts.tolist(), batch.words
        ([1, 0], [2, 1], ['b', 'c', 'a'])
        >>> batch.numbers.tolist()  # b a, c; and backwards: c a, b
        [[2, 4, 3], [3, 4, 2]]
    """
    extra = 2 if boundaries else 0
    ordered = sorted(rows, key=lambda i: -len(sentences[i]))
    lengths = np.array([len(sentences[i]) + extra for i in ordered], dtype=np.intp)
    flat, words = _number(sentences, ordered, boundaries)
    n_steps = int(lengths[0]) if len(lengths) else 0
    counts = np.searchsorted(-lengths, -np.arange(n_steps), side="left").astype(np.intp)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    begins = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(len(lengths)), lengths)  # of each word, row by row
    position = np.arange(len(flat)) - begins[row]
    places = np.stack([starts[position] + row, starts[lengths[row] - 1 - position] + row])
    numbers = np.empty_like(places)
    for direction in (0, 1):
        numbers[direction, places[direction]] = flat
    return Batch(np.array(ordered, dtype=np.intp), lengths, counts, starts, words, numbers, places)


def make_pass(forward: Sentence, backward: Sentence) -> Batch:
    """A batch of one row in which each direction reads words of its own: a segment of a long text.

    Args:
        forward: N words for the forward direction.
        backward: N words, which the backward direction reads from the end.

    Returns:
        the batch.

    Example:
        >>> make_pass(["a", "b"], ["b", "c"]).numbers.tolist()
        [[2, 3], [4, 3]]
    """
    seen: dict[str, int] = {}
    read = [[seen.setdefault(word, len(seen) + 2) for word in words] for words in (forward, backward)]
    places = np.arange(len(forward), dtype=np.intp)
    starts = np.arange(len(forward) + 1, dtype=np.intp)
    one = np.zeros(1, np.intp)
    numbers = np.array([read[0], read[1][::-1]], dtype=np.intp)
    return Batch(
        one, one + len(forward), np.ones_like(places), starts, list(seen), numbers, np.stack([places, places[::-1]])
    )


def boundary_pass() -> Batch:
    """A batch of one row: the forward direction reads begin of sentence, the backward direction its end."""
    one = np.zeros(1, np.intp)
    numbers = np.array([[BOS_NUMBER], [EOS_NUMBER]], dtype=np.intp)
    return Batch(one, one + 1, one + 1, np.arange(2), [], numbers, np.zeros((2, 1), np.intp))


def _number(sentences: Sequence[Sentence], rows: Sequence[int], boundaries: bool) -> tuple[NDArray[np.intp], list[str]]:
    """Word numbers of all rows behind each other, and the distinct words."""
    seen: dict[str, int] = {}
    flat: list[int] = []
    for i in rows:
        inner = [seen.setdefault(word, len(seen) + 2) for word in sentences[i]]
        flat += [BOS_NUMBER, *inner, EOS_NUMBER] if boundaries else inner
    return np.array(flat, dtype=np.intp), list(seen)


@dataclass(frozen=True, eq=False)
class Plan:
    """All batches of a call.

    Args:
        batches: indices of distinct, non-empty sentences, longest first.
        copies: for a sentence that occurs again, the indices of its other places.
        empty: indices of sentences without words.
    """

    batches: list[list[int]]
    copies: dict[int, list[int]]
    empty: list[int]


def plan_batches(sentences: Sequence[Sentence], *, batch_words: int, max_rows: int = MAX_ROWS) -> Plan:
    """Choose which sentences are read together.

    Args:
        sentences: lists of words.
        batch_words: words in a batch at most (a longer sentence is a batch of its own).
        max_rows: sentences in a batch at most.

    Returns:
        the plan: every index stands in exactly one of `batches`, `copies` and `empty`.

    Example:
        >>> plan_batches([["a", "b"], [], ["c"], ["c"]], batch_words=2)
        Plan(batches=[[0], [2]], copies={2: [3]}, empty=[1])
    """
    first: dict[tuple[str, ...], int] = {}
    copies: dict[int, list[int]] = {}
    empty: list[int] = []
    for i, sentence in enumerate(sentences):
        if not len(sentence):
            empty.append(i)
            continue
        original = first.setdefault(tuple(sentence), i)
        if original != i:
            copies.setdefault(original, []).append(i)
    distinct = sorted(first.values(), key=lambda i: -len(sentences[i]))
    return Plan(list(_fill(distinct, sentences, batch_words, max_rows)), copies, empty)


def _fill(order: list[int], sentences: Sequence[Sentence], batch_words: int, max_rows: int) -> Iterator[list[int]]:
    batch: list[int] = []
    n_words = 0
    for i in order:
        if batch and (n_words + len(sentences[i]) > batch_words or len(batch) == max_rows):
            yield batch
            batch, n_words = [], 0
        batch.append(i)
        n_words += len(sentences[i])
    if batch:
        yield batch


def step_blocks(starts: NDArray[Any], max_rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of steps whose packed rows are `max_rows` at most together (or one step alone).

    Args:
        starts: `Batch.starts`.
        max_rows: rows in a block.

    Yields:
        first step and the step after the last.

    Example:
        >>> list(step_blocks(np.array([0, 3, 6, 8, 9]), 6))
        [(0, 2), (2, 4)]
    """
    t = 0
    while t < len(starts) - 1:
        end = max(t + 1, int(np.searchsorted(starts, starts[t] + max_rows, side="right")) - 1)
        yield t, end
        t = end
