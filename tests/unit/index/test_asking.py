"""Questions to an index: the store's answers are those of plain NumPy, groups and senses are what they say."""

import numpy as np
import pandas
import pytest

from elmokit.errors import ConfigError, InputError
from elmokit.index import WordIndex, shift
from unit.index.corpora import many_lines, model


@pytest.fixture(scope="module")
def elmo():
    return model()


@pytest.fixture(scope="module")
def index(elmo, tmp_path_factory):
    index = WordIndex.create(tmp_path_factory.mktemp("index") / "db", elmo)
    index.add(many_lines(120), document="numbers")
    return index


def rows(index):
    blocks = list(index._store.scan("occurrences", ["word", "sentence", "start", "document", "length", "vector"]))
    joined = {name: [value for block in blocks for value in block[name]] for name in blocks[0]}
    return joined, np.stack(joined["vector"])


def test_exact_search_is_the_nearest_by_cosine(index):
    columns, units = rows(index)
    query = index.vector("bank", "The bank and the river.")
    expected = np.sort(units @ query)[::-1][:15]
    found = index.search(query, k=15, exact=True)
    assert np.allclose([near.similarity for near in found], expected, atol=2e-3)
    others = index.search(query, k=700, not_words=["River"], exact=True)
    assert len(others) == len(index) - columns["word"].count("river")


def test_the_quick_search_agrees_with_the_exact_one(elmo, tmp_path, monkeypatch):
    monkeypatch.setattr("elmokit.index.store.ANN_ROWS", 500)
    index = WordIndex.create(tmp_path / "db", elmo)
    index.add(many_lines(400), document="numbers")
    vars(index._store).update(partition_rows=256, probes=4, refine=10)
    index._store.index()
    assert index._store._tables["occurrences"].index_stats("vector_idx") is not None
    query = index.vector("bank", "The bank and the river.")
    exact, quick = (index.search(query, k=10, exact=exact) for exact in (True, False))
    worst = exact[-1].similarity - 1e-3
    assert np.mean([near.similarity >= worst for near in quick]) >= 0.9
    index.add(["An entirely new bank appeared."], document="late")
    late = index.vector("bank", "An entirely new bank appeared.")
    assert index.search(late, k=1)[0].document == "late", "rows outside the search index are found too"


def test_neighbours_in_context_are_groups_of_the_nearest_occurrences(index):
    text = "The bank and boat saw number 5 of river."
    found = index.most_similar("bank", context=text, topn=4, exact=True)
    assert 0 < len(found) <= 4
    assert list(found.pairs()) == sorted(found.pairs(), key=lambda pair: -pair[1])
    for near in found:
        assert near.similarity == pytest.approx(near.occurrences[0].similarity)
        assert all(occurrence.word == near.word for occurrence in near.occurrences)
    assert len({(near.word, near.sense) for near in found}) == len(found)
    own = index.occurrences("bank", limit=1)[0]
    again = index.most_similar("bank", context=own.text, topn=5)
    assert all(occurrence.text != own.text for near in again for occurrence in near.occurrences)


def test_neighbours_without_context_are_words_by_their_means(index):
    columns, units = rows(index)
    means = index.means(min_count=1)
    for word, mean in list(zip(means.words, means.vectors, strict=True))[:5]:
        of = units[[i for i, other in enumerate(columns["word"]) if other == word]].mean(axis=0)
        assert np.allclose(mean, of / np.linalg.norm(of), atol=1e-3)
    found = index.most_similar("bank", topn=3)
    assert "bank" not in dict(found.pairs())
    places = {word: i for i, word in enumerate(means.words)}
    for near in found:
        assert near.similarity == pytest.approx(
            float(means.vectors[places[near.word]] @ means.vectors[places["bank"]]), abs=1e-5
        )
    plus = index.most_similar(positive=["bank", "river"], negative=["money"], topn=3)
    target = means.vectors[places["bank"]] + means.vectors[places["river"]] - means.vectors[places["money"]]
    target /= np.linalg.norm(target)
    assert plus[0].similarity == pytest.approx(float(means.vectors[places[plus[0].word]] @ target), abs=1e-5)
    assert not {"bank", "river", "money"} & set(dict(plus.pairs()))


def test_a_word_alone_and_words_in_context_mix(index):
    found = index.most_similar("bank", context="a bank", positive=["river"], negative=[("boat", "the boat")], topn=3)
    assert found[0].occurrences


def test_similarity_is_the_cosine_of_two_vectors(index):
    same = index.similarity("bank", "a bank by the river", "Bank", "a bank by the river")
    assert same == pytest.approx(1.0, abs=1e-5)
    ours = index.vector("bank", "a bank") @ index.vector("river", ["the", "river"])
    assert index.similarity("bank", "a bank", "river", ["the", "river"]) == pytest.approx(float(ours))
    twice = "the bank is no bank"
    assert not np.allclose(index.vector("bank", twice, position=1), index.vector("bank", twice, position=4))
    assert np.array_equal(index.vector("bank", twice, position=1), index.vector("bank", twice))


def test_wrong_questions_are_answered_in_words(index):
    with pytest.raises(InputError, match="'boat' is not in its context; the words there are"):
        index.vector("boat", "a bank")
    with pytest.raises(InputError, match="at place 0"):
        index.vector("bank", "a bank", position=0)
    with pytest.raises(InputError, match="does not occur"):
        index.most_similar("zebra")
    with pytest.raises(InputError, match="does not occur"):
        index.senses("zebra")
    with pytest.raises(ConfigError, match="give a word"):
        index.most_similar(negative=["bank"])
    with pytest.raises(ConfigError, match="n_senses"):
        index.senses("bank", n_senses=0)


def test_sentences_like_a_text_come_back_with_itself_first(index):
    text = many_lines(120)[17]
    found = index.search_sentences(text, k=5)
    assert found[0].text == text
    assert found[0].similarity == pytest.approx(1.0, abs=1e-2)
    assert [near.similarity for near in found] == sorted((near.similarity for near in found), reverse=True)


def test_senses_cover_the_occurrences_and_know_their_place(index):
    senses = index.senses("bank", n_senses=3)
    assert len(senses) == 3
    assert sum(sense.share for sense in senses) == pytest.approx(1.0)
    assert [sense.number for sense in senses] == [1, 2, 3]
    assert senses.count == index.words()["bank"]
    assert all(sense.name for sense in senses)
    for sense in senses:
        assert senses.nearest(sense.centre) is sense
        assert all(example.sense == sense.number for example in sense.examples)
    assert index.senses("BANK", n_senses=3) is senses, "kept in memory"
    assert senses.to_dict()["senses"][0]["examples"][0]["word"] == "bank"


def test_a_map_shows_each_occurrence_once_and_the_same_each_time(index):
    maps = [index.word_map("river", n_senses=2, limit=40) for _ in range(2)]
    assert [(p.x, p.y) for p in maps[0].points] == [(p.x, p.y) for p in maps[1].points]
    assert len({point.occurrence.sentence_id for point in maps[0].points}) > 20
    assert {point.occurrence.sense for point in maps[0].points} == {1, 2}
    assert 0 < maps[0].explained <= 1


def pairwise(a, b):
    return 1 - a @ b.T


def test_shift_is_what_all_pairs_say(elmo, index, tmp_path):
    other = WordIndex.create(tmp_path / "other", elmo)
    other.add(
        [f"Nobody {word} a {noun}." for word in ("saw", "sold", "flooded") for noun in ("bank", "boat", "river")] * 4,
        document="b",
    )
    middle = (index.description.centering.mean + other.description.centering.mean) / 2

    def units(of, word):
        columns, found = rows(of)
        chosen = [i for i, other_word in enumerate(columns["word"]) if other_word == word]
        raw = found[chosen] * np.array(columns["length"])[chosen, None] + of.description.centering.mean - middle
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    changes = {change.word: change for change in shift(index, other, min_count=2)}
    for word in ("bank", "boat"):
        a, b = units(index, word), units(other, word)
        change, off = changes[word], ~np.eye(len(b), dtype=bool)
        assert (change.count_a, change.count_b) == (len(a), len(b))
        assert change.apd == pytest.approx(pairwise(a, b).mean(), abs=1e-4)
        assert change.within_b == pytest.approx(pairwise(b, b)[off].mean(), abs=1e-4)
        means = a.mean(axis=0), b.mean(axis=0)
        cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
        assert change.prt == pytest.approx(1 - cosine, abs=1e-4)
    order = [change.excess for change in shift(index, other, min_count=2)]
    assert order == sorted(order, reverse=True)


def test_a_corpus_does_not_differ_from_itself(index):
    for change in shift(index, index, min_count=5):
        assert change.prt == pytest.approx(0, abs=1e-6)
        assert abs(change.excess) < 0.2


def test_only_indexes_of_one_kind_are_compared(elmo, index, tmp_path):
    other = WordIndex.create(tmp_path / "other", elmo, layers=0)
    with pytest.raises(ConfigError, match="only indexes of one model"):
        shift(index, other)
    with pytest.raises(ConfigError, match="2 or more"):
        shift(index, index, min_count=1)


def test_means_go_to_gensim(index, tmp_path):
    gensim = pytest.importorskip("gensim.models")
    from elmokit.integrations.gensim import keyed_vectors, save_word_means

    means = index.means()
    keyed = keyed_vectors(means.words, means.vectors)
    ours = index.most_similar("bank", topn=3)
    assert [word for word, _ in keyed.most_similar("bank", topn=3)] == [near.word for near in ours]
    save_word_means(means.words, means.vectors, tmp_path / "means.bin")
    read = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "means.bin"), binary=True)
    assert np.array_equal(read.vectors, means.vectors)


def test_answers_print_as_a_line_and_pandas_makes_tables_of_them(index):
    near = index.most_similar("bank", context="a bank", topn=3)
    assert repr(near).startswith("Neighbours(")
    assert pandas.DataFrame(near)["word"].tolist() == [word for word, _ in near.pairs()]
    assert repr(index.senses("bank", n_senses=2)).startswith("Senses('bank': 1 ")


def test_topn_is_gensims_name_and_k_means_the_same(index):
    assert index.most_similar("bank", topn=2) == index.most_similar("bank", k=2)
    assert len(index.most_similar("bank", topn=2)) == 2
