"""The queue and the model's thread, without HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from elmokit.errors import ConfigError
from elmokit.server.batches import Batches, Closed, Full, Wanted
from elmokit.server.settings import Settings
from unit.tiny_models import tiny_elmo


@pytest.fixture
def blocked():
    """A queue whose thread is busy until the event is set."""
    told = []
    batches = Batches(tiny_elmo(), batch_words=12, batch_ms=0, max_waiting_words=30, on_batch=told.append)
    go, begun = threading.Event(), threading.Event()

    def block():
        begun.set()
        assert go.wait(60)

    batches.call(block)
    assert begun.wait(60)
    yield batches, go, told
    go.set()
    batches.close()


def test_what_waits_is_merged_by_what_is_wanted_up_to_the_bound(blocked):
    batches, go, told = blocked
    sentences = [["a"], ["b", "c"], ["d"], ["e", "e"], ["f"], ["g"]]
    wanted = [Wanted(), Wanted(pooling="max"), Wanted(), Wanted(words=True), Wanted(), Wanted()]
    promises = [batches.submit(one, [words]) for one, words in zip(wanted, sentences, strict=True)]
    go.set()
    elmo = tiny_elmo()
    for one, words, promise in zip(wanted, sentences, promises, strict=True):
        (found,) = promise.result(60)
        (expected,) = one.of(elmo, [words])
        if one.words:
            found, expected = found.vectors, expected.vectors
        np.testing.assert_allclose(found, expected, atol=1e-6)
    batches.close()
    # 2 + 3 + 2 + 3 + 2 words (ends counted) make the first batch of 12, in three groups; the last is left
    assert sorted(batch.n_requests for batch in told[1:]) == [1, 1, 1, 3]


def test_a_request_of_many_texts_gets_all_its_rows_in_order(blocked):
    batches, go, _ = blocked
    one = batches.submit(Wanted(), [["a"], [], ["b"]])
    two = batches.submit(Wanted(), [["b"]])
    go.set()
    found = one.result(60)
    assert found.shape == (3, 12)
    assert not found[1].any()
    np.testing.assert_array_equal(found[2], two.result(60)[0])


def test_a_full_queue_says_when_to_come_again_and_what_was_taken_on_is_done(blocked):
    batches, go, _ = blocked
    taken = batches.submit(Wanted(), [["a"] * 20])
    with pytest.raises(Full) as full:
        batches.submit(Wanted(), [["a"] * 10])
    assert 1 <= full.value.retry_after <= 60
    assert batches.waiting_words == 21
    go.set()
    assert len(taken.result(60)) == 1


def test_one_larger_than_the_queue_is_taken_when_nobody_waits(blocked):
    batches, go, _ = blocked
    taken = batches.submit(Wanted(), [["a"] * 100])
    go.set()
    assert len(taken.result(60)) == 1


def test_the_cancelled_cost_nothing(blocked):
    batches, go, told = blocked
    cancelled = batches.submit(Wanted(), [["a"]])
    kept = batches.submit(Wanted(), [["b"]])
    assert cancelled.cancel()
    go.set()
    kept.result(60)
    batches.close()
    assert [batch.n_texts for batch in told] == [0, 1]


def test_closing_finishes_what_waits_and_takes_nothing_on(blocked):
    batches, go, _ = blocked
    waiting = [batches.submit(Wanted(), [["a"]]) for _ in range(5)]
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(batches.close)
        while batches.is_ready:
            pass
        with pytest.raises(Closed):
            batches.submit(Wanted(), [["late"]])
        go.set()
        closed.result(60)
    assert all(promise.done() and len(promise.result()) == 1 for promise in waiting)


def test_one_failure_is_not_anothers(blocked):
    batches, go, _ = blocked
    good = batches.submit(Wanted(), [["a"]])
    bad = batches.submit(Wanted(), [[3]])
    go.set()
    assert len(good.result(60)) == 1
    with pytest.raises(Exception, match="3"):
        bad.result(60)
    assert batches.is_ready


@pytest.mark.parametrize(
    "wrong", [{"max_texts": 0}, {"timeout_s": -1}, {"batch_ms": -1}, {"token": "ä"}, {"token": " "}]
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        Settings(**wrong)


def test_settings_travel():
    settings = Settings(layers=(0.5, 0.5, 0.0), cors_origins=("https://a.example",), token="secret", batch_ms=7)
    assert Settings.from_json(settings.to_json()) == settings
    assert "secret" not in repr(settings)
