"""Threads: order, how much is begun, what a failure or a reader who leaves does, tasks within tasks."""

import threading
import time

import pytest

from elmokit.runtime.threads import Workers


def test_a_stream_keeps_the_order_and_begins_little_more_than_is_taken():
    begun = []

    def task(i):
        begun.append(i)
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i

    stream = Workers(2).stream((lambda i=i: task(i)) for i in range(20))
    assert begun == []  # nothing before the first is asked for
    for expected in range(20):
        assert next(stream) == expected
        assert len(begun) <= expected + 4
    assert list(stream) == []


def test_a_failure_comes_to_the_reader_and_leaves_no_thread_at_work():
    running = []

    def fail():
        raise ValueError("this one")

    def slow():
        running.append(1)
        time.sleep(0.05)
        running.pop()

    workers = Workers(2)
    with pytest.raises(ValueError, match="this one"):
        list(workers.stream([slow, fail, slow, slow, slow]))
    assert running == []
    assert workers.run([lambda: 1, lambda: 2]) == [1, 2]


def test_a_reader_who_leaves_ends_the_stream():
    done = []
    stream = Workers(2).stream((lambda i=i: done.append(i)) for i in range(100))
    next(stream)
    stream.close()
    n = len(done)
    time.sleep(0.05)
    assert len(done) == n <= 4


def test_tasks_within_a_task_run_on_its_thread():
    workers = Workers(2)
    inner = [lambda: threading.get_ident()] * 3
    outer = list(workers.stream([lambda: (threading.get_ident(), workers.run(inner))] * 8))
    assert all(set(found) == {thread} for thread, found in outer)
    assert threading.get_ident() not in {thread for thread, _ in outer}
