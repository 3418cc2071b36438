"""The law the project exists for: a text's vectors depend on that text alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit import Elmo, LayerMix, State
from unit.tiny_models import CONFIG, tiny_elmo

WORD = st.text(max_size=6) | st.sampled_from(["the", "cat", "🙂", "\ud83d", "नमस्ते", "x" * 80, "<S>"])
TEXTS = st.lists(st.lists(WORD, max_size=12) | st.text(max_size=40), min_size=1, max_size=12)
POOLINGS = st.sampled_from(["mean", "max", "mean+max", "first", "last", "first+last", "sif"])
LAYERS = st.sampled_from([{}, *({"layers": x} for x in ("all", 0, -1, (1, 2))), {"layer_weights": (0.5, 0.25, -1.0)}])
STATES = st.sampled_from(["zeros", "warm", "given"])
COUNTS = {"the": 70, "cat": 20, "🙂": 10}

MODELS = {
    "tiny": lambda: tiny_elmo(layer_mix=LayerMix(weights=(0.3, -0.2, 0.1), gamma=1.7)),
    "layer norm": lambda: tiny_elmo(layer_mix=LayerMix(layer_norm=True)),
    "one thread": lambda: tiny_elmo(n_threads=1),
    "embedded": Elmo.load,
}


@pytest.fixture(scope="module", params=MODELS)
def elmo(request):
    return MODELS[request.param]()


def chosen_state(name, elmo):
    if name != "given":
        return None if name == "zeros" else "warm"
    zeros, rng = State.zeros(elmo.config, 1), np.random.default_rng(7)
    return State(*(rng.standard_normal(a.shape).astype(np.float32) for a in (zeros.hidden, zeros.cell)))


def assert_close(one, other):
    scale = np.abs(one).max(initial=1e-6)
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * scale)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), texts=TEXTS, pooling=POOLINGS, layers=LAYERS, normalize=st.booleans(), start=STATES)
def test_a_texts_vector_is_the_same_alone_in_any_batch_and_in_any_order(
    elmo, data, texts, pooling, layers, normalize, start
):
    options = {"pooling": pooling, **layers, "normalize": normalize, "state": chosen_state(start, elmo)}
    options["word_frequencies"] = COUNTS
    together = elmo.encode(texts, **options)
    assert np.isfinite(together).all()
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = elmo.encode([texts[i] for i in order], **options)
    for place, i in enumerate(order):
        assert_close(shuffled[place], together[i])
    i = data.draw(st.integers(0, len(texts) - 1))
    assert_close(elmo.encode_one(texts[i], **options), together[i])
    assert_close(np.stack(list(elmo.encode_stream(texts, **options))), together)


@settings(max_examples=15, deadline=None)
@given(texts=TEXTS, others=TEXTS, start=STATES)
def test_a_words_vectors_are_the_same_among_any_neighbours(elmo, texts, others, start):
    state = chosen_state(start, elmo)
    alone = elmo.encode_words(texts, layers="each", state=state)
    elmo.step(others)
    among = elmo.encode_words([*others, *texts, *others], layers="each", state=state)[len(others) :]
    for one, other in zip(alone, among[: len(texts)], strict=True):
        assert one.words == other.words
        assert_close(one.vectors, other.vectors)


@pytest.mark.parametrize("batch_words", [1, 7, 100, 100_000])
def test_the_batch_size_changes_nothing(batch_words):
    texts = [" ".join(f"w{(i * k) % 50}" for k in range(i % 23)) for i in range(60)]
    elmo, other = tiny_elmo(), tiny_elmo(n_threads=1)
    other._engine.batch_words = batch_words
    assert_close(elmo.encode(texts, layers="all"), other.encode(texts, layers="all"))


def test_neighbours_within_a_text_do_matter():
    elmo = tiny_elmo()
    one, other = elmo.encode_words([["the", "cat", "sat"], ["a", "cat", "ran"]], layers=1)
    assert not np.allclose(one.vectors[1], other.vectors[1], atol=1e-3)
    zero, same = elmo.encode_words([["the", "cat", "sat"], ["a", "cat", "ran"]], layers=0)
    assert_close(zero.vectors[1], same.vectors[1])
    assert elmo.config == CONFIG
