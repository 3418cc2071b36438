"""Requests → batches: one thread owns the model, many requests wait for it, and what they want is computed at once.

A request is put into a queue and gets a future. The thread takes the first one, waits a few milliseconds for others
(not at all if they are there already), and computes all that want the same in one call, so the event loop never
computes and 64 small requests cost little more than one large. Since a text's vector does not depend on its neighbours,
who is merged with whom changes no answer. The queue is bounded in words, which is what time goes by: who comes when
it is full is told when to come again, from the rate at which words were read lately.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from elmokit.elmo import Elmo

Words = Sequence[str]

_SMOOTHING = 0.2
_FIRST_RATE = 10_000.0


class Full(Exception):
    """Too many words wait already.

    Args:
        retry_after: seconds after which there should be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy; try again in {retry_after} s")
        self.retry_after = retry_after


class Closed(Exception):
    """Nothing new is taken on."""


@dataclass(frozen=True)
class Wanted:
    """What is computed of texts; requests that want the same are merged.

    Args:
        words: whether every word gets a vector, instead of every text.
        layers: see `Elmo.encode`.
        pooling: see `Elmo.encode`; of no meaning for words.
        normalize: see `Elmo.encode`; of no meaning for words.
    """

    words: bool = False
    layers: str | int | tuple[float, ...] = "mix"
    pooling: str = "mean"
    normalize: bool = False

    def of(self, elmo: Elmo, sentences: Sequence[Words]) -> Any:
        """Compute it.

        Args:
            elmo: the model.
            sentences: N lists of words.

        Returns:
            N results in order: vectors of shape (d,), or `WordVectors`.

        Raises:
            ConfigError: layers or a pooling that the model does not have.
        """
        if self.words:
            return elmo.encode_words(sentences, layers=self.layers, show_progress=False)
        return elmo.encode(
            sentences, pooling=self.pooling, layers=self.layers, normalize=self.normalize, show_progress=False
        )


@dataclass(eq=False)
class _Job:
    wanted: Wanted | Callable[[], Any]
    sentences: Sequence[Words]
    n_words: int
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Batch:
    """What a batch was, for those who count.

    Args:
        n_requests: that it answered.
        n_texts: their texts.
        n_words: their words.
        seconds: that it took.
    """

    n_requests: int
    n_texts: int
    n_words: int
    seconds: float


class Batches:
    """A model with its thread and its queue.

    Args:
        elmo: the model.
        batch_words: words that are computed together; a single request may have more.
        batch_ms: how long the first request waits for others, in milliseconds.
        max_waiting_words: words in the queue.
        on_batch: told of every batch, on the thread.

    Example:
        ``batches = Batches(Elmo.load()); batches.submit(Wanted(), [["a", "word"]]).result(); batches.close()``
    """

    def __init__(
        self,
        elmo: Elmo,
        *,
        batch_words: int = 4096,
        batch_ms: float = 2.0,
        max_waiting_words: int = 200_000,
        on_batch: Callable[[Batch], object] | None = None,
    ) -> None:
        self.elmo = elmo
        self._batch_words, self._batch_s = batch_words, batch_ms / 1000
        self._max_waiting_words = max_waiting_words
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._waiting_words = 0
        self._rate = _FIRST_RATE
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="elmokit-model", daemon=True)
        self._thread.start()

    @property
    def waiting_words(self) -> int:
        """Words in the queue."""
        return self._waiting_words

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken on."""
        return self._thread.is_alive() and not self._closing

    def submit(self, wanted: Wanted, sentences: Sequence[Words]) -> Future[Sequence[Any]]:
        """Ask for vectors.

        Args:
            wanted: which.
            sentences: N lists of words.

        Returns:
            the promise of what `Wanted.of` gives; cancelling it before its turn saves the work.

        Raises:
            Full: the queue is full.
            Closed: the model is being put away.
        """
        return self._put(_Job(wanted, sentences, sum(map(len, sentences)) + len(sentences)))

    def call(self, function: Callable[[], Any], *, n_words: int = 1) -> Future[Any]:
        """Ask for something else that uses the model.

        Args:
            function: called on the thread.
            n_words: what it costs, in words.

        Returns:
            the promise of its result.

        Raises:
            Full: the queue is full.
            Closed: the model is being put away.
        """
        return self._put(_Job(function, (), n_words))

    def close(self) -> None:
        """Take nothing on any more, finish what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _put(self, job: _Job) -> Future[Any]:
        with self._changed:
            if self._closing:
                raise Closed
            if self._jobs and self._waiting_words + job.n_words > self._max_waiting_words:
                raise Full(min(60, math.ceil(self._waiting_words / max(self._rate, 1.0))))
            self._jobs.append(job)
            self._waiting_words += job.n_words
            self._changed.notify_all()
        return job.future

    def _work(self) -> None:
        while jobs := self._take():
            groups: dict[Any, list[_Job]] = {}
            for job in jobs:
                if job.future.set_running_or_notify_cancel():
                    groups.setdefault(job.wanted if isinstance(job.wanted, Wanted) else job, []).append(job)
            for group in groups.values():
                self._answer(group)

    def _take(self) -> list[_Job]:
        """The jobs of the next batch; none when all is done and the doors are closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            if not self._jobs:
                return []
            end = self._jobs[0].arrived + self._batch_s
            while (
                self._waiting_words < self._batch_words and not self._closing and (left := end - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            taken, n_words = [self._jobs.popleft()], 0
            while self._jobs and n_words + taken[-1].n_words + self._jobs[0].n_words <= self._batch_words:
                n_words += taken[-1].n_words
                taken.append(self._jobs.popleft())
            self._waiting_words -= sum(job.n_words for job in taken)
            return taken

    def _answer(self, jobs: Sequence[_Job]) -> None:
        """Compute jobs that want the same; if that fails, each by itself, so that one's failure is not another's."""
        begin = time.monotonic()
        try:
            results = _results(self.elmo, jobs)
        except BaseException as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._answer([job])
            return
        seconds = time.monotonic() - begin
        n_words = sum(job.n_words for job in jobs)
        self._rate += _SMOOTHING * (n_words / max(seconds, 1e-6) - self._rate)
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
        if self._on_batch is not None:
            self._on_batch(Batch(len(jobs), sum(len(job.sentences) for job in jobs), n_words, seconds))


def _results(elmo: Elmo, jobs: Sequence[_Job]) -> list[Any]:
    wanted = jobs[0].wanted
    if not isinstance(wanted, Wanted):
        return [wanted()]
    found = wanted.of(elmo, [sentence for job in jobs for sentence in job.sentences])
    results, start = [], 0
    for job in jobs:
        end = start + len(job.sentences)
        results.append(found[start:end])
        start = end
    return results
