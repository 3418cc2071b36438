"""Requests → batches: many requests wait for one model, and what they ask for is computed together.

A request enters a queue and gets a future; a thread takes texts of several requests for each call of the model. Merging
changes no answer, since a text's vector does not depend on its neighbours. Every batch advances the oldest request by
a turn and takes small ones whole, so small requests overtake large ones and none waits for ever. Requests with a very
long text have a queue and a thread of their own. Cancelled requests are dropped between two batches.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elmokit.config import ElmoConfig
from elmokit.elmo import Elmo
from elmokit.encoding import Encoding

Words = Sequence[str]

_SMOOTHING = 0.2
_FIRST_RATE = 10_000.0
_SHARE_OF_OLDEST, _SHARE_ALONE = 0.25, 0.5
"""Parts of a batch that the oldest request gets, beside others and alone: small turns let small requests in sooner."""


class QueueFull(Exception):
    """Too many words wait already.

    Args:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy; try again in {retry_after} s")
        self.retry_after = retry_after


class QueueClosed(Exception):
    """The queue takes no more requests."""


@dataclass(frozen=True)
class EncodingTask:
    """What is computed of texts; requests with the same task are merged.

    Args:
        encoding: which vectors.
        words: whether every word gets a vector, instead of every text.
        each: whether words have a vector per layer.
    """

    encoding: Encoding = field(default_factory=Encoding)
    words: bool = False
    each: bool = False

    def width(self, config: ElmoConfig) -> int:
        """Numbers per text, or per word.

        Args:
            config: configuration of the model.

        Returns:
            the width.

        Raises:
            ConfigError: layers that the model does not have.
        """
        if self.each:
            return config.n_layers * config.dim
        self.encoding.check(config)
        return self.encoding.word_width(config) if self.words else self.encoding.width(config)

    def compute(self, elmo: Elmo, sentences: Sequence[Words]) -> Any:
        """Compute it.

        Args:
            elmo: the model.
            sentences: N lists of words.

        Returns:
            N results in order: an array of shape (N, d), or `Features`.

        Raises:
            ConfigError: a pooling or layers that the model does not have.
        """
        if not self.words:
            return elmo.encode(sentences, self.encoding, show_progress=False)
        layers = "each" if self.each else self.encoding.layers
        weights = None if self.each else self.encoding.layer_weights
        return elmo.encode_words(sentences, layers=layers, layer_weights=weights, show_progress=False)


@dataclass(frozen=True)
class BatchStats:
    """What a batch was, for the metrics: numbers of requests, texts and words in it, and the seconds it took."""

    n_requests: int
    n_texts: int
    n_words: int
    seconds: float


@dataclass(eq=False)
class _Job:
    """A request in the queue: its texts, and the parts of its result so far."""

    task: EncodingTask
    sentences: Sequence[Words]
    costs: Sequence[int]
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)
    n_taken: int = 0
    parts: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.n_left = sum(self.costs)

    def take(self, room: int) -> _Part:
        """The next texts that fit into a number of words, at least one."""
        start, n_words = self.n_taken, 0
        while self.n_taken < len(self.costs):
            if n_words and n_words + self.costs[self.n_taken] > room:
                break
            n_words += self.costs[self.n_taken]
            self.n_taken += 1
        self.n_left -= n_words
        return _Part(self, self.sentences[start : self.n_taken], n_words)


@dataclass(frozen=True, eq=False)
class _Part:
    """Texts of a request that are computed in one batch."""

    job: _Job
    sentences: Sequence[Words]
    n_words: int


class BatchQueue:
    """A model with its queues and threads.

    Args:
        elmo: the model.
        batch_words: words that are computed together. A request with a text longer than this has the second queue.
        batch_ms: milliseconds that the first request of a batch waits for others.
        max_waiting_words: words in each queue.
        on_batch: called with every batch, on its thread.

    Example:
        ``queue = BatchQueue(Elmo.load()); queue.submit(EncodingTask(), [["a", "word"]]).result(); queue.close()``
    """

    def __init__(
        self,
        elmo: Elmo,
        *,
        batch_words: int = 4096,
        batch_ms: float = 2.0,
        max_waiting_words: int = 200_000,
        on_batch: Callable[[BatchStats], object] | None = None,
    ) -> None:
        self.elmo = elmo
        self._batch_words = batch_words
        lanes = [_Lane(elmo, batch_words, batch_ms / 1000, max_waiting_words, on_batch) for _ in range(2)]
        self._short, self._long = self._lanes = lanes

    @property
    def waiting_words(self) -> int:
        """Words in the queues that are not being computed yet."""
        return sum(lane.waiting_words for lane in self._lanes)

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return all(lane.is_ready for lane in self._lanes)

    def submit(self, task: EncodingTask, sentences: Sequence[Words]) -> Future[Any]:
        """Ask for vectors.

        Args:
            task: which vectors.
            sentences: N lists of words.

        Returns:
            a future of what `EncodingTask.compute` returns. Cancelling it saves the work that is not done yet.

        Raises:
            QueueFull: the queue is full.
            QueueClosed: the server is shutting down.
        """
        costs = [len(words) + 1 for words in sentences]
        if not costs:
            done: Future[Any] = Future()
            done.set_result(task.compute(self.elmo, []))
            return done
        lane = self._long if max(costs, default=0) > self._batch_words + 1 else self._short
        return lane.put(_Job(task, sentences, costs))

    def close(self, timeout_s: float | None = None) -> bool:
        """Accept nothing more, finish what waits and end the threads.

        Args:
            timeout_s: seconds to wait for that; None for no limit.

        Returns:
            whether all threads have ended.
        """
        ended = [lane.close(timeout_s) for lane in self._lanes]
        return all(ended)


class _Lane:
    """One queue and its thread."""

    def __init__(
        self,
        elmo: Elmo,
        batch_words: int,
        batch_s: float,
        max_waiting_words: int,
        on_batch: Callable[[BatchStats], object] | None,
    ) -> None:
        self._elmo, self._batch_words, self._batch_s = elmo, batch_words, batch_s
        self._max_waiting_words, self._on_batch = max_waiting_words, on_batch
        self._jobs: list[_Job] = []  # oldest first; those with texts that are not taken yet
        self._rate = _FIRST_RATE
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="elmokit-model", daemon=True)
        self._thread.start()

    @property
    def waiting_words(self) -> int:
        return sum(job.n_left for job in self._jobs)

    @property
    def is_ready(self) -> bool:
        return self._thread.is_alive() and not self._closing

    def put(self, job: _Job) -> Future[Any]:
        with self._changed:
            if self._closing:
                raise QueueClosed
            self._forget_cancelled()
            waiting = self.waiting_words
            if self._jobs and waiting + job.n_left > self._max_waiting_words:
                raise QueueFull(max(1, min(60, math.ceil(waiting / max(self._rate, 1.0)))))
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def close(self, timeout_s: float | None) -> bool:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _forget_cancelled(self) -> None:
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]

    def _work(self) -> None:
        while parts := self._take():
            groups: dict[EncodingTask, list[_Part]] = {}
            for part in parts:
                groups.setdefault(part.job.task, []).append(part)
            for group in groups.values():
                self._compute(group)

    def _take(self) -> list[_Part]:
        """The texts of the next batch; none when all is done and the queue is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                end = self._jobs[0].arrived + self._batch_s if self._jobs else 0.0
                while self.waiting_words < self._batch_words and not self._closing and (now := time.monotonic()) < end:
                    self._changed.wait(end - now)
                self._forget_cancelled()
                if self._jobs or self._closing:
                    break
            if not self._jobs:
                return []
            oldest, *others = self._jobs
            share = _SHARE_OF_OLDEST if others else _SHARE_ALONE
            parts = [oldest.take(int(self._batch_words * share))]
            room = self._batch_words - parts[0].n_words
            for job in sorted(others, key=lambda job: job.n_left):
                if job.n_left > room:
                    break
                room -= job.n_left
                parts.append(job.take(room + job.n_left))
            self._jobs = [job for job in self._jobs if job.n_left]
            return parts

    def _compute(self, parts: Sequence[_Part]) -> None:
        """Compute texts with one task; if that fails, each request alone, so that one cannot fail another."""
        begin = time.monotonic()
        try:
            sentences = [sentence for part in parts for sentence in part.sentences]
            results = parts[0].job.task.compute(self._elmo, sentences)
        except BaseException as error:
            if len(parts) == 1:
                self._fail(parts[0].job, error)
            else:
                for part in parts:
                    self._compute([part])
            return
        seconds = time.monotonic() - begin
        n_words = sum(part.n_words for part in parts)
        self._rate += _SMOOTHING * (n_words / max(seconds, 1e-6) - self._rate)
        if self._on_batch is not None:
            self._on_batch(BatchStats(len(parts), len(sentences), n_words, seconds))
        start = 0
        for part in parts:
            part.job.parts.append(results[start : start + len(part.sentences)])
            start += len(part.sentences)
            if not part.job.n_left:
                _finish(part.job)

    def _fail(self, job: _Job, error: BaseException) -> None:
        with self._changed:
            self._jobs = [other for other in self._jobs if other is not job]
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)


def _finish(job: _Job) -> None:
    parts = job.parts
    if len(parts) > 1:
        joined = np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [one for part in parts for one in part]
    else:
        joined = parts[0]
    if job.future.set_running_or_notify_cancel():
        job.future.set_result(joined)
