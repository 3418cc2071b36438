"""Character ids, number by number: the published models know no others."""

import pytest

from elmokit.text.char_ids import sentence_boundary_ids, words_to_char_ids
from unit.spelling import spelled


@pytest.mark.parametrize(
    ("word", "inner"),
    [
        ("a", [98]),
        ("", []),
        ("é", [196, 170]),
        ("\0", [1]),
        ("🙂", [241, 160, 154, 131]),
        ("\ud83dx", [121]),
        ("<S>", [61, 84, 63]),
    ],
)
def test_a_word_is_its_bytes_shifted_by_one(word, inner):
    ids = words_to_char_ids([word])[0].tolist()
    assert ids == [259, *inner, 260, *[261] * (48 - len(inner))]


def test_boundaries_are_words_of_one_character():
    begin, end = sentence_boundary_ids().tolist()
    assert begin == [259, 257, 260, *[261] * 47]
    assert end == [259, 258, 260, *[261] * 47]
    assert [spelled(ids) for ids in sentence_boundary_ids()] == ["<S>", "</S>"]
