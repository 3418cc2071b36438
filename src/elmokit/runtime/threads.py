"""Threads for independent pieces of work, and BLAS kept to one thread while they run.

Whole batches on a thread each, and where there are fewer batches than threads their two directions, every matrix
product on one core, beat products spread over the cores: they are small, and spreading them costs more than it gains.
BLAS is limited for as long as we compute and gets its own number back afterwards; the limit is counted, since it is
the whole process's.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock, local
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Blas:
    """How many computations run, and what to give BLAS back after the last."""

    lock = Lock()
    n_users = 0
    limiter: Any = None
    controller: Any = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Matrix products inside the block run on one thread each.

    Example:
        >>> with single_threaded_blas():
        ...     pass
    """
    from threadpoolctl import ThreadpoolController

    with _Blas.lock:
        if _Blas.n_users == 0:
            _Blas.controller = _Blas.controller or ThreadpoolController()
            _Blas.limiter = _Blas.controller.limit(limits=1, user_api="blas")
        _Blas.n_users += 1
    try:
        yield
    finally:
        with _Blas.lock:
            _Blas.n_users -= 1
            if _Blas.n_users == 0:
                _Blas.limiter.restore_original_limits()


def n_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


class Workers:
    """Threads that run independent tasks; none are started before the first.

    Args:
        n_threads: tasks at a time; None for the number of cores.
        prepare: called once on each thread before its first task; with it, no task runs on the caller's thread.

    Example:
        >>> Workers(2).run([lambda: 1, lambda: 2])
        [1, 2]
    """

    def __init__(self, n_threads: int | None = None, *, prepare: Callable[[], object] | None = None) -> None:
        self.n_threads = max(1, n_threads or n_cores())
        self.prepare = prepare
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self._here = local()

    def run(self, tasks: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run tasks with BLAS on one thread each. Within a task of these workers they run one after the other.

        Args:
            tasks: functions without arguments; they may not wait for each other.

        Returns:
            their results, in the order of the tasks.
        """
        if getattr(self._here, "is_worker", False):
            return [task() for task in tasks]
        with single_threaded_blas():
            if self.prepare is None and (self.n_threads == 1 or len(tasks) < 2):
                return [task() for task in tasks]
            pool = self._threads()
            return [future.result() for future in [pool.submit(task) for task in tasks]]

    def stream(self, tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """Run tasks on all threads, BLAS on one each until the last is taken, little more begun than is taken.

        Args:
            tasks: functions without arguments; they may not wait for each other.

        Yields:
            their results, in the order of the tasks.

        Example:
            >>> list(Workers(2).stream([lambda: 1, lambda: 2, lambda: 3]))
            [1, 2, 3]
        """
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
            self._pool = ThreadPoolExecutor(self.n_threads, "elmokit", initializer=self._begin)
        return self._pool

    def _begin(self) -> None:
        self._here.is_worker = True
        if self.prepare is not None:
            self.prepare()
