"""A text's vectors do not depend on its neighbours, bit for bit: the law of the compiled loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.runtime.kernels import native_precisions
from unit.runtime.models import CONFIGS, native_engine, tensors_of, words_of

if not native_precisions():
    pytest.skip("no compiled loops on this machine", allow_module_level=True)

WORDS = st.one_of(
    st.sampled_from(["the", "cat", "", "<S>", "</S>", "\0", "\ud83d", "🙂", "é" * 30, "x" * 500]), st.text(max_size=6)
)
TEXTS = st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=20)


def runtime_of(name, precision, **options):
    config = CONFIGS[name]
    return native_engine(config, tensors_of(config), words=words_of(config), precision=precision, **options)


RUNTIMES = {(name, precision): runtime_of(name, precision) for name in CONFIGS for precision in native_precisions()}


@pytest.mark.parametrize(("name", "precision"), RUNTIMES)
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS, data=st.data())
def test_same_text_alone_in_any_batch_in_any_order(name, precision, texts, data):
    runtime = RUNTIMES[name, precision]
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


@pytest.mark.parametrize("precision", native_precisions())
@settings(deadline=None, max_examples=10)
@given(texts=TEXTS, n_threads=st.integers(1, 3), cache_words=st.integers(0, 5))
def test_threads_and_cache_change_nothing(precision, texts, n_threads, cache_words):
    expected = dict(RUNTIMES["published kind", precision].layers(texts))
    runtime = runtime_of("published kind", precision, n_threads=n_threads, cache_words=cache_words)
    for found in (dict(runtime.layers(texts)), dict(runtime.layers(texts))):
        for i, layers in expected.items():
            np.testing.assert_array_equal(found[i], layers)


@pytest.mark.parametrize("precision", native_precisions())
def test_a_text_of_20000_words(precision):
    words = [f"word{i % 3000}" for i in range(20_000)]
    runtime = RUNTIMES["published kind", precision]
    found = dict(runtime.layers([words, ["a"], words[:9]]))
    assert found[0].shape == (3, 20_000, 16)
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[2][:, :, :8], found[0][:, :9, :8])
