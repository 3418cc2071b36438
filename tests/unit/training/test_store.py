"""The indexed corpus: what goes in comes out, whatever the number of processes; it is reused and bounded."""

import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.text.char_ids import BOS, EOS, words_to_char_ids
from elmokit.text.tokens import tokenize_default
from elmokit.training.sources import Corpus, open_store
from elmokit.training.store import CorpusStore, build_store


def spellings_of(store):
    return [store.spelling(number) for number in range(store.n_spellings)]


def one_process(*files, **settings):
    return Corpus(files=files, n_processes=1, **settings)


def words_of(store, part):
    spellings = spellings_of(store)
    ids, ends = store.span(part, 0, store.n_texts(part))
    return [[spellings[i] for i in text] for text in np.split(ids, ends[:-1])] if len(ends) else []


def test_texts_come_back_in_order_and_boundaries_are_no_words(tmp_path):
    texts = ["Read the book!", f"{BOS} is a word, so is {EOS}", "", "मैं हिंदी", "the end"]
    store = build_store([("a", lambda: texts)], tmp_path / "store", heldout_every=0, n_processes=1)
    assert words_of(store, "train") == [[t.word for t in tokenize_default(x)] for x in texts if x]
    ids, _ = store.span("train", 0, store.n_texts("train"))
    assert ids.min() == 2
    assert int(store.counts.sum()) == store.n_words("train")


def test_two_processes_make_the_same_store(tmp_path):
    texts = [f"text {i} of {i % 7} words" for i in range(20_000)]
    stores = [
        build_store([("a", lambda: texts)], tmp_path / f"store{n}", heldout_every=10, n_processes=n) for n in (1, 2)
    ]
    files = sorted(p.name for p in stores[0].folder.iterdir())
    for name in files:
        assert (stores[0].folder / name).read_bytes() == (stores[1].folder / name).read_bytes()


def test_held_out_texts_are_chosen_by_their_words_alone(tmp_path):
    texts = [f"text number {i}" for i in range(500)]
    first = build_store([("a", lambda: texts)], tmp_path / "1", heldout_every=10, n_processes=1)
    second = build_store([("a", lambda: texts[::-1] * 2)], tmp_path / "2", heldout_every=10, n_processes=1)
    assert 20 < first.n_texts("heldout") < 100
    assert {tuple(t) for t in words_of(first, "heldout")} == {tuple(t) for t in words_of(second, "heldout")}
    assert first.n_texts("train") + first.n_texts("heldout") == 500


@given(st.lists(st.text(min_size=1), max_size=20), st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_character_ids_of_spellings_are_those_of_words(tmp_path_factory, texts, max_characters):
    try:
        store = build_store(
            [("a", lambda: texts)], tmp_path_factory.mktemp("store") / "s", heldout_every=0, n_processes=1
        )
    except InputError:
        assert not any(tokenize_default(text) for text in texts)
        return
    numbers = np.arange(2, store.n_spellings)
    expected = words_to_char_ids(spellings_of(store)[2:], max_characters)
    surrogates = [any("\ud800" <= c <= "\udfff" for c in word) for word in spellings_of(store)[2:]]
    keep = ~np.array(surrogates, dtype=bool)
    np.testing.assert_array_equal(store.char_ids(numbers, max_characters)[keep], expected[keep])


def test_a_full_table_of_spellings_loses_no_word(tmp_path):
    texts = [f"once{i} often" for i in range(9000)] + ["once0 often"]
    store = build_store(
        [("a", lambda: texts)], tmp_path / "s", heldout_every=0, n_processes=1, max_spellings_in_memory=100
    )
    assert words_of(store, "train") == [text.split() for text in texts]
    vocabulary = store.vocabulary(max_size=4)
    assert vocabulary.words[3] == "often"
    assert vocabulary.counts[3] == 9001


def test_a_store_is_reused_until_something_changes(corpus_file, tmp_path):
    made = []
    arguments = {"tokenizer": "default", "on_progress": lambda *_: made.append(1)}
    open_store(one_process(corpus_file), tmp_path / "s", **arguments)
    first = len(made)
    open_store(one_process(corpus_file), tmp_path / "s", **arguments)
    assert len(made) == first > 0
    corpus_file.write_text("other text\n" * 50)
    assert open_store(one_process(corpus_file), tmp_path / "s", **arguments).n_words("train") <= 100
    assert len(made) > first


def test_every_kind_of_file_gives_the_same_texts(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    texts = ["a first text", "नमस्ते दुनिया", 'third, with "marks"']
    plain = "\n".join(texts) + "\n"
    (tmp_path / "a.txt").write_text(plain, encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(plain.encode()))
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(plain.encode()))
    import json

    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    for path in sorted(tmp_path.iterdir()):
        assert list(one_process(path).texts(path)) == texts, path.name


def test_a_corrupt_line_is_named_or_skipped(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good line\nbad \xff line\nlast line\n")
    with pytest.raises(InputError, match=r"bad\.txt.*2"):
        list(one_process(path).texts(path))
    assert list(one_process(path, bad_rows="skip").texts(path)) == ["good line", "last line"]


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(MissingFile, match="no-such"):
        open_store(one_process(tmp_path / "no-such.txt"), tmp_path / "s", tokenizer="default")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(InputError, match="no text to train on"):
        open_store(one_process(tmp_path / "empty.txt"), tmp_path / "s", tokenizer="default")
    assert not (tmp_path / "s").exists()
    with pytest.raises(MissingFile, match=r"store\.json"):
        CorpusStore(tmp_path)


def test_weights_must_name_sources(corpus_file, tmp_path):
    store = open_store(one_process(corpus_file), tmp_path / "s", tokenizer="default")
    one_process(corpus_file, weights={"corpus": 2.5}).check_weights(store)
    for weights, said in (
        ({"corpse": 1.0}, "corpus"),
        ({"corpus": -1.0}, "0 or more"),
        ({"corpus": 0.0}, "all weights"),
    ):
        with pytest.raises(ConfigError, match=said):
            one_process(corpus_file, weights=weights).check_weights(store)


def test_rows_are_the_places_of_texts_in_the_corpus(tmp_path):
    texts = ["one", "\u200b", "two words", "", "three"]  # blank ones have no words
    sources = [("a", lambda: texts), ("b", lambda: texts[:3])]
    store = build_store(sources, tmp_path / "s", heldout_every=0, n_processes=1)
    assert store.n_rows == 8
    assert store.rows("train").tolist() == [0, 2, 4, 5, 7]
    assert [store.text("train", i) for i in range(5)] == ["one", "two words", "three", "one", "two words"]


@pytest.mark.parametrize("damage", ["cut", "json", "missing"])
def test_a_damaged_store_is_our_error(corpus_file, tmp_path, damage):
    store = open_store(one_process(corpus_file), tmp_path / "s", tokenizer="default").folder
    if damage == "cut":
        (store / "train.ends").write_bytes((store / "train.ends").read_bytes()[:80])
    elif damage == "json":
        (store / "store.json").write_text('{"version": 2, "sources": [3]}')
    else:
        (store / "words.ends").unlink()
    with pytest.raises((InputError, MissingFile), match=r"a readable corpus store|words\.ends: no such file"):
        CorpusStore(store)
