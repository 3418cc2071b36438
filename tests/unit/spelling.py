"""Character ids → the word that they spell, for tests."""

from elmokit.text.char_ids import PADDING_ID, SENTENCE_BEGIN_ID, SENTENCE_END_ID, WORD_BEGIN_ID, WORD_END_ID


def spelled(ids):
    """The word that a row of ids spells, without bytes of incomplete characters; "<S>" or "</S>" for a boundary."""
    inner = [int(i) for i in ids if int(i) not in (0, WORD_BEGIN_ID, WORD_END_ID, PADDING_ID)]
    if inner in ([SENTENCE_BEGIN_ID], [SENTENCE_END_ID]):
        return "<S>" if inner[0] == SENTENCE_BEGIN_ID else "</S>"
    return bytes(i - 1 for i in inner).decode("utf-8", "ignore")
