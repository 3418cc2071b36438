"""`Engine`: sentences → layers. It owns the plan, the word cache, the order and the threads; a backend does the sums.

    sentences ─ plan ─▶ batches ─ TokenEncoder ─▶ token vectors ─ backend.read ─▶ layers (L, T, 2P) ─ Reduce ─▶ results

Each distinct sentence is read once, all from one start. A sentence longer than `batch_words` is read in segments with
the state carried, so memory does not grow with its length. Source: Peters et al. 2018, §3; bilm-tf for boundaries.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from threading import Lock, local
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends import Backend, make_backend
from elmokit.runtime.batches import BEGIN, END, MAX_ROWS, Batch, Sentence, State, make_batch, plan_batches
from elmokit.runtime.pooling import Reduce
from elmokit.runtime.token_encoder import CACHE_WORDS, TokenEncoder

Array = NDArray[Any]
Result = TypeVar("Result")

BATCH_WORDS = 4096  # words that are read together; longer texts are read in segments of so many


class Engine:
    """A biLM that computes layers, without gradients.

    Arguments and errors are those of `elmokit.Elmo`, and: `tensors` by the names of `ElmoConfig.tensor_shapes()`;
    `words`, the vocabulary of a model with a word table; `backend`, in place of the one for `device` and `precision`.
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
        cache_words: int = CACHE_WORDS,
        backend: Backend | None = None,
    ) -> None:
        _check_number("cache_words", cache_words, 0, "0 for no cache")
        self.config, self.batch_words = config, BATCH_WORDS
        self.backend = backend or make_backend(config, tensors, device=device, precision=precision)
        self.dtype = self.backend.dtype
        self.workers = Workers(n_threads if len(self.backend.splits) > 1 else 1)
        self.tokens = TokenEncoder(config, tensors, words, self.backend, self.workers.run, cache_words)
        self._start: State | None = None

    def map(
        self, reduce: Reduce, *, state: State | None = None, max_rows: int = MAX_ROWS
    ) -> Iterator[tuple[int, Array]]:
        """Read sentences, each from the same state of one row, and keep what `reduce` makes of their layers.

        Yields each sentence's index and result, in the order of computation. Reads at most `max_rows` side by side.
        """
        _check_number("batch_size", max_rows, 1, "a number of texts")
        start = self.after_boundary(state)
        places: dict[tuple[str, ...], list[int]] = {}  # of each distinct sentence
        for i, sentence in enumerate(reduce.sentences):
            places.setdefault(tuple(sentence), []).append(i)
        for i in places.pop((), ()):
            yield i, reduce.whole(i, np.zeros((self.config.n_layers, 0, self.config.dim), self.dtype))
        copies = {i: others for i, *others in places.values()}
        batches = plan_batches(reduce.sentences, copies, batch_words=self.batch_words, max_rows=max_rows)
        tasks = [partial(self._read, rows, start, reduce) for rows in batches]
        many = 1 < self.workers.n_threads <= len(tasks)  # a batch a thread; else the two directions on a thread each
        for results in self.workers.stream(tasks) if many else (task() for task in tasks):
            for i, result in results:
                yield i, result
                for copy in copies[i]:
                    yield copy, result.copy()

    def layers(self, sentences: Sequence[Sentence], *, state: State | None = None) -> Iterator[tuple[int, Array]]:
        """Index and all layers (L, T, 2P) of each sentence; see `map`."""
        return self.map(Reduce(sentences), state=state)

    def step(self, sentences: Sequence[Sentence], state: State | None) -> tuple[list[Array], State]:
        """One batch with carried state, exactly as bilm-tf: row r starts where row r of `state` stands, or from zeros.

        Returns each sentence's layers, (L, T, 2P), and the state after the batch; rows beyond the batch keep theirs.
        """
        state = (state or State.zeros(self.config, 0)).check(self.config).grown(len(sentences), self.dtype)
        if not len(sentences):
            return [], state
        batch = make_batch([[BEGIN, *sentence, END] for sentence in sentences], range(len(sentences)))
        slab, after = self._run(batch, state.take(batch.rows))
        state.hidden[:, :, batch.rows], state.cell[:, :, batch.rows] = after.hidden, after.cell
        layers = {row: slab[:, span] for row, span in batch.spans(cut=1)}
        return [layers[i] for i in range(len(sentences))], state

    def after_boundary(self, state: State | None) -> State:
        """The state of one row (None for zeros) after begin (forward) and end (backward) of sentence."""
        if state is None and self._start is not None:
            return self._start
        before = (state or State.zeros(self.config, 1, dtype=self.dtype)).check(self.config)
        if before.n_rows != 1:
            raise ConfigError(f"the state has {before.n_rows} rows; expected one, from which all sentences start.")
        _, after = self._run(make_batch([[BEGIN]], [0], backward=[[END]]), before)
        if state is None:
            self._start = after
        return after

    def _read(self, rows: Sequence[int], start: State, reduce: Reduce) -> list[tuple[int, Array]]:
        if len(rows) == 1 and len(reduce.sentences[rows[0]]) > self.batch_words:
            *_, result = self.turns(reduce, self.batch_words, rows[0], start)
            return [(rows[0], cast(Array, result))]
        batch = make_batch(reduce.sentences, rows)
        slab, _ = self._run(batch, start.take(np.zeros(len(rows), dtype=np.intp)))
        return [(row, reduce.whole(row, slab[:, span])) for row, span in batch.spans()]

    def turns(self, reduce: Reduce, size: int, i: int = 0, state: State | None = None) -> Iterator[Array | None]:
        """Read text i of `reduce` in segments of `size` words, so that other work can come between.

        The forward direction reads segments from the text's begin, the backward direction from its end. Yields None
        after each segment, and last the result, which does not depend on the segments.
        """
        state, P, words = state or self.after_boundary(None), self.config.projection_width, reduce.sentences[i]
        n = len(words)
        collector = reduce.collector(i, whole=n <= self.batch_words)  # as `map` reads it
        for begin in range(0, n, size):
            end = min(n, begin + size)
            batch = make_batch([words[begin:end]], [0], backward=[words[n - end : n - begin]])
            slab, state = self._run(batch, state)
            collector.add(0, begin, slab[:, :, :P])
            collector.add(1, n - end, slab[:, :, P:])
            yield None
        yield collector.result()

    def _run(self, batch: Batch, start: State) -> tuple[Array, State]:
        """Layers of a batch, row by row behind each other, (L, N, 2P), and the final state."""
        P, L = self.config.projection_width, self.config.n_layers
        tokens = self.tokens.vectors(batch.words)
        slab = np.empty((L, batch.numbers.shape[1], 2 * P), self.dtype)
        for direction in (0, 1):
            numbers = batch.numbers[direction][batch.places[direction]]
            slab[0, :, direction * P : (direction + 1) * P] = tokens[numbers]
        after = State(np.empty_like(start.hidden, self.dtype), np.empty_like(start.cell, self.dtype))
        read = partial(self.backend.read, batch, tokens, start, slab, after)
        self.workers.run([partial(read, directions) for directions in self.backend.splits])
        return slab, after


def _check_number(name: str, value: object, least: int, meaning: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}; expected {least} or more, {meaning}.")


@cache
def _blas_libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


class _SingleThreadedBlas:
    """Matrix products in the block run on one thread each: spreading such small ones costs more than it gains.

    The limit belongs to the process: it is set when the first computation begins, on any thread, and taken back after
    the last. From version 3.7 on, threadpoolctl lets one thread set OpenBLAS's number and silently ignores all others,
    so we call the function below that check.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a forked child: only the forking thread is left, so nobody computes or holds the lock."""
        self.lock, self.n_users, self.before = Lock(), 0, [0]

    def _set_threads(self, numbers: Iterable[int]) -> None:
        for library, n in zip(_blas_libraries(), numbers, strict=True):
            getattr(library, "_real_set_num_threads", library.set_num_threads)(n)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            if self.n_users == 0:
                self.before = [library.get_num_threads() for library in _blas_libraries()]
                self._set_threads([1] * len(self.before))
            self.n_users += 1
        try:
            yield
        finally:
            with self.lock:
                self.n_users -= 1
                if self.n_users == 0:
                    self._set_threads(self.before)


single_threaded_blas = _SingleThreadedBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_blas.forget)


class Workers:
    """Threads that run independent tasks; none are started before the first. None: one per core of the process."""

    def __init__(self, n_threads: int | None = None) -> None:
        if n_threads is not None:
            _check_number("n_threads", n_threads, 1, "or None for one per core")
        known = hasattr(os, "sched_getaffinity")  # Linux
        self.n_threads = n_threads or (len(os.sched_getaffinity(0)) if known else os.cpu_count()) or 1
        self._process, self._here = 0, local()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, tasks: Sequence[Callable[[], Result]]) -> list[Result]:
        """Results of tasks, which run with BLAS on one thread each; within a task of these workers one by one."""
        if getattr(self._here, "is_worker", False):
            return [task() for task in tasks]
        with single_threaded_blas():
            alone = self.n_threads == 1 or len(tasks) < 2
            return [task() for task in tasks] if alone else list(self.stream(tasks))

    def stream(self, tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """Results of tasks, in order, on all threads; little more is begun than is taken."""
        begun: deque[Future[Result]] = deque()
        with single_threaded_blas():
            try:
                for task in tasks:
                    begun.append(self._threads().submit(task))
                    if len(begun) > self.n_threads:
                        yield begun.popleft().result()
                while begun:
                    yield begun.popleft().result()
            finally:  # nobody wants the rest, or one has failed
                for future in begun:
                    future.cancel()
                wait(begun)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None or self._process != os.getpid():  # threads do not outlive a fork
            self._process = os.getpid()
            mark = partial(setattr, self._here, "is_worker", True)
            self._pool = ThreadPoolExecutor(self.n_threads, "elmokit", initializer=mark)
        return self._pool
