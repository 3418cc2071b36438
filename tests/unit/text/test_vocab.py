"""Vocabularies from files as they exist, and files that are none."""

import pytest

from elmokit.errors import InputError, MissingFile
from elmokit.text.vocab import Vocabulary


def written(tmp_path, data):
    path = tmp_path / "vocab.txt"
    path.write_bytes(data)
    return path


def test_a_vocabulary_of_bilm_tf_is_read_as_it_is(tmp_path):
    vocabulary = Vocabulary.from_file(written(tmp_path, b"<S>\n</S>\n<UNK>\n!!!MAXTERMID\nthe\n"))
    assert vocabulary.words == ("<S>", "</S>", "<UNK>", "the")
    assert (vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id, vocabulary.id_of("the")) == (0, 1, 2, 3)
    assert vocabulary.counts is None


def test_windows_line_ends_and_counts_are_read(tmp_path):
    vocabulary = Vocabulary.from_file(written(tmp_path, b"<S>\t0\r\n</S>\t0\r\n<UNK>\t3\r\nthe\t9\r\n"))
    assert vocabulary.counts == (0, 0, 3, 9)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"the\ncat\n", "lacks the word '<S>'"),
        (b"<S>\n</S>\n<UNK>\nthe\nthe\n", "'the' twice"),
        (b"<S>\n\xff\xfe\n", "not a UTF-8 text file"),
        (b"", "lacks the word"),
    ],
)
def test_files_that_are_no_vocabulary_are_refused_with_their_name(tmp_path, data, message):
    with pytest.raises(InputError, match=rf"vocab\.txt.*{message}"):
        Vocabulary.from_file(written(tmp_path, data))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingFile, match=r"vocab\.txt"):
        Vocabulary.from_file(tmp_path / "vocab.txt")


def test_counts_must_fit():
    with pytest.raises(InputError, match="3 words but 1 counts"):
        Vocabulary(["<S>", "</S>", "<UNK>"], [1])
