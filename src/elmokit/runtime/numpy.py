"""The biLM in NumPy: what `encode` runs on where no PyTorch is wanted, and the faster one in float32.

`layers` is the main road: any number of sentences, each distinct text and each distinct word once, every text from
the same start. `step` is the original's way, one batch with a state that is passed in and comes back.

A sentence's vectors do not depend on its neighbours. With OpenBLAS on a processor with AVX-512 they are the same bits
alone, in any batch, in any order, with any batch size and any number of threads; elsewhere (OpenBLAS's kernels for AVX2
among them) equal to 1e-6 relative in float32. `rows.py` says what that takes.
Source: Peters et al. 2018, §3; bilm-tf for cell, clips and state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.char_cnn import CharCNN, Highway, Parts, WordTable
from elmokit.runtime.lstm import AnyTower, Tower, Towers
from elmokit.runtime.plan import Batch, Sentence, make_batch, plan_batches
from elmokit.runtime.rows import BufferPool, MakeProduct, MatrixProduct
from elmokit.runtime.state import State
from elmokit.runtime.threads import Workers
from elmokit.runtime.word_cache import CACHE_WORDS, WordCache
from elmokit.runtime.word_char import WordCharEncoder

Array = NDArray[Any]

CNN_WORDS = 128
"""Words that one thread takes through the character CNN at a time."""


class AnyTowers(Protocol):
    """What reads a batch in both directions (see `elmokit.runtime.lstm.Towers`)."""

    def run(self, batch: Batch, tokens: Array, start: State, slab: Array) -> State:
        """Write all LSTM layers of a batch into `slab` from index 1 on and give the final states."""
        ...


class NumpyRuntime:
    """A biLM that computes layers, without gradients.

    Args:
        config: what it is made of.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`. They are copied (packed for speed).
        words: the vocabulary of a model without characters; a word's place is its id.
        dtype: "float32" or "float64".
        n_threads: threads to compute on; None for one per core.
        batch_words: words that are read together; bounds the memory, changes no result.
        cache_words: words whose token vectors are kept between calls.
        make_product, parts, make_tower, towers, workers: how to multiply, compute the character CNN, read in one
            direction, read in both, and share out work, for other runtimes over this one.

    Raises:
        ConfigError: another dtype, or a model without characters and without words.

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=4, bilstm=BiLSTMConfig(cell_width=8))
        >>> ones = {name: np.ones(shape) for name, shape in config.tensor_shapes().items()}
        >>> runtime = NumpyRuntime(config, ones, words=("<S>", "</S>", "<UNK>"))
        >>> [(i, layers.shape) for i, layers in runtime.layers([["a"], [], ["a", "b"]])]
        [(1, (3, 0, 8)), (2, (3, 2, 8)), (0, (3, 1, 8))]
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        *,
        words: Sequence[str] | None = None,
        dtype: DTypeLike = "float32",
        n_threads: int | None = None,
        batch_words: int = 4096,
        cache_words: int = CACHE_WORDS,
        make_product: MakeProduct = MatrixProduct,
        parts: Parts | None = None,
        make_tower: Callable[[str], AnyTower] | None = None,
        towers: AnyTowers | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.config = config
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ConfigError(f"dtype is {self.dtype}; the NumPy runtime computes in float32 or float64.")
        self.batch_words = batch_words
        self._workers = workers or Workers(n_threads)
        self._buffers = BufferPool(self.dtype)
        make_tower = make_tower or partial(Tower, config, tensors, dtype=self.dtype, make_product=make_product)
        self._towers = towers or Towers(
            [make_tower(direction) for direction in ("forward", "backward")],
            workers=self._workers,
            buffers=self._buffers,
        )
        self._encoder = self._make_encoder(tensors, words, make_product, parts)
        self._boundaries = self._encoder.boundaries()
        self._cache = WordCache(
            self._encode_words, width=config.projection_width, n_words=cache_words, dtype=self.dtype
        )
        self._start: State | None = None

    def _make_encoder(
        self,
        tensors: Mapping[str, Array],
        words: Sequence[str] | None,
        make_product: MakeProduct,
        parts: Parts | None,
    ) -> CharCNN | WordTable | WordCharEncoder:
        if self.config.char_cnn is not None and self.config.char_cnn.characters is not None:
            return WordCharEncoder(self.config, tensors, words or (), self.dtype, parts)
        if self.config.char_cnn is not None:
            parts = parts or Parts(make_product, highway=partial(Highway, make_product=make_product))
            return CharCNN(self.config.char_cnn, tensors, self.dtype, parts)
        missing = {"<S>", "</S>", "<UNK>"} - set(words or ())
        if words is None or missing:
            raise ConfigError(
                f"this model reads whole words, so it needs its vocabulary; {sorted(missing)} are missing from `words`."
            )
        return WordTable(tensors["word_embedding.weight"], words, self.dtype)

    def layers(
        self, sentences: Sequence[Sentence], *, state: State | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """All layers of all sentences.

        Args:
            sentences: lists of words; any word and any length is legal.
            state: one row, from which every sentence starts; None for zeros.

        Yields:
            index of the sentence and its layers, (L, T, 2P), in the order of computation; each index once. The
            sentences of one batch share memory.

        Raises:
            ConfigError: a state of another model or of several rows.
        """
        plan = plan_batches(sentences, batch_words=self.batch_words)
        start = self.after_boundary(state)
        for i in plan.empty:
            yield i, np.zeros((self.config.n_layers, 0, self.config.dim), self.dtype)
        for batch, slab in self._read(sentences, plan.batches, start):
            for row, end, length in zip(batch.rows.tolist(), batch.ends, batch.lengths, strict=True):
                layers = slab[:, end - length : end]
                yield row, layers
                for copy in plan.copies.get(row, ()):
                    yield copy, layers.copy()

    def _read(
        self, sentences: Sequence[Sentence], batches: Sequence[list[int]], start: State
    ) -> Iterator[tuple[Batch, Array]]:
        """Batches and their layers: a batch a thread, or one after the other on all threads if there are few."""

        def read(rows: list[int]) -> tuple[Batch, Array]:
            batch = make_batch(sentences, rows)
            return batch, self._run(batch, start.take(np.zeros(len(rows), dtype=np.intp)))[0]

        if 1 < self._workers.n_threads <= len(batches):
            yield from self._workers.stream(partial(read, rows) for rows in batches)
        else:
            for rows in batches:
                yield read(rows)

    def step(self, sentences: Sequence[Sentence], state: State | None) -> tuple[list[NDArray[Any]], State]:
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
        index = np.arange(1, dtype=np.intp)
        numbers = np.array([[0], [1]], dtype=np.intp)
        batch = Batch(index, index + 1, index + 1, np.arange(2), [], numbers, np.zeros((2, 1), np.intp))
        _, after = self._run(batch, before)
        if state is None:
            self._start = after
        return after

    def _run(self, batch: Batch, start: State) -> tuple[Array, State]:
        """Layers of a batch, row by row behind each other, (L, N, 2P), and the final state."""
        P, L = self.config.projection_width, self.config.n_layers
        tokens = self._cache.vectors(batch.words, first=2)
        tokens[:2] = self._boundaries
        slab = np.empty((L, batch.numbers.shape[1], 2 * P), self.dtype)
        slab[0, :, :P] = slab[0, :, P:] = tokens[batch.numbers[0][batch.places[0]]]
        after = self._towers.run(batch, tokens, start, slab)
        return slab, after

    def _encode_words(self, words: Sequence[str]) -> Array:
        if isinstance(self._encoder, WordTable):
            return self._encoder.encode(words)
        encoder = self._encoder
        ids, order = encoder.char_ids(words)
        out = np.empty((len(words), self.config.projection_width), self.dtype)

        def encode(start: int) -> None:
            with self._buffers.borrowed() as buffers:
                out[order[start : start + CNN_WORDS]] = encoder.encode_ids(ids[start : start + CNN_WORDS], buffers)

        starts = range(0, len(words), CNN_WORDS)
        self._workers.run([partial(encode, start) for start in reversed(starts)])  # long words first: all end together
        return out
