import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elmokit.runtime.word_cache import WordCache


def vector_of(word):
    return [float(len(word)), float(ord(word[0]))]


class Encoder:
    def __init__(self):
        self.asked = []

    def __call__(self, words):
        self.asked += words
        return np.array([vector_of(word) for word in words], np.float32)


def make(n_words):
    encoder = Encoder()
    return WordCache(encoder, width=2, n_words=n_words, dtype="float32"), encoder


@given(
    st.lists(st.lists(st.text("abcdefgh", min_size=1, max_size=2), unique=True, max_size=9), max_size=12),
    st.integers(0, 6),
)
def test_vectors_are_right_and_the_cache_bounded_whatever_was_asked_before(calls, n_words):
    cache, _ = make(n_words)
    for words in calls:
        found = cache.vectors(words, first=1)
        assert found[1:].tolist() == [vector_of(word) for word in words]
        assert len(cache) <= n_words
        assert len(cache._vectors) <= n_words


def test_known_words_are_not_encoded_again():
    cache, encoder = make(10)
    cache.vectors(["a", "b"])
    cache.vectors(["b", "c"])
    assert encoder.asked == ["a", "b", "c"]


def test_least_recently_used_word_goes_first():
    cache, encoder = make(2)
    for words in (["a"], ["b"], ["a"], ["c"], ["a"], ["b"]):
        cache.vectors(words)
    assert encoder.asked == ["a", "b", "c", "b"]


def test_what_comes_back_is_the_callers_own():
    cache, _ = make(3)
    cache.vectors(["a"])[:] = -1
    assert cache.vectors(["a"]).tolist() == [vector_of("a")]
