"""The queue and the model's threads, without HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from elmokit.encoding import Encoding
from elmokit.errors import ConfigError
from elmokit.server.batching import BatchQueue, EncodingTask, QueueClosed, QueueFull
from elmokit.server.settings import Settings
from unit.tiny_models import tiny_elmo

LONG = ["a"] * 200


class Slow:
    """A model whose computations wait for an event, and are noted."""

    def __init__(self):
        self.elmo, self.go, self.begun, self.calls = tiny_elmo(), threading.Event(), threading.Event(), []

    def encode(self, sentences, *encoding, **choices):
        self.calls.append([" ".join(words) for words in sentences])
        self.begun.set()
        assert self.go.wait(60)
        return self.elmo.encode(sentences, *encoding, **choices)

    def encode_words(self, sentences, **choices):
        self.calls.append([" ".join(words) for words in sentences])
        return self.elmo.encode_words(sentences, **choices)


@pytest.fixture
def blocked():
    """A queue that is busy with one text until the event is set."""
    slow, stats = Slow(), []
    limits = {"batch_words": 12, "batch_ms": 0, "max_waiting_words": 40, "turn_words": 9}
    queue = BatchQueue(slow, **limits, on_batch=lambda *batch: stats.append(batch))
    queue.submit(EncodingTask(), [["first"]])
    assert slow.begun.wait(60)
    yield queue, slow, stats
    slow.go.set()
    queue.close()


def test_requests_with_the_same_task_are_merged_up_to_the_bound(blocked):
    queue, slow, stats = blocked
    sentences = [["a"], ["b", "c"], ["d"], ["e", "e"], ["f"], ["g"]]
    tasks = [EncodingTask() for _ in sentences]
    tasks[1], tasks[3] = EncodingTask(Encoding(pooling="max")), EncodingTask(words=True)
    futures = [queue.submit(task, [words]) for task, words in zip(tasks, sentences, strict=True)]
    slow.go.set()
    elmo = tiny_elmo()
    for task, words, future in zip(tasks, sentences, futures, strict=True):
        (result,), (expected,) = future.result(60), task.compute(elmo, [words])
        if task.words:
            result, expected = result.vectors, expected.vectors
        np.testing.assert_allclose(result, expected, atol=1e-6)
    queue.close()
    assert max(n_requests for n_requests, *_ in stats) >= 3
    assert all(n_words <= 12 for _, _, n_words, _ in stats)
    assert sum(n_requests for n_requests, *_ in stats) == 7


def test_a_request_of_many_texts_is_computed_in_turns_and_comes_back_in_order(blocked):
    queue, slow, stats = blocked
    texts = [["a"], [], *[[word] * (i % 4) for i, word in enumerate("bcdefghi")], ["b"]]
    many, words = queue.submit(EncodingTask(), texts), queue.submit(EncodingTask(words=True), texts[:5])
    slow.go.set()
    elmo = tiny_elmo()
    np.testing.assert_allclose(many.result(60), elmo.encode(texts), atol=1e-6)
    for one, expected in zip(words.result(60), elmo.encode_words(texts[:5]), strict=True):
        np.testing.assert_allclose(one.vectors, expected.vectors, atol=1e-6)
    queue.close()
    assert len(stats) > 4


def test_small_requests_overtake_a_large_one_and_the_large_one_goes_on(blocked):
    queue, slow, _ = blocked
    large = queue.submit(EncodingTask(), [["large"]] * 12)
    small = [queue.submit(EncodingTask(), [[f"small{i}"]]) for i in range(3)]
    slow.go.set()
    assert len(large.result(60)) == 12
    assert all(future.done() for future in small)
    queue.close()
    turns = [call.count("large") for call in slow.calls[1:]]
    assert {f"small{i}" for i in range(3)} <= set(slow.calls[1]), "they came with the first turn"
    assert turns[0] >= 1
    assert max(turns) <= 3


def in_turns(**noted):
    """A queue in which texts of more than 12 words are long, and notes of what its model does."""
    elmo, done, encode, read = tiny_elmo(), [], None, None
    encode, read = elmo.encode, elmo.encode_in_turns

    def noted_encode(sentences, *encoding, **choices):
        done.extend(words[0] for words in sentences)
        return encode(sentences, *encoding, **choices)

    def noted_turns(words, *encoding, **choices):
        for result in read(words, *encoding, **choices):
            if result is None:
                done.append(words[0])
                noted.get("on_turn", lambda _: None)(done)
            yield result

    elmo.encode, elmo.encode_in_turns = noted_encode, noted_turns
    return BatchQueue(elmo, batch_words=12, batch_ms=0, turn_words=3, max_waiting_words=10_000), done


def test_small_requests_overtake_a_very_long_text_between_its_turns():
    small = []

    def on_turn(done):
        if len(done) == 2:
            small.append(queue.submit(EncodingTask(), [["small"]]))

    queue, done = in_turns(on_turn=on_turn)
    long = queue.submit(EncodingTask(), [["short"], LONG, ["end"]])
    np.testing.assert_allclose(long.result(60), tiny_elmo().encode([["short"], LONG, ["end"]]), atol=1e-6)
    assert len(small[0].result(60)) == 1
    assert done[0] == "short"
    assert done.index("small") <= 4
    assert done.count("a") == -(-len(LONG) // 3)
    assert done[-1] == "end"
    assert queue.close(60)


def test_the_shortest_long_text_has_a_turn_beside_the_oldest():
    queue, done = in_turns()
    texts = [["oldest"] * 600, ["middle"] * 300, ["short"] * 30]
    with queue._changed:
        futures = [queue.submit(EncodingTask(words=True), [text]) for text in texts]
    for text, future in zip(texts, futures, strict=True):
        (found,), (expected,) = future.result(60), tiny_elmo().encode_words([text])
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
        assert found.words == tuple(text)
    ends = {name: len(done) - done[::-1].index(name) for name in ("oldest", "middle", "short")}
    assert ends["short"] <= 22
    assert ends["middle"] <= 222
    assert queue.close(60)


def test_turns_of_a_long_text_that_nobody_waits_for_are_dropped():
    def on_turn(done):
        if len(done) == 3:
            long.cancel()

    queue, done = in_turns(on_turn=on_turn)
    with queue._changed:
        long = queue.submit(EncodingTask(), [LONG, LONG])
    assert len(queue.submit(EncodingTask(), [["small"]]).result(60)) == 1
    assert queue.close(60)
    assert done.count("a") <= 4
    assert queue.waiting_words == 0


def test_a_long_text_that_fails_fails_alone():
    queue, _ = in_turns()
    with queue._changed:
        bad, good = queue.submit(EncodingTask(), [[3] * 30]), queue.submit(EncodingTask(), [LONG])
    with pytest.raises(Exception, match="int"):
        bad.result(60)
    assert good.result(60).shape == (1, 12)
    assert queue.close(60)


@pytest.mark.parametrize("pooling", ["mean", "max", "first+last"])
def test_a_text_read_in_turns_has_the_bits_of_the_offline_vector(pooling):
    elmo, encoding = tiny_elmo(), Encoding(pooling=pooling)
    text = [f"w{i % 17}" for i in range(1500)]
    queue = BatchQueue(elmo)
    assert np.array_equal(queue.submit(EncodingTask(encoding), [text]).result(60), elmo.encode([text], encoding))
    assert queue.close(60)


def test_a_full_queue_says_when_to_come_again_and_what_was_taken_on_is_done(blocked):
    queue, slow, _ = blocked
    accepted = queue.submit(EncodingTask(), [["a"] * 9] * 3)
    with pytest.raises(QueueFull) as full:
        queue.submit(EncodingTask(), [["a"] * 10])
    assert 1 <= full.value.retry_after <= 60
    assert queue.waiting_words == 30
    slow.go.set()
    assert len(accepted.result(60)) == 3


def test_one_larger_than_the_queue_is_taken_when_nobody_waits(blocked):
    queue, slow, _ = blocked
    accepted = queue.submit(EncodingTask(), [["a"] * 10] * 10)
    slow.go.set()
    assert len(accepted.result(60)) == 10


def test_the_cancelled_cost_nothing_and_make_room(blocked):
    queue, slow, _ = blocked
    cancelled = queue.submit(EncodingTask(), [["cancelled"] * 3] * 9)
    with pytest.raises(QueueFull):
        queue.submit(EncodingTask(), [["a"] * 10])
    assert cancelled.cancel()
    kept = queue.submit(EncodingTask(), [["b"]])
    slow.go.set()
    kept.result(60)
    queue.close()
    assert slow.calls == [["first"], ["b"]]


def test_a_request_that_is_cancelled_between_turns_is_dropped(blocked):
    queue, slow, _ = blocked
    many = queue.submit(EncodingTask(), [["many"]] * 15)
    computed, encode = [], slow.encode

    def cancels(sentences, *encoding, **choices):
        computed.append(len(sentences))
        if len(computed) == 1:
            assert many.cancel()
        return encode(sentences, *encoding, **choices)

    slow.encode = cancels
    slow.go.set()
    queue.close()
    assert sum(computed) < 8
    assert many.cancelled()


def test_closing_finishes_what_waits_and_takes_nothing_on(blocked):
    queue, slow, _ = blocked
    waiting = [queue.submit(EncodingTask(), [["a"]]) for _ in range(5)]
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(queue.close)
        while queue.is_ready:
            pass
        with pytest.raises(QueueClosed):
            queue.submit(EncodingTask(), [["late"]])
        assert not queue.close(0.01), "it is still busy, and says so"
        slow.go.set()
        assert closed.result(60)
    assert all(future.done() and len(future.result()) == 1 for future in waiting)


def test_one_failure_is_not_anothers(blocked):
    queue, slow, _ = blocked
    good = queue.submit(EncodingTask(), [["a"]])
    bad = queue.submit(EncodingTask(), [["b"], [3], ["c"]])
    slow.encode = slow.elmo.encode
    slow.go.set()
    assert len(good.result(60)) == 1
    with pytest.raises(Exception, match="3"):
        bad.result(60)
    assert queue.is_ready
    assert len(queue.submit(EncodingTask(), [["d"]]).result(60)) == 1


def test_no_texts_are_no_work(blocked):
    queue, slow, _ = blocked
    slow.go.set()
    assert queue.submit(EncodingTask(), []).result(0).shape == (0, 12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_texts": 0},
        {"timeout_s": -1},
        {"batch_ms": -1},
        {"token": "ä"},
        {"token": " "},
        {"batch_s": 1},
        {"max_words": "x"},
    ],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))) as refused:
        Settings(**wrong)
    assert "ä" not in str(refused.value)


def test_settings_travel():
    settings = Settings(
        encoding=Encoding(layer_weights=(0.5, 0.5, 0.0)),
        cors_origins=("https://a.example",),
        token="secret",
        batch_ms=7,
    )
    assert Settings(**settings.model_dump(mode="json")) == settings
    assert "secret" not in repr(settings)


def test_the_command_line_has_the_limits_and_defaults_of_the_settings():
    from dataclasses import asdict

    from elmokit.cli.serve import LimitOptions

    assert asdict(LimitOptions()).items() <= Settings().model_dump().items()
