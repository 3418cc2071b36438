"""Clusters, maps, summaries and answers: what they find, what they refuse."""

import json
import re

import numpy as np
import pytest

from elmokit.errors import ConfigError, InputError, MissingExtra
from elmokit.tasks.answer import Answers
from elmokit.tasks.cluster import cluster_texts, cluster_words, looks_english
from elmokit.tasks.maps import PALETTE, Plane, draw_map, map_page, plane_of, write_map_page
from elmokit.tasks.similar import directions, duplicate_groups, mean_of, nearest
from elmokit.tasks.summarise import summarise
from unit.tiny_models import tiny_elmo


def islands(n=40, n_islands=3, seed=0):
    random = np.random.default_rng(seed)
    centres = np.eye(n_islands, 8) * 10
    numbers = np.sort(random.integers(n_islands, size=n))
    return directions(centres[numbers] + random.normal(size=(n, 8))), numbers


def same_partition(first, second):
    return len({*zip(first, second, strict=True)}) == len(set(first)) == len(set(second))


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_identical_texts_are_duplicates_though_their_mean_is_subtracted(n):
    text = np.random.default_rng(n).normal(size=50).astype(np.float32)
    vectors = np.stack([text] * n)
    assert duplicate_groups(directions(vectors, mean=mean_of(vectors))) == [list(range(n))]
    with_empty = np.vstack([vectors, np.zeros(50, np.float32)])
    assert duplicate_groups(directions(with_empty, mean=mean_of(with_empty))) == [list(range(n))]
    rows = directions(vectors, mean=mean_of(vectors))
    assert nearest(rows, rows, 1, skip_self=True).cosines == pytest.approx(1)


def test_texts_without_words_are_like_nothing():
    vectors = np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [3.0, 1.0]])
    rows = directions(vectors, mean=mean_of(vectors))
    assert not rows[1:3].any()
    assert np.linalg.norm(rows[[0, 3]], axis=1) == pytest.approx([1, 1])
    assert duplicate_groups(rows) == []
    with pytest.raises(ConfigError, match="k is 0"):
        nearest(rows, rows, 0)
    with pytest.raises(ConfigError, match="threshold is 0"):
        duplicate_groups(rows, threshold=0)


@pytest.mark.parametrize("asked", [3, None])
def test_clusters_are_found_and_their_number_too(asked):
    pytest.importorskip("sklearn")
    texts, truth = islands()
    found = cluster_texts(texts, asked)
    assert same_partition(found.numbers.tolist(), truth.tolist())
    assert (np.diff(np.bincount(found.numbers)) <= 0).all(), "the largest first"
    assert (found.silhouette is None) == (asked is not None)
    again = cluster_texts(texts, asked)
    assert again.numbers.tolist() == found.numbers.tolist()


def test_what_can_not_be_clustered_is_named():
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="1 different texts; 2 clusters"):
        cluster_texts(np.ones((3, 2)), 2)
    with pytest.raises(InputError, match="2 texts"):
        cluster_texts(np.ones((2, 2)))
    with pytest.raises(ConfigError, match="0 clusters"):
        cluster_texts(np.ones((2, 2)), 0)


def test_words_of_clusters_are_c_tf_idf():
    texts = ["the cat purrs", "the cat the cat", "the car is fast", "the car stops"]
    first, second = cluster_words(texts, [0, 0, 1, 1], n=3, stop_words=None)
    assert (first[0], second[0]) == ("cat", "car")
    assert first.index("cat") < first.index("the")
    assert cluster_words(texts, [0, 0, 1, 1], n=3) == [["cat", "purrs"], ["car", "fast", "stops"]]
    assert cluster_words(texts, [0, 0, 1, 1], n=1, stop_words=["cat"]) == [["the"], ["car"]]
    assert cluster_words([], []) == []
    assert cluster_words(["the", "it is"], [0, 1]) == [[], []]


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("I hate my new phone, it is so slow and the screen broke again", True),
        ("new phone is fast and the camera works for me", True),
        ("Ich mag mein neues Telefon nicht, der Bildschirm ist schon wieder kaputt", False),
        ("El nuevo teléfono es muy lento y la pantalla se rompe siempre", False),
        ("मुझे यह नया फ़ोन पसंद नहीं है", False),
    ],
)
def test_english_is_told_by_its_stop_words(text, english):
    assert looks_english([text]) == english


def test_pca_is_the_best_plane():
    vectors = np.random.default_rng(0).normal(size=(30, 6)) @ np.diag([5, 3, 1, 1, 0.5, 0.1])
    plane = plane_of(vectors)
    centred = vectors - vectors.mean(0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    assert plane.share == pytest.approx(values[:2].sum() / values.sum(), abs=1e-5)
    assert (plane.places**2).sum(0) == pytest.approx(values[:2])
    assert plane_of(np.ones((3, 4))).places == pytest.approx(np.zeros((3, 2)))
    assert plane_of(np.array([[1.0], [3.0]])).places.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    with pytest.raises(InputError, match="1 texts"):
        plane_of(vectors[:1])
    with pytest.raises(ConfigError, match="'tsne'"):
        plane_of(vectors, method="tsne")


def test_umap_keeps_islands_or_says_what_it_needs(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[umap\]"):
        plane_of(np.eye(8), method="umap")


@pytest.mark.filterwarnings("ignore")
def test_umap():
    pytest.importorskip("umap")
    texts, truth = islands(60)
    places = plane_of(texts, method="umap").places
    near = nearest(directions(places - places.mean(0)), directions(places - places.mean(0)), 1, skip_self=True)
    assert (truth[near.rows[:, 0]] == truth).mean() > 0.9


NASTY = ["</script><script>alert(1)</script>", '"quotes" & <b>', "שלום", "line\nbreak", "\u2028 {braces} $x_1$"]


def test_the_page_holds_its_texts_as_data_and_asks_nobody(tmp_path):
    plane = Plane(np.arange(10.0).reshape(5, 2))
    write_map_page(tmp_path / "map.html", plane, NASTY, ["<i>", "a", "a", "a", "a"], title="<title>", rows=range(2, 7))
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["texts"] == NASTY
    assert data["names"] == ["<i>", "a"]
    assert data["groups"] == [0, 1, 1, 1, 1]
    assert data["rows"] == [2, 3, 4, 5, 6]
    assert data["colors"] == list(PALETTE)
    assert data["places"] == [float(i) for i in range(10)]
    assert page.count("<script") == 2
    assert "<title>&lt;title&gt;</title>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=|https?://(?!www\.w3\.org/2000/svg)|url\(|import", page)
    with pytest.raises(ConfigError, match="5 places, 1 texts"):
        map_page(plane, ["one"])


def test_the_picture_is_a_png_whatever_the_names(tmp_path):
    pytest.importorskip("matplotlib")
    draw_map(tmp_path / "map.png", Plane(np.random.default_rng(0).normal(size=(5, 2))), NASTY, title="$a_{")
    assert (tmp_path / "map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    draw_map(tmp_path / "plain.png", Plane(np.zeros((1, 2))))
    assert (tmp_path / "plain.png").stat().st_size > 1000


class Letters:
    """A model whose vectors count letters: what is alike can be seen."""

    def encode(self, texts, *, show_progress=None):
        return np.array([[text.lower().count(letter) for letter in "abcdefgh"] for text in texts], np.float32)


def test_a_summary_says_the_main_thing_once():
    sentences = ["aab aab.", "aab aab aab.", "aab.", "ccd ccd.", "ccd.", "hhh."]
    found = summarise(Letters(), sentences, n=2)
    assert [one.place for one in found] == sorted(one.place for one in found)
    assert {one.sentence[0] for one in found} == {"a", "c"}
    shares = {one.place: one.centrality for one in summarise(Letters(), sentences, n=99)}
    central = {one.place for one in summarise(Letters(), sentences, n=2, relevance=1.0)}
    assert min(shares[place] for place in central) >= max(shares[place] for place in {*shares} - central)
    assert len(summarise(Letters(), sentences, n=99)) == 6
    assert sum(one.centrality for one in summarise(Letters(), sentences, n=99)) == pytest.approx(1)


def test_summaries_of_little():
    assert summarise(Letters(), "") == []
    assert [one.sentence for one in summarise(Letters(), "One sentence.")] == ["One sentence."]
    assert len(summarise(Letters(), ["a", "", "a"], n=3)) == 3
    with pytest.raises(ConfigError, match="n is 0"):
        summarise(Letters(), "a", n=0)


PASSAGES = ["The cat sat on the mat.", "Emma was written by Jane Austen.", "", "Dogs run. And run!", "A writer wrote."]


@pytest.fixture(scope="module")
def elmo():
    return tiny_elmo(n_threads=1)


def test_without_weight_it_is_bm25(elmo):
    answers = Answers(elmo, PASSAGES, weight=0)
    found = answers.best("Who wrote Emma?", n=5)
    assert {one.place for one in found[:2]} == {1, 4}
    assert [one.bm25 for one in found] == sorted((one.bm25 for one in found), reverse=True)
    assert [one.bm25 for one in found[2:]] == [0.0, 0.0, 0.0]


def test_coverage_is_the_recall_of_alignment(elmo):
    from elmokit.tasks.pairs.scorer import align

    answers = Answers(elmo, PASSAGES)
    question = "Who wrote Emma?"
    asked, *texts = (text.vectors for text in elmo.encode_words([question, *PASSAGES], layers=0))
    mean = np.concatenate(texts).mean(0)
    counted = np.array([answers._rarity.get(word, answers._rarity[""]) for word in ("who", "wrote", "emma")] + [0.0])
    expected = [align(text - mean, asked - mean, second_weights=counted).recall if len(text) else 0.0 for text in texts]
    assert answers.parts(question)[1] == pytest.approx(expected, abs=1e-5)
    some = answers.parts(question, [4, 1])
    assert some[1] == pytest.approx([expected[4], expected[1]], abs=1e-5)


def test_a_passage_that_says_the_same_is_covered_whole(elmo):
    best = Answers(elmo, PASSAGES).best(PASSAGES[1], n=1)[0]
    assert (best.place, best.passage) == (1, PASSAGES[1])
    assert best.coverage == pytest.approx(1, abs=1e-5)


def test_only_candidates_are_compared_by_meaning(elmo):
    answers = Answers(elmo, PASSAGES, n_candidates=2)
    bm25, coverage = answers.parts("Who wrote Emma?")
    assert set(answers._kept) == {1, 4}
    assert coverage[[0, 2, 3]] == pytest.approx(min(coverage[[1, 4]]))
    assert bm25[1] > 0


def test_questions_of_marks_or_of_nothing(elmo):
    answers = Answers(elmo, PASSAGES)
    for question in ("", "???"):
        assert [one.score for one in answers.best(question)] == [0.0] * 5
    with pytest.raises(InputError, match="no passages"):
        Answers(elmo, [])
    with pytest.raises(ConfigError, match="weight is -1"):
        Answers(elmo, PASSAGES, weight=-1)
    assert [one.bm25 for one in Answers(elmo, ["", "?"]).best("a cat")] == [0.0, 0.0]
