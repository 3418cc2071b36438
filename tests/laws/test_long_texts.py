"""A text longer than a batch is read in segments: the same vectors, in bounded memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit import Encoding, LayerMix
from elmokit.encoding import POOLINGS
from unit.tiny_models import tiny_elmo

WORDS = st.lists(st.sampled_from(["the", "cat", "🙂", "x" * 80, "a", "sat"]), min_size=1, max_size=40)
ENCODINGS = st.builds(
    Encoding,
    pooling=st.sampled_from(POOLINGS),
    layers=st.sampled_from(["mix", "all", 0, -1, (2, 0)]),
    normalize=st.booleans(),
) | st.builds(Encoding, pooling=st.sampled_from(POOLINGS), layer_weights=st.just((0.5, 0.25, -1.0)))
FREQUENCIES = {"the": 70, "cat": 20, "🙂": 10}
MODELS = {norm: tiny_elmo(layer_mix=LayerMix(weights=(0.3, -0.2, 0.1), layer_norm=norm)) for norm in (False, True)}


@pytest.mark.parametrize("layer_norm", [False, True])
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=4), size=st.integers(1, 12), encoding=ENCODINGS, warm=st.booleans())
def test_segments_give_the_vectors_of_the_whole(layer_norm, texts, size, encoding, warm):
    elmo = MODELS[layer_norm]
    options = {"state": "warm" if warm else None, "word_frequencies": FREQUENCIES}
    whole = elmo.encode(texts, encoding, **options)
    layers = encoding.layers if encoding.layer_weights is None else "mix"
    words = elmo.encode_words(texts, layers=layers, layer_weights=encoding.layer_weights)
    each = elmo.encode_words(texts, layers="each")
    elmo._engine.batch_words = size
    try:
        segments = elmo.encode(texts, encoding, **options)
        cut = elmo.encode_words(texts, layers=layers, layer_weights=encoding.layer_weights)
        cut_each = elmo.encode_words(texts, layers="each")
    finally:
        elmo._engine.batch_words = 4096
    np.testing.assert_allclose(segments, whole, rtol=2e-5, atol=2e-6)
    for pairs in (zip(cut, words, strict=True), zip(cut_each, each, strict=True)):
        for one, other in pairs:
            assert one.words == other.words
            np.testing.assert_allclose(one.vectors, other.vectors, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(words=WORDS, size=st.integers(1, 12), pooling=st.sampled_from(POOLINGS), batch_words=st.sampled_from([5, 4096]))
def test_turns_give_the_vectors_of_the_whole(words, size, pooling, batch_words):
    elmo, encoding = MODELS[False], Encoding(pooling=pooling)
    elmo._engine.batch_words = batch_words
    try:
        if pooling != "sif":
            *pauses, vector = elmo.encode_in_turns(words, encoding, turn_words=size)
            np.testing.assert_allclose(vector, elmo.encode([words], encoding)[0], rtol=2e-5, atol=2e-6)
            assert pauses == [None] * -(-len(words) // size)
        for each, chosen in (("each", None), ("all", Encoding(layers="all"))):
            *_, vectors = elmo.encode_in_turns(words, chosen, pooled=False, turn_words=size)
            np.testing.assert_allclose(
                vectors, elmo.encode_words([words], layers=each)[0].vectors, rtol=1e-5, atol=1e-6
            )
    finally:
        elmo._engine.batch_words = 4096


MEMORY = """
import resource
import sys
from elmokit import Elmo
elmo = Elmo.load(n_threads=1)
elmo.encode([["word"] * 9000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
text = [["some", "words", "here"] * int(sys.argv[1])]
vectors = elmo.encode(text, pooling="mean+max", layers="all")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_texts_length():
    done = subprocess.run([sys.executable, "-c", MEMORY, "50000"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000, f"{done.stdout} kB for 150,000 words"  # 22 kB a word would be 3.3 GB
