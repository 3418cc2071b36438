"""Similarity in blocks equals similarity at once; groups are what links connect; ranks are what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elmokit.tasks import similar
from elmokit.tasks.answer import _Bm25, terms_of
from elmokit.tasks.similar import directions, distinct_rows, duplicate_groups, nearest
from elmokit.tasks.summarise import centrality, rescaled_cosines, without_redundancy
from elmokit.text.sentences import split_sentences

small = st.integers(-4, 4).map(float)


def matrices(least=1, most=12):
    return arrays(np.float32, st.tuples(st.integers(least, most), st.just(3)), elements=small)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (1024, 8192)], ids=str)
@given(vectors=matrices(2), k=st.integers(1, 5))
def test_nearest_is_the_sorted_row_of_all_cosines(sizes, vectors, k):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_BLOCK_ROWS", sizes[0])
        patch.setattr(similar, "_BLOCK_COLUMNS", sizes[1])
        rows = directions(vectors)
        found = nearest(rows, rows, k, skip_self=True)
        groups = duplicate_groups(rows, threshold=0.8)
    assert groups == duplicate_groups(rows, threshold=0.8)
    cosines = (rows @ rows.T).astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    expected = -np.sort(-cosines, axis=1)[:, :k][:, : len(rows) - 1]
    assert found.cosines == pytest.approx(expected, abs=1e-5)
    for i, (numbers, values) in enumerate(zip(found.rows, found.cosines, strict=True)):
        assert i not in numbers
        assert len(set(numbers.tolist())) == len(numbers)
        assert cosines[i, numbers] == pytest.approx(values, abs=1e-5)


def test_equal_neighbours_come_in_the_order_of_the_texts():
    rows = directions(np.ones((5, 2)))
    assert nearest(rows[:1], rows, 3).rows.tolist() == [[0, 1, 2]]


@given(matrices(), st.floats(0.1, 1))
def test_groups_are_what_links_connect(vectors, threshold):
    rows = directions(vectors)
    groups = duplicate_groups(rows, threshold=threshold)
    linked = rows @ rows.T >= threshold - 1e-6
    reach = linked | np.eye(len(rows), dtype=bool)
    for _ in rows:
        reach = reach @ reach
    of_row = {row: tuple(group) for group in groups for row in group}
    for i in range(len(rows)):
        expected = tuple(np.flatnonzero(reach[i]).tolist())
        assert of_row.get(i, (i,)) == expected
    assert len(distinct_rows(len(rows), groups)) == len(rows) - sum(len(group) - 1 for group in groups)


texts = st.lists(st.text("ab c.", max_size=12), min_size=1, max_size=8)


@given(texts, st.text("abc ", max_size=8), st.floats(0, 3), st.floats(0, 1))
def test_bm25_is_its_formula(passages, query, k1, b):
    found = _Bm25(passages, k1=k1, b=b).scores(query)
    counted = [terms_of(passage) for passage in passages]
    mean = np.mean([len(terms) for terms in counted])
    for score, terms in zip(found, counted, strict=True):
        expected = 0.0
        for term in terms_of(query):
            n = sum(term in other for other in counted)
            count = terms.count(term)
            if count:
                idf = np.log(1 + (len(passages) - n + 0.5) / (n + 0.5))
                expected += idf * count / (count + k1 * (1 - b + b * len(terms) / mean))
        assert score == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(matrices())
def test_centrality_is_a_share_of_votes_that_has_settled(vectors):
    likeness = rescaled_cosines(vectors)
    assert likeness == pytest.approx(likeness.T, abs=1e-6)
    assert likeness.min() >= -1e-9
    assert likeness.max() <= 1 + 1e-6
    shares = centrality(likeness)
    assert shares.sum() == pytest.approx(1)
    votes = likeness / likeness.sum(1, keepdims=True)
    assert shares == pytest.approx(0.15 / len(shares) + 0.85 * shares @ votes, abs=1e-6)
    chosen = without_redundancy(shares, likeness, 4, relevance=0.7)
    assert len(set(chosen)) == len(chosen) == min(4, len(vectors))
    assert shares[chosen[0]] == pytest.approx(shares.max())


@given(st.text("aB .!?\n\"'”)。 ", max_size=60))
def test_sentences_lose_nothing_but_white_space(text):
    found = split_sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four…", ["One.", "Two!", "Three?", "Four…"]),
        ("Mr. Smith met Dr. E. Jones at 3.30 p.m. He left.", ["Mr. Smith met Dr. E. Jones at 3.30 p.m.", "He left."]),
        ("It cost $3.50, i.e. nothing. So.", ["It cost $3.50, i.e. nothing.", "So."]),
        ('"Go!" she said. "Why?" He went.', ['"Go!" she said.', '"Why?"', "He went."]),
        ("A title\n\nThe text goes\non here.", ["A title", "The text goes\non here."]),
        ("他来了。她走了。", ["他来了。", "她走了。"]),
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("Wait ... what? yes", ["Wait ... what? yes"]),
        ("The cat sat. Was it the sun? No. Then go.", ["The cat sat.", "Was it the sun?", "No.", "Then go."]),
        ("That was I. Then it rained.", ["That was I.", "Then it rained."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text, expected):
    assert split_sentences(text) == expected


@pytest.mark.parametrize("text", ["." * 50_000, "a" * 50_000, " " * 50_000, "\n" * 50_000, "a." * 25_000, '"' * 50_000])
def test_runs_without_end_take_no_time(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_a_text_of_one_sentence_repeated_is_all_alike():
    assert rescaled_cosines(np.tile([[0.1, 0.7, 0.3]], (4, 1))) == pytest.approx(np.ones((4, 4)))
