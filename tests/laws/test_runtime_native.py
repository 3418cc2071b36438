"""Laws of the compiled loops: neither a text's neighbours nor the instruction set change a bit of its vectors."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.runtime.kernels import available
from unit.runtime.models import CONFIGS, native_engine, tensors_of, words_of

if not available():
    pytest.skip("no compiled loops on this machine", allow_module_level=True)

WORDS = st.one_of(
    st.sampled_from(["the", "cat", "", "<S>", "</S>", "\0", "\ud83d", "🙂", "é" * 30, "x" * 500]), st.text(max_size=6)
)
TEXTS = st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=20)


WAYS = [(s.name, precision) for s in available() for precision in s.precisions]
every_way = pytest.mark.parametrize(("instruction_set", "precision"), WAYS)


def runtime_of(name, instruction_set, precision, **options):
    config = CONFIGS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMOKIT_CPU", instruction_set)
        return native_engine(config, tensors_of(config), words=words_of(config), precision=precision, **options)


shared_runtime = cache(runtime_of)


@every_way
@pytest.mark.parametrize("name", CONFIGS)
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS, data=st.data())
def test_same_text_alone_in_any_batch_in_any_order(name, instruction_set, precision, texts, data):
    runtime = shared_runtime(name, instruction_set, precision)
    together = dict(runtime.layers(texts))
    order = data.draw(st.permutations(range(len(texts))))
    runtime.batch_words = data.draw(st.integers(1, 60))
    shuffled = dict(runtime.layers([texts[i] for i in order]))
    runtime.batch_words = 4096
    assert sorted(together) == sorted(shuffled) == list(range(len(texts)))
    for place, i in enumerate(order):
        assert np.isfinite(together[i]).all()
        np.testing.assert_array_equal(shuffled[place], together[i])
    i = data.draw(st.sampled_from(range(len(texts))))
    np.testing.assert_array_equal(dict(runtime.layers([texts[i]]))[0], together[i])


@every_way
@settings(deadline=None, max_examples=10)
@given(texts=TEXTS, n_threads=st.integers(1, 3), cache_words=st.integers(0, 5))
def test_threads_and_cache_change_nothing(instruction_set, precision, texts, n_threads, cache_words):
    expected = dict(shared_runtime("published kind", instruction_set, precision).layers(texts))
    runtime = runtime_of("published kind", instruction_set, precision, n_threads=n_threads, cache_words=cache_words)
    for found in (dict(runtime.layers(texts)), dict(runtime.layers(texts))):
        for i, layers in expected.items():
            np.testing.assert_array_equal(found[i], layers)


@every_way
def test_a_text_of_20000_words(instruction_set, precision):
    words = [f"word{i % 3000}" for i in range(20_000)]
    runtime = shared_runtime("published kind", instruction_set, precision)
    found = dict(runtime.layers([words, ["a"], words[:9]]))
    assert found[0].shape == (3, 20_000, 16)
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[2][:, :, :8], found[0][:, :9, :8])


@pytest.mark.parametrize("name", CONFIGS)
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS)
def test_every_instruction_set_gives_the_same_bits(name, texts):
    best, *others = [
        dict(shared_runtime(name, instruction_set.name, "float32").layers(texts)) for instruction_set in available()
    ]
    for other in others:
        for i, layers in best.items():
            np.testing.assert_array_equal(other[i].view(np.uint32), layers.view(np.uint32))
