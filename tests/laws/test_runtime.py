"""Properties of the engine on every backend: neither a text's neighbours nor threads or caches change its vectors."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime.kernels import available
from unit.runtime.models import CONFIGS, native_engine, numpy_engine, tensors_of, torch_engine, words_of

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
NATIVE = [f"{s.name} {precision}" for s in available() for precision in s.precisions]
CPU = ["numpy float32", "numpy float64", *NATIVE]
TORCH = [
    pytest.param(f"torch {precision}", name)
    for name in ("published kind", "no projections, tanh, no highway", "whole words")
    for precision in ("float32", "bfloat16")
]
TOLERANCE = {"torch float32": 1e-6} | ({} if SAME_BITS else {"numpy float32": 1e-6, "numpy float64": 1e-6})
WORDS = st.one_of(
    st.sampled_from(["the", "cat", "", "<S>", "</S>", "\0", "\ud83d", "🙂", "é" * 30, "x" * 500]), st.text(max_size=6)
)
TEXTS = st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=20)


def engine_of(way, name, **options):
    """An engine for a model; a way is "numpy", "torch" or an instruction set, and a precision."""
    kind, precision = way.split()
    config = MODELS[name]
    tensors, options = tensors_of(config), {"words": words_of(config), **options}
    if kind == "numpy":
        return numpy_engine(config, tensors, dtype=precision, **options)
    if kind == "torch":
        pytest.importorskip("torch")
        return torch_engine(config, tensors, precision=precision, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMOKIT_CPU", kind)
        return native_engine(config, tensors, precision=precision, **options)


shared_engine = cache(engine_of)


def assert_same(found, expected, way):
    """The same bits; on PyTorch and some versions of OpenBLAS, close ones."""
    assert found.shape == expected.shape
    if tolerance := TOLERANCE.get(way, 0.0):
        assert np.abs(found - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=0)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("way", "name"), [*((way, name) for way in CPU for name in MODELS), *TORCH])
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS, data=st.data())
def test_same_text_alone_in_any_batch_in_any_order(way, name, texts, data):
    engine = shared_engine(way, name)
    together = dict(engine.layers(texts))
    order = data.draw(st.permutations(range(len(texts))))
    engine.batch_words = data.draw(st.integers(1, 60)) if "torch" not in way else 4096
    shuffled = dict(engine.layers([texts[i] for i in order]))
    engine.batch_words = 4096
    assert sorted(together) == sorted(shuffled) == list(range(len(texts)))
    for place, i in enumerate(order):
        assert np.isfinite(together[i]).all()
        assert_same(shuffled[place], together[i], way)
    i = data.draw(st.sampled_from(range(len(texts))))
    assert_same(dict(engine.layers([texts[i]]))[0], together[i], way)


@pytest.mark.parametrize("way", CPU)
@settings(deadline=None, max_examples=10)
@given(texts=TEXTS, n_threads=st.integers(1, 3), cache_words=st.integers(0, 5))
def test_threads_and_cache_change_nothing(way, texts, n_threads, cache_words):
    expected = dict(shared_engine(way, "published kind").layers(texts))
    engine = engine_of(way, "published kind", n_threads=n_threads, cache_words=cache_words)
    for found in (dict(engine.layers(texts)), dict(engine.layers(texts))):
        for i, layers in expected.items():
            assert_same(found[i], layers, way)


@pytest.mark.parametrize("way", CPU)
def test_a_text_of_20000_words(way):
    words = [f"word{i % 3000}" for i in range(20_000)]
    found = dict(shared_engine(way, "published kind").layers([words, ["a"], words[:9]]))
    assert found[0].shape == (3, 20_000, 16)
    assert np.isfinite(found[0]).all()
    # the forward half reads from the start, so the first words of a text and the text of these words agree
    assert_same(found[2][:, :, :8], found[0][:, :9, :8], way)


def test_many_texts_at_once_equal_each_alone():
    rng = np.random.default_rng(0)
    texts = [[f"w{n}" for n in rng.integers(0, 500, rng.integers(1, 30))] for _ in range(600)]
    engine = shared_engine("numpy float32", "wide")
    together = dict(engine.layers(texts))
    for i in range(0, 600, 60):
        assert_same(dict(engine.layers([texts[i]]))[0], together[i], "numpy float32")


@pytest.mark.skipif(not available(), reason="no compiled loops on this machine")
@pytest.mark.parametrize("name", CONFIGS)
@settings(deadline=None, max_examples=12)
@given(texts=TEXTS)
def test_every_instruction_set_gives_the_same_bits(name, texts):
    best, *others = [dict(shared_engine(f"{s.name} float32", name).layers(texts)) for s in available()]
    for other in others:
        for i, layers in best.items():
            np.testing.assert_array_equal(other[i].view(np.uint32), layers.view(np.uint32))
