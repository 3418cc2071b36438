"""Requests → batches: many requests wait for one model, and what they ask for is computed together, by one thread.

Merging changes no answer, since a text's vector does not depend on its neighbours. In every round the oldest request
advances by a turn and small ones are taken whole, so small requests overtake large ones and none waits for ever. A long
text is read segment by segment: the oldest and the shortest one have a turn in each round.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from elmokit.config import ElmoConfig
from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.features import WordVectors

Words = Sequence[str]

_SMOOTHING, _FIRST_RATE = 0.2, 10_000.0
_SHARE_OF_OLDEST, _SHARE_ALONE = 0.25, 0.5  # of a batch, beside others and alone: small turns let small requests in
_LONG_TURNS = 4  # a text of more turns is read segment by segment; shorter ones together, which is faster


@dataclass
class QueueFull(Exception):
    """Too many words wait already; there should be room after `retry_after` seconds."""

    retry_after: int


class QueueClosed(Exception):
    """The queue takes no more requests."""


@dataclass(frozen=True)
class EncodingTask:
    """What is computed of texts; requests with the same task are merged.

    With `words` every word gets a vector instead of every text, and without an `encoding` one per layer.
    """

    encoding: Encoding | None = Encoding()
    words: bool = False

    def width(self, config: ElmoConfig) -> int:
        """Numbers per text, or per word. Raises ConfigError for layers that the model does not have."""
        if self.encoding is None:
            return config.n_layers * config.dim
        self.encoding.check(config)
        return self.encoding.word_width(config) if self.words else self.encoding.width(config)

    def compute(self, elmo: Elmo, sentences: Sequence[Words]) -> Any:
        """N lists of words → N results in order: an array of shape (N, d), or `Features`."""
        if not self.words:
            return elmo.encode(sentences, self.encoding, show_progress=False)
        layers, weights = ("each", None) if (e := self.encoding) is None else (e.layers, e.layer_weights)
        return elmo.encode_words(sentences, layers=layers, layer_weights=weights, show_progress=False)

    def turns(self, elmo: Elmo, words: Words, turn_words: int) -> Iterator[Any]:
        """One long text: None after each segment, and last a list with its result."""
        for result in elmo.encode_in_turns(words, self.encoding, pooled=not self.words, turn_words=turn_words):
            if result is None:
                yield None
            else:
                yield [WordVectors(tuple(words), None, result)] if self.words else result[None]


class _Job:
    """A request in the queue: its texts, and the parts of its result so far."""

    def __init__(self, task: EncodingTask, sentences: Sequence[Words], long_words: int) -> None:
        self.task, self.sentences = task, sentences
        self.costs = [len(words) + 1 for words in sentences]
        self.long_words, self.has_long = long_words, max(self.costs) > long_words
        self.n_left, self.n_taken = sum(self.costs), 0  # words and ends of texts; texts
        self.arrived, self.future = time.monotonic(), Future[Any]()
        self.parts: list[Any] = []
        self.turns: Iterator[Any] | None = None
        self.n_read = 0  # words of the long text that is being read

    @property
    def at_long(self) -> bool:
        """Whether the next text is a long one."""
        return self.n_taken < len(self.costs) and self.costs[self.n_taken] > self.long_words

    def take(self, room: int) -> _Part:
        """The next texts that fit into a number of words, at least one, and their words; none from a long one on."""
        start, n_words = self.n_taken, 0
        while self.n_taken < len(self.costs) and not self.at_long:
            if n_words and n_words + self.costs[self.n_taken] > room:
                break
            n_words += self.costs[self.n_taken]
            self.n_taken += 1
        self.n_left -= n_words
        return self, self.sentences[start : self.n_taken], n_words

    def add(self, part: Any) -> None:
        """Take a part of the result; with the last one the future is done."""
        self.parts.append(part)
        if not self.n_left and self.future.set_running_or_notify_cancel():
            arrays = isinstance(part, np.ndarray)
            self.future.set_result(np.concatenate(self.parts) if arrays else [one for p in self.parts for one in p])

    def fail(self, error: BaseException) -> None:
        self.n_left = 0
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


_Part = tuple[_Job, Sequence[Words], int]  # texts of a request that are computed in one batch, and their words


class BatchQueue:
    """A model with its queue and thread; see `Settings` for the arguments. A long text is read `turn_words` at a time.

    `on_batch` takes the numbers of requests, texts and words that were computed together, and the seconds it took.
    """

    def __init__(
        self,
        elmo: Elmo,
        *,
        batch_words: int = 4096,
        batch_ms: float = 2.0,
        max_waiting_words: int = 200_000,
        turn_words: int = 256,
        on_batch: Callable[[int, int, int, float], object] = lambda *_: None,
    ) -> None:
        self.elmo, self._on_batch = elmo, on_batch
        self._batch_words, self._batch_s, self._turn_words = batch_words, batch_ms / 1000, turn_words
        self._max_waiting_words = max_waiting_words
        self._jobs: list[_Job] = []  # oldest first; those with texts that are not taken yet
        self._rate = _FIRST_RATE  # words a second
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="elmokit-model", daemon=True)
        self._thread.start()

    @property
    def waiting_words(self) -> int:
        """Words in the queue that are not being computed yet."""
        return sum(job.n_left for job in self._jobs)

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return self._thread.is_alive() and not self._closing

    def submit(self, task: EncodingTask, sentences: Sequence[Words]) -> Future[Any]:
        """A future of what `EncodingTask.compute` returns; cancelling it saves the work that is not done yet.

        Raises QueueFull, or QueueClosed when the server is shutting down.
        """
        if not sentences:
            done: Future[Any] = Future()
            done.set_result(task.compute(self.elmo, []))
            return done
        job = _Job(task, sentences, _LONG_TURNS * self._turn_words)
        with self._changed:
            if self._closing:
                raise QueueClosed
            self._forget_finished()
            waiting = self.waiting_words
            if waiting and waiting + job.n_left > self._max_waiting_words:
                raise QueueFull(max(1, min(60, math.ceil(waiting / max(self._rate, 1.0)))))
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def close(self, timeout_s: float | None = None) -> bool:
        """Accept nothing more, finish what waits and end the thread; whether it has ended within the time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _forget_finished(self) -> None:
        self._jobs = [job for job in self._jobs if job.n_left and not job.future.cancelled()]

    def _work(self) -> None:
        while self._wait():
            with self._changed:
                parts, long = self._take()
            groups: dict[EncodingTask, list[_Part]] = {}
            for part in parts:
                groups.setdefault(part[0].task, []).append(part)
            for group in groups.values():
                self._compute(group)
            for job in long:
                self._read_segment(job)

    def _wait(self) -> bool:
        """Wait for requests, and for the first one's time to be merged; False when closed and all is done."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                end = self._jobs[0].arrived + self._batch_s if self._jobs else 0.0
                while self.waiting_words < self._batch_words and not self._closing and (now := time.monotonic()) < end:
                    self._changed.wait(end - now)
                self._forget_finished()
                if self._jobs or self._closing:
                    return bool(self._jobs)

    def _take(self) -> tuple[list[_Part], list[_Job]]:
        """The texts of the next batch, and the requests whose long text has a turn."""
        by_size = sorted(self._jobs, key=lambda job: job.n_left)
        share = int(self._batch_words * (_SHARE_OF_OLDEST if len(by_size) > 1 else _SHARE_ALONE))
        large = [job for job in by_size if job.has_long or job.n_left > share]
        in_turn = dict.fromkeys([self._jobs[0], *large[:1]])  # the oldest, and the shortest of the large ones
        parts = [job.take(share) for job in in_turn if not job.at_long]
        room = self._batch_words - sum(n_words for _, _, n_words in parts)
        for job in by_size:
            if job not in in_turn and not job.has_long:
                if job.n_left > room:
                    break
                room -= job.n_left
                parts.append(job.take(job.n_left))
        return parts, [job for job in in_turn if job.at_long]

    def _compute(self, parts: Sequence[_Part]) -> None:
        """Compute texts with one task; if that fails, each request alone, so that one cannot fail another."""
        begin = time.monotonic()
        sentences = [sentence for _, some, _ in parts for sentence in some]
        try:
            results = parts[0][0].task.compute(self.elmo, sentences)
        except BaseException as error:
            if len(parts) == 1:
                parts[0][0].fail(error)
            for part in parts if len(parts) > 1 else ():
                self._compute([part])
            return
        self._note(len(parts), len(sentences), sum(n_words for _, _, n_words in parts), begin)
        start = 0
        for job, some, _ in parts:
            job.add(results[start : start + len(some)])
            start += len(some)

    def _read_segment(self, job: _Job) -> None:
        """A turn of a long text, unless nobody waits for it."""
        if job.future.cancelled():
            return
        begin, words = time.monotonic(), job.sentences[job.n_taken]
        n_words = min(self._turn_words, len(words) - job.n_read)
        try:
            job.turns = job.turns or job.task.turns(self.elmo, words, self._turn_words)
            next(job.turns)
            is_last = job.n_read + n_words == len(words)
            result = next(job.turns) if is_last else None
        except BaseException as error:
            job.fail(error)
            return
        job.n_read, job.n_left = job.n_read + n_words, job.n_left - n_words
        self._note(1, int(is_last), n_words, begin)
        if is_last:
            job.turns, job.n_read, job.n_taken, job.n_left = None, 0, job.n_taken + 1, job.n_left - 1
            job.add(result)

    def _note(self, n_requests: int, n_texts: int, n_words: int, begin: float) -> None:
        seconds = time.monotonic() - begin
        self._rate += _SMOOTHING * (n_words / max(seconds, 1e-6) - self._rate)
        self._on_batch(n_requests, n_texts, n_words, seconds)
