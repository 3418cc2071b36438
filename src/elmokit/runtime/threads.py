"""Threads for independent pieces of work, and BLAS kept to one thread while they run.

A whole batch on each thread beats matrix products that are spread over the cores: the products are small, and spreading
them costs more than it gains. The limit on BLAS belongs to the process, so it is counted: set when the first
computation begins, whichever thread runs it, and taken back after the last.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Lock, local
from typing import Any, TypeVar

from elmokit.errors import ConfigError

Result = TypeVar("Result")


class _Blas:
    """How many computations run, and the numbers of threads to give back after the last."""

    lock = Lock()
    n_users = 0
    before: tuple[int, ...] = ()


@cache
def _blas_libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_blas_threads(numbers: Iterable[int]) -> None:
    """Set the number of threads of each library, from any thread.

    From version 3.7 on, threadpoolctl lets one thread set OpenBLAS's number and silently ignores all others. We count
    the computations of all threads ourselves, so we call the function below that check.
    """
    for library, n in zip(_blas_libraries(), numbers, strict=True):
        getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Matrix products inside the block run on one thread each, whichever thread calls.

    Example:
        >>> with single_threaded_blas():
        ...     pass
    """
    with _Blas.lock:
        if _Blas.n_users == 0:
            _Blas.before = tuple(library.get_num_threads() for library in _blas_libraries())
            _set_blas_threads([1] * len(_Blas.before))
        _Blas.n_users += 1
    try:
        yield
    finally:
        with _Blas.lock:
            _Blas.n_users -= 1
            if _Blas.n_users == 0:
                _set_blas_threads(_Blas.before)


def _after_fork() -> None:
    """In a forked child only the forking thread is left: nobody else computes or holds the lock."""
    _Blas.lock, _Blas.n_users = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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

    Raises:
        ConfigError: fewer than one thread.

    Example:
        >>> Workers(2).run([lambda: 1, lambda: 2])
        [1, 2]
    """

    def __init__(self, n_threads: int | None = None, *, prepare: Callable[[], object] | None = None) -> None:
        if n_threads is not None and (isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1):
            raise ConfigError(f"n_threads is {n_threads!r}; expected 1 or more, or None for one per core.")
        self.n_threads = n_threads or n_cores()
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
        """Run tasks on all threads; little more is begun than is taken.

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
