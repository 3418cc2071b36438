"""Threads: order, how much is begun, what a failure or a reader who leaves does, tasks within tasks."""

import os
import subprocess
import sys
import threading
import time

import pytest
from threadpoolctl import threadpool_info

from elmokit.errors import ConfigError
from elmokit.runtime.engine import Workers, single_threaded_blas


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


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def in_thread(function):
    out = []
    thread = threading.Thread(target=lambda: out.append(function()))
    thread.start()
    thread.join()
    return out[0]


def limited():
    with single_threaded_blas():
        return blas_threads()


def test_blas_is_limited_whichever_thread_computes_and_gets_its_threads_back():
    before = blas_threads()
    assert set(limited()) == {1}
    assert set(in_thread(limited)) == {1}
    assert set(limited()) == {1}
    assert blas_threads() == before == in_thread(blas_threads)


def test_blas_stays_limited_until_the_last_computation_ends():
    before = blas_threads()
    with single_threaded_blas():
        assert set(in_thread(limited)) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("n_threads", [0, -1, True, 1.5, "2"])
def test_a_number_of_threads_that_is_none_is_refused(n_threads):
    with pytest.raises(ConfigError, match="n_threads is"):
        Workers(n_threads)


FORK = """
import os, threading, time
from elmokit import Elmo
elmo = Elmo.load()
text = [["word"] * 30, ["another", "text"]]
expected = elmo.encode(text)
stop = []
def work():
    i = 0
    while not stop:
        i += 1
        elmo.encode([[f"w{i}{k}" for k in range(200)]])
thread = threading.Thread(target=work)
thread.start()
for _ in range(10):
    time.sleep(0.02)
    child = os.fork()
    if not child:
        os._exit(0 if (elmo.encode(text) == expected).all() else 3)
    end = time.time() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done or time.time() > end:
            break
        time.sleep(0.01)
    if not done:
        os.kill(child, 9)
    assert done and status == 0, (done, status)
stop.append(1)
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("native", ["0", "1"])
def test_a_process_that_forks_while_another_thread_encodes_can_encode(native):
    environment = {**os.environ, "ELMOKIT_NATIVE": native}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
