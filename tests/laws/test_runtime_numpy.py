"""A text's vectors do not depend on its neighbours, for any text: the law of the NumPy runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from unit.runtime.models import CONFIGS, numpy_engine, tensors_of, words_of

WIDE = ElmoConfig(  # few rows of these shapes are small products for OpenBLAS
    projection_width=20,
    char_cnn=CharCNNConfig(embedding_width=16, filters=((1, 8), (9, 150)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=300),
)
MODELS = {**CONFIGS, "wide": WIDE}
SAME_BITS = any(
    lib["internal_api"] == "openblas" and lib["architecture"] in ("SkylakeX", "Cooperlake", "SapphireRapids")
    for lib in threadpool_info()
)
WORDS = st.one_of(
    st.sampled_from(["the", "cat", "", "<S>", "</S>", "\0", "\ud83d", "🙂", "é" * 30, "x" * 500]), st.text(max_size=6)
)
TEXTS = st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=20)


def runtime_of(config, **options):
    return numpy_engine(config, tensors_of(config), words=words_of(config), **options)


RUNTIMES = {(name, dtype): runtime_of(config, dtype=dtype) for name, config in MODELS.items() for dtype in ("f4", "f8")}


def assert_same(found, expected):
    assert found.shape == expected.shape
    if SAME_BITS:
        np.testing.assert_array_equal(found, expected)
    elif expected.size:
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", MODELS)
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS, data=st.data())
def test_same_text_alone_in_any_batch_in_any_order(name, dtype, texts, data):
    runtime = RUNTIMES[name, dtype]
    together = dict(runtime.layers(texts))
    order = data.draw(st.permutations(range(len(texts))))
    runtime.batch_words = data.draw(st.integers(1, 60))
    shuffled = dict(runtime.layers([texts[i] for i in order]))
    runtime.batch_words = 4096
    assert sorted(together) == sorted(shuffled) == list(range(len(texts)))
    for place, i in enumerate(order):
        assert np.isfinite(together[i]).all()
        assert_same(shuffled[place], together[i])
    i = data.draw(st.sampled_from(range(len(texts))))
    assert_same(dict(runtime.layers([texts[i]]))[0], together[i])


@settings(deadline=None, max_examples=10)
@given(texts=TEXTS, n_threads=st.integers(1, 3), cache_words=st.integers(0, 5))
def test_threads_and_cache_change_nothing(texts, n_threads, cache_words):
    expected = dict(RUNTIMES["published kind", "f4"].layers(texts))
    runtime = runtime_of(CONFIGS["published kind"], n_threads=n_threads, cache_words=cache_words)
    for found in (dict(runtime.layers(texts)), dict(runtime.layers(texts))):
        for i, layers in expected.items():
            assert_same(found[i], layers)


def test_a_text_of_20000_words():
    words = [f"word{i % 3000}" for i in range(20_000)]
    runtime = RUNTIMES["published kind", "f4"]
    found = dict(runtime.layers([words, ["a"], words[:9]]))
    assert found[0].shape == (3, 20_000, 16)
    assert np.isfinite(found[0]).all()
    assert_same(dict(runtime.layers([words]))[0], found[0])
    # the forward half reads from the start, so the first words of a text and the text of these words agree
    assert_same(found[2][:, :, :8], found[0][:, :9, :8])


def test_many_texts_at_once_equal_each_alone():
    rng = np.random.default_rng(0)
    texts = [[f"w{n}" for n in rng.integers(0, 500, rng.integers(1, 30))] for _ in range(600)]
    runtime = RUNTIMES["wide", "f4"]
    together = dict(runtime.layers(texts))
    for i in range(0, 600, 60):
        assert_same(dict(runtime.layers([texts[i]]))[0], together[i])
