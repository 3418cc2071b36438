"""Scores without labels: greedy alignment is BERTScore's, idf too, and a score depends on its pair alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elmokit.errors import ConfigError, InputError
from elmokit.features import WordVectors
from elmokit.tasks.pairs.scorer import PairScorer, align, inverse_document_frequencies
from unit.tasks.encoders import WordHash
from unit.tiny_models import tiny_elmo


class Words:
    """Random vectors by word with a large common part, as a biLM's have."""

    def __init__(self):
        self.hash = WordHash(dim=64)

    def encode_words_stream(self, texts, *, layers="mix", show_progress=None):
        for text in texts:
            words = tuple(text.split())
            rows = [self.hash._word(word) + 20 for word in words]
            yield WordVectors(words, None, np.array(rows, np.float32).reshape(len(words), 64))


TEXTS = ["the cat sat", "the dog sat", "the bird sang loud", "stocks fell", "the stocks rose", ""]


@st.composite
def texts(draw):
    n = draw(st.integers(1, 5))
    return draw(arrays(np.float64, (n, 3), elements=st.floats(0.1, 5) | st.floats(-5, -0.1)))


def reference(x, y, wx, wy):
    """BERTScore's equations, one word at a time: x the candidate, y the reference."""

    def cosine(a, b):
        return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))

    precision = sum(w * max(cosine(a, b) for b in y) for a, w in zip(x, wx, strict=True)) / sum(wx)
    recall = sum(w * max(cosine(a, b) for a in x) for b, w in zip(y, wy, strict=True)) / sum(wy)
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall > 1e-9 else 0.0


@given(texts(), texts(), st.data())
def test_alignment_follows_the_paper(x, y, data):
    wx, wy = (data.draw(st.lists(st.floats(0.1, 3), min_size=len(t), max_size=len(t))) for t in (x, y))
    found = align(x, y, first_weights=wx, second_weights=wy)
    assert (found.precision, found.recall, found.f1) == pytest.approx(reference(x, y, wx, wy), rel=1e-6, abs=1e-6)


@given(texts(), texts(), st.floats(0.1, 10))
def test_laws_of_alignment(x, y, scale):
    there, back = align(x, y), align(y, x)
    assert (there.precision, there.recall) == pytest.approx((back.recall, back.precision))
    assert there.f1 == pytest.approx(back.f1)
    assert align(scale * x, y).f1 == pytest.approx(there.f1, abs=1e-9)
    assert align(x, x[::-1]).f1 == pytest.approx(1)
    assert max(there.precision, there.recall) <= 1


def test_texts_without_words():
    none, some = np.zeros((0, 3)), np.ones((1, 3))
    assert (align(none, none).f1, align(none, some).f1, align(some, none).f1) == (1, 0, 0)
    scorer = PairScorer(Words(), method="cosine")
    assert scorer.scores([("", ""), ("", "a"), ("a", "a")]) == pytest.approx([1, 0, 1])
    assert scorer.scores([]).shape == (0,)


def test_words_in_all_texts_weigh_nothing_and_new_ones_most():
    idf = inverse_document_frequencies([["a", "b", "b"], ["a"], ["a", "c"]])
    assert [idf["a"], idf["b"], idf[""]] == pytest.approx([0, math.log(4 / 2), math.log(4)])
    zeros = align(np.eye(2), np.eye(2)[:1], first_weights=[0, 0])
    assert zeros.precision == 0.5, "only zeros count alike"


@pytest.mark.parametrize("method", ["cosine", "alignment"])
def test_centering_and_idf_tell_texts_apart(method):
    plain = PairScorer(Words(), method=method)
    keen = PairScorer(Words(), method=method, idf=True, center=True).fit(TEXTS)
    two = [("the cat sat", "the dog sat"), ("the cat sat", "the stocks rose")]
    assert plain.scores(two).min() > 0.85, "the common part hides the difference"
    near, far = keen.scores(two)
    assert near - far > 0.2


@pytest.mark.parametrize("method", ["cosine", "alignment"])
def test_a_score_depends_on_its_pair_alone(method):
    scorer = PairScorer(tiny_elmo(), method=method, layers="all", idf=True, center=True).fit(TEXTS)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    whole = scorer.scores(pairs)
    alone = [scorer.scores([pair])[0] for pair in pairs]
    assert whole.tolist() == alone
    assert [a.f1 for a in scorer.alignments([(text, text) for text in TEXTS])] == pytest.approx([1] * len(TEXTS))


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="'cosine'"):
        PairScorer(Words(), method="bleu")
    with pytest.raises(InputError, match="call fit"):
        PairScorer(Words(), idf=True).scores([("a", "b")])
    with pytest.raises(InputError, match="no words"):
        PairScorer(Words(), idf=True).fit(["", ""])
