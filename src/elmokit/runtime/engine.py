"""`Engine`: sentences → layers. It owns the plan, the word cache, the order and the threads; a backend does the sums.

    sentences ─ plan ─▶ batches ─ TokenEncoder ─▶ token vectors ─ backend.read ─▶ layers (L, T, 2P) ─ Reduce ─▶ results

A sentence's layers do not depend on its neighbours: each distinct sentence is read once, all from one start. A sentence
longer than `batch_words` is read in segments with the state carried, so memory does not grow with its length. `step` is
the original implementation's way: one batch, with a state that is passed in and comes back.
Source: Peters et al. 2018, §3; bilm-tf for boundaries and state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends import Backend, make_backend
from elmokit.runtime.batches import MAX_ROWS, Batch, Sentence, boundary_pass, make_batch, make_pass, plan_batches
from elmokit.runtime.state import State
from elmokit.runtime.threads import Workers
from elmokit.runtime.token_encoder import CACHE_WORDS, TokenEncoder

Array = NDArray[Any]

BATCH_WORDS = 4096
"""Words that are read together; longer texts are read in segments of so many."""


class Collector(Protocol):
    """Takes the layers of one long text, segment by segment."""

    def add(self, direction: int, start: int, layers: Array) -> None:
        """Take one direction's layers of the words from `start` on. Shape (L, n, P); valid during the call."""
        ...

    def result(self) -> Array:
        """What is kept of the text."""
        ...


class Reduce(Protocol):
    """What is kept of a text's layers, computed on the thread that read it."""

    def whole(self, i: int, layers: Array) -> Array:
        """The result for sentence i, from its layers (L, T, 2P)."""
        ...

    def segments(self, i: int) -> Collector:
        """A collector for sentence i, which is read in segments."""
        ...


class Engine:
    """A biLM that computes layers, without gradients.

    Args:
        config: what it is made of.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`. They are copied, packed for speed.
        words: the vocabulary of a model with a word table; a word's place is its id.
        device: "auto" (the CPU), "cpu", or a GPU's name.
        precision: "float32", "float64" or "bfloat16".
        n_threads: threads to compute on; None for one per core.
        batch_words: words that are read together; bounds the memory.
        cache_words: words whose token vectors are kept between calls.
        backend: replaces the one that `device` and `precision` choose.

    Raises:
        ConfigError: values that are unknown or do not go together, or a vocabulary that is missing.
        MissingExtra: the device or precision needs PyTorch, which is not installed.

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=4, bilstm=BiLSTMConfig(cell_width=8))
        >>> ones = {name: np.ones(shape) for name, shape in config.tensor_shapes().items()}
        >>> engine = Engine(config, ones, words=("<S>", "</S>", "<UNK>"))
        >>> [(i, layers.shape) for i, layers in engine.layers([["a"], [], ["a", "b"]])]
        [(1, (3, 0, 8)), (2, (3, 2, 8)), (0, (3, 1, 8))]
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        *,
        words: Sequence[str] | None = None,
        device: str = "auto",
        precision: str = "float32",
        n_threads: int | None = None,
        batch_words: int = BATCH_WORDS,
        cache_words: int = CACHE_WORDS,
        backend: Backend | None = None,
    ) -> None:
        if isinstance(cache_words, bool) or not isinstance(cache_words, int) or cache_words < 0:
            raise ConfigError(f"cache_words is {cache_words!r}; expected a number of words, 0 for no cache.")
        self.config, self.batch_words = config, batch_words
        self.backend = backend or make_backend(config, tensors, device=device, precision=precision)
        self.dtype = self.backend.dtype
        self.workers = Workers(n_threads if self.backend.device == "cpu" else 1, prepare=self.backend.prepare_thread)
        self.tokens = TokenEncoder(
            config,
            tensors,
            words=words,
            embed=self.backend.embed,
            dtype=self.dtype,
            workers=self.workers,
            cache_words=cache_words,
        )
        self._start: State | None = None

    def map(
        self, sentences: Sequence[Sentence], reduce: Reduce, *, state: State | None = None, max_rows: int = MAX_ROWS
    ) -> Iterator[tuple[int, Array]]:
        """Compute the layers of sentences and keep of each what `reduce` makes of them.

        Args:
            sentences: lists of words; any word and any length is legal.
            reduce: what is kept.
            state: one row, from which every sentence starts; None for zeros.
            max_rows: sentences that are read side by side.

        Yields:
            index of a sentence and its result, in the order of computation; each index once.

        Raises:
            ConfigError: a state of another model or of several rows.
        """
        if isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 1:
            raise ConfigError(f"batch_size is {max_rows!r}; expected a number of texts, at least 1.")
        plan = plan_batches(sentences, batch_words=self.batch_words, max_rows=max_rows)
        start = self.after_boundary(state)
        for i in plan.empty:
            yield i, reduce.whole(i, np.zeros((self.config.n_layers, 0, self.config.dim), self.dtype))
        tasks = [partial(self._read, sentences, rows, start, reduce) for rows in plan.batches]
        many = 1 < self.workers.n_threads <= len(tasks)  # a batch a thread; else the two directions on a thread each
        for results in self.workers.stream(tasks) if many else (task() for task in tasks):
            for i, result in results:
                yield i, result
                for copy in plan.copies.get(i, ()):
                    yield copy, result.copy()

    def layers(self, sentences: Sequence[Sentence], *, state: State | None = None) -> Iterator[tuple[int, Array]]:
        """All layers of all sentences.

        Args:
            sentences: lists of words.
            state: one row, from which every sentence starts; None for zeros.

        Returns:
            an iterator over the index of a sentence and its layers, (L, T, 2P). Sentences of one batch share memory.

        Raises:
            ConfigError: a state of another model or of several rows.
        """
        return self.map(sentences, KeepLayers([len(s) for s in sentences], self.config, self.dtype), state=state)

    def step(self, sentences: Sequence[Sentence], state: State | None) -> tuple[list[Array], State]:
        """One batch with carried state, exactly as bilm-tf: row r starts where row r of `state` stands.

        Args:
            sentences: one batch of lists of words.
            state: where the rows start; None for zeros, and rows that it lacks start from zeros.

        Returns:
            each sentence's layers, (L, T, 2P), and the state after it; rows beyond the batch keep theirs.

        Raises:
            ConfigError: a state of another model.
        """
        before = (state or State.zeros(self.config, 0, dtype=self.dtype)).check(self.config)
        missing = max(0, len(sentences) - before.n_rows)
        new_rows = np.arange(before.n_rows, before.n_rows + missing)
        before = before.put(new_rows, State.zeros(self.config, missing, dtype=self.dtype))
        if not len(sentences):
            return [], before
        batch = make_batch(sentences, range(len(sentences)), boundaries=True)
        slab, after = self._run(batch, before.take(batch.rows))
        results: dict[int, Array] = {}
        for row, end, length in zip(batch.rows.tolist(), batch.ends, batch.lengths, strict=True):
            results[row] = slab[:, end - length + 1 : end - 1]
        return [results[i] for i in range(len(sentences))], before.put(batch.rows, after)

    def after_boundary(self, state: State | None) -> State:
        """The state after begin (forward) and end (backward) of sentence, the same for all sentences.

        Args:
            state: one row to start from; None for zeros.

        Returns:
            one row.

        Raises:
            ConfigError: a state of another model or of several rows.
        """
        if state is None and self._start is not None:
            return self._start
        before = (state or State.zeros(self.config, 1, dtype=self.dtype)).check(self.config)
        if before.n_rows != 1:
            raise ConfigError(f"the state has {before.n_rows} rows; expected one, from which all sentences start.")
        _, after = self._run(boundary_pass(), before)
        if state is None:
            self._start = after
        return after

    def _read(
        self, sentences: Sequence[Sentence], rows: Sequence[int], start: State, reduce: Reduce
    ) -> list[tuple[int, Array]]:
        """The results of one batch."""
        if len(rows) == 1 and len(sentences[rows[0]]) > self.batch_words:
            return [(rows[0], self._read_segments(sentences[rows[0]], start, reduce.segments(rows[0])))]
        batch = make_batch(sentences, rows)
        slab, _ = self._run(batch, start.take(np.zeros(len(rows), dtype=np.intp)))
        results = []
        for row, end, length in zip(batch.rows.tolist(), batch.ends, batch.lengths, strict=True):
            results.append((row, reduce.whole(row, slab[:, end - length : end])))
        return results

    def _read_segments(self, words: Sentence, state: State, collector: Collector) -> Array:
        """A long text: the forward direction reads segments from its begin, the backward direction from its end."""
        P, n = self.config.projection_width, len(words)
        for begin in range(0, n, self.batch_words):
            end = min(n, begin + self.batch_words)
            slab, state = self._run(make_pass(words[begin:end], words[n - end : n - begin]), state)
            collector.add(0, begin, slab[:, :, :P])
            collector.add(1, n - end, slab[:, :, P:])
        return collector.result()

    def _run(self, batch: Batch, start: State) -> tuple[Array, State]:
        """Layers of a batch, row by row behind each other, (L, N, 2P), and the final state."""
        P, L = self.config.projection_width, self.config.n_layers
        tokens = self.tokens.vectors(batch.words, first=2)
        tokens[:2] = self.tokens.boundaries
        slab = np.empty((L, batch.numbers.shape[1], 2 * P), self.dtype)
        for direction in (0, 1):
            numbers = batch.numbers[direction][batch.places[direction]]
            slab[0, :, direction * P : (direction + 1) * P] = tokens[numbers]
        after = State(np.empty_like(start.hidden, self.dtype), np.empty_like(start.cell, self.dtype))
        read = partial(self.backend.read, batch, tokens, start, slab, after)
        self.workers.run([partial(read, directions) for directions in self.backend.splits])
        return slab, after


class KeepLayers:
    """A `Reduce` that keeps all layers.

    Args:
        lengths: words of each sentence.
        config: the model.
        dtype: of its vectors.
    """

    def __init__(self, lengths: Sequence[int], config: ElmoConfig, dtype: np.dtype[Any]) -> None:
        self._lengths, self._config, self._dtype = lengths, config, dtype

    def whole(self, i: int, layers: Array) -> Array:  # noqa: ARG002  # the protocol names the sentence
        """The layers themselves."""
        return layers

    def segments(self, i: int) -> Slab:
        """A collector of all layers."""
        return Slab(np.empty((self._config.n_layers, self._lengths[i], self._config.dim), self._dtype))


class Slab:
    """A `Collector` that puts the segments of a text together.

    Args:
        layers: takes them. Shape (L, T, 2P).
    """

    def __init__(self, layers: Array) -> None:
        self._layers = layers

    def add(self, direction: int, start: int, layers: Array) -> None:
        """Copy one direction's layers of the words from `start` on."""
        _, n, P = layers.shape
        self._layers[:, start : start + n, direction * P : (direction + 1) * P] = layers

    def result(self) -> Array:
        """All layers."""
        return self._layers
