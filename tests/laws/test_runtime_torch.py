"""A text's vectors do not depend on its neighbours, in every precision: the law of the PyTorch runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.runtime.models import CONFIGS, tensors_of, torch_engine, words_of

pytest.importorskip("torch")

PRECISIONS = ("float32", "bfloat16")
TOLERANCE = {"float32": 1e-6, "bfloat16": 0.0}  # relative to the largest value
WORDS = st.sampled_from(["the", "cat", "", "\0", "\ud83d", "🙂", "é" * 30, "x" * 500, "sat", "on"])
TEXTS = st.lists(st.lists(WORDS, max_size=9), min_size=1, max_size=20)
RUNTIMES = {
    (name, precision): torch_engine(
        CONFIGS[name], tensors_of(CONFIGS[name]), words=words_of(CONFIGS[name]), precision=precision
    )
    for name in ("published kind", "no projections, tanh, no highway", "whole words")
    for precision in PRECISIONS
}


@pytest.mark.parametrize(("name", "precision"), RUNTIMES)
@settings(deadline=None, max_examples=10)
@given(texts=TEXTS, data=st.data())
def test_same_text_alone_and_in_any_order(name, precision, texts, data):
    runtime = RUNTIMES[name, precision]
    together = dict(runtime.layers(texts))
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = dict(runtime.layers([texts[i] for i in order]))
    i = data.draw(st.sampled_from(range(len(texts))))
    alone = dict(runtime.layers([texts[i]]))[0]
    for expected, found in ((together[i], alone), (together[i], shuffled[order.index(i)])):
        assert found.shape == expected.shape
        assert np.isfinite(found).all()
        if expected.size:
            assert np.abs(found - expected).max() <= TOLERANCE[precision] * np.abs(expected).max()
