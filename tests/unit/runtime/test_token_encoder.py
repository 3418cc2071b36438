"""Token vectors: cached words are not computed again, the cache is bounded, long words are cut to what counts."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.runtime.engine import Workers
from elmokit.runtime.token_encoder import TokenEncoder
from elmokit.text.char_ids import words_to_char_ids
from unit.spelling import spelled

CONFIG = ElmoConfig(projection_width=2, char_cnn=CharCNNConfig(), bilstm=BiLSTMConfig(cell_width=4))


def vector_of(word):
    return [float(len(word)), float(ord(word[0]))]


def make(n_words):
    asked = []

    def embed(ids):
        words = [spelled(row) for row in ids]
        asked.extend(words)
        return np.array([vector_of(word) for word in words], np.float32)

    backend = SimpleNamespace(embed=embed, dtype=np.dtype("float32"))
    encoder = TokenEncoder(CONFIG, {}, None, backend, Workers(1).run, n_words)
    asked.clear()
    return encoder, asked


@given(
    st.lists(st.lists(st.text("abcdefgh", min_size=1, max_size=2), unique=True, max_size=9), max_size=12),
    st.integers(0, 6),
)
def test_vectors_are_right_and_the_cache_bounded_whatever_was_asked_before(calls, n_words):
    encoder, _ = make(n_words)
    for words in calls:
        assert encoder.vectors(words)[2:].tolist() == [vector_of(word) for word in words]
        assert len(encoder._cache) <= n_words


def test_known_words_are_not_computed_again():
    encoder, asked = make(10)
    encoder.vectors(["a", "b"])
    encoder.vectors(["b", "c"])
    assert asked == ["a", "b", "c"]


def test_least_recently_used_word_goes_first():
    encoder, asked = make(2)
    for words in (["a"], ["b"], ["a"], ["c"], ["a"], ["b"]):
        encoder.vectors(words)
    assert asked == ["a", "b", "c", "b"]


def test_what_comes_back_is_the_callers_own():
    encoder, _ = make(3)
    encoder.vectors(["a"])[:] = -1
    assert encoder.vectors(["a"])[2:].tolist() == [vector_of("a")]


@given(st.text(st.characters(codec=None), min_size=1, max_size=120))
def test_a_word_is_cut_to_what_its_ids_hold(word):
    encoder, _ = make(3)
    cut = encoder._characters.cut(word)
    assert len(cut) <= 52
    assert (words_to_char_ids([cut]) == words_to_char_ids([word])).all()


def test_huge_words_leave_nothing_large_in_the_cache():
    encoder, _ = make(100)
    for i in range(20):
        encoder.vectors([f"{i}" + "é" * 1_000_000, "x" * 1_000_000])
    assert all(len(word) <= 52 for word in encoder._cache)
    assert len(encoder._cache) == 21
