"""Laws of text: tokens are the text, character ids spell the word, a vocabulary finds its words again."""

import re
import unicodedata

import numpy as np
import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from elmokit.errors import InputError
from elmokit.text.char_ids import PADDING_ID, WORD_BEGIN_ID, WORD_END_ID, words_to_char_ids
from elmokit.text.inputs import checked_texts, checked_words
from elmokit.text.tokens import TOKENIZERS, get_tokenizer
from elmokit.text.vocab import Vocabulary, write_words
from fuzz_texts import SECONDS, fuzz
from unit.spelling import spelled

ANY = st.text(alphabet=st.characters(), max_size=60)  # surrogates too
WRITTEN = "don't @apple #iPhone5 http://t.co/x1 :-) 🙂 👩‍👩‍👧 🇩🇪 कि שלום 3.5% ... a_b e\u0301"
PIECES = st.lists(st.sampled_from(WRITTEN.split()) | st.text(max_size=3), max_size=8).map(" ".join)
NAMES = sorted(TOKENIZERS)
VISIBLE = regex.compile(r"[^\s\x1c-\x1f\u200B\p{Default_Ignorable_Code_Point}]")


@pytest.mark.parametrize("name", NAMES)
@given(text=ANY | PIECES)
def test_tokens_rebuild_the_text(name, text):
    tokens = get_tokenizer(name)(text)
    seen = re.compile(r"\S") if name == "whitespace" else VISIBLE
    place = 0
    for token in tokens:
        assert place <= token.start < token.end
        assert text[token.start : token.end] == token.word
        assert not seen.search(text[place : token.start]), "only what nobody sees may be left out"
        place = token.end
    assert not seen.search(text[place:])


@pytest.mark.parametrize("name", NAMES)
@given(text=PIECES)
def test_no_token_holds_white_space_at_its_ends(name, text):
    for token in get_tokenizer(name)(text):
        assert token.word.strip() == token.word


@pytest.mark.parametrize("name", NAMES)
@given(text=ANY)
def test_tokenizing_does_not_depend_on_the_white_space_around(name, text):
    words = [token.word for token in get_tokenizer(name)(text)]
    assert [token.word for token in get_tokenizer(name)(f" \n{text}\t ")] == words


@given(ANY)
def test_the_whitespace_tokenizer_is_what_bilm_tf_did(text):
    assert [token.word for token in get_tokenizer("whitespace")(text)] == text.split()


def test_white_space_is_the_same_for_every_character_there_is():
    for start in range(0, 0x3100, 0x800):
        text = "x".join(map(chr, range(start, start + 0x800)))
        assert [token.word for token in get_tokenizer("whitespace")(text)] == text.split()


@given(PIECES)
def test_marks_are_never_parted_from_their_letters(text):
    for token in get_tokenizer("default")(text):
        if token.start > 0 and text[token.start - 1].isalpha():
            assert unicodedata.category(token.word[0]) not in ("Mn", "Mc")


@given(st.text())
def test_words_of_48_bytes_and_less_are_spelled_whole(word):
    assume(len(word.encode()) <= 48)
    assert spelled(words_to_char_ids([word])[0]) == word


@given(ANY, st.integers(3, 60))
def test_longer_words_are_spelled_from_their_beginning(word, max_characters):
    ids = words_to_char_ids([word], max_characters)[0]
    data = word.encode("utf-8", "ignore")[: max_characters - 2]
    assert spelled(ids) == data.decode("utf-8", "ignore")


@given(st.lists(ANY, max_size=5), st.integers(3, 60))
def test_every_row_of_ids_is_begin_bytes_end_padding(words, max_characters):
    ids = words_to_char_ids(words, max_characters)
    assert ids.shape == (len(words), max_characters)
    for row in ids:
        end = int(np.flatnonzero(row == WORD_END_ID)[0])
        assert row[0] == WORD_BEGIN_ID
        assert ((row[1:end] >= 1) & (row[1:end] <= 256)).all()
        assert (row[end + 1 :] == PADDING_ID).all()


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_a_words_ids_do_not_depend_on_the_others(words, others):
    alone = words_to_char_ids(words)
    assert (words_to_char_ids([*others, *words])[len(others) :] == alone).all()


SIMPLE = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)
COUNTED = st.dictionaries(SIMPLE, st.integers(1, 1000), max_size=12)


@given(COUNTED, st.none() | st.integers(3, 10))
def test_a_vocabulary_counts_every_word_once_and_ranks_by_count(counts, max_size):
    vocabulary = Vocabulary.from_counts(counts, max_size=max_size)
    assert sum(vocabulary.counts) == sum(counts.values())
    kept = vocabulary.counts[3:]
    assert list(kept) == sorted(kept, reverse=True)
    assert len(vocabulary) <= (max_size or len(counts) + 3)
    for i, word in enumerate(vocabulary.words):
        assert vocabulary.id_of(word) == i
    for word in counts:
        assert word in vocabulary or vocabulary.id_of(word) == vocabulary.unk_id


@given(COUNTED, st.booleans())
def test_a_vocabulary_file_comes_back(tmp_path_factory, counts, with_counts):
    vocabulary = Vocabulary.from_counts(counts)
    if not with_counts:
        vocabulary = Vocabulary(vocabulary.words)
    path = tmp_path_factory.mktemp("vocabulary") / "words.txt"
    write_words(path, vocabulary.words, vocabulary.counts)
    again = Vocabulary.from_file(path)
    assert (again.words, again.counts) == (vocabulary.words, vocabulary.counts)


@given(st.lists(SIMPLE, max_size=6))
def test_a_word_that_stands_twice_is_named(words):
    special = ["<S>", "</S>", "<UNK>"]
    if len(set(words) - set(special)) == len(words):
        assert len(Vocabulary([*special, *words])) == 3 + len(words)
    else:
        with pytest.raises(InputError, match="twice"):
            Vocabulary([*special, *words])


@given(st.lists(ANY | st.lists(ANY, max_size=3), max_size=4))
def test_texts_and_words_are_taken_as_they_are(texts):
    assert list(checked_texts(texts)) == texts
    for i, text in enumerate(texts):
        if isinstance(text, list):
            assert checked_words(tuple(text), i) == text


def test_strange_texts_cost_little_and_raise_nothing_else():
    assert max(fuzz(400, seed=7, lemmas=False)) < SECONDS
