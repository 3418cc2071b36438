"""Files of static word vectors: read as written, or refused by line."""

import gzip

import numpy as np
import pytest

from elmokit.errors import InputError, MissingFile
from elmokit.training import teacher as teacher_file
from elmokit.training.teacher import read_word_vectors
from unit.training.runs import NOUNS, VERBS

WORDS = ("the", *NOUNS, *VERBS, ".")


def vectors(width):
    return WORDS, np.random.default_rng(0).normal(3.0, 1.0, (len(WORDS), width)).astype("f4")


def write(path, static, lines=None):
    rows = [f"{word} {' '.join(str(x) for x in row)}" for word, row in zip(*static, strict=True)]
    text = "\n".join([f"{len(rows)} {static[1].shape[1]}", *(lines or rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["v.vec", "v.txt.gz"])
def test_a_file_is_read_as_written(name, tmp_path, monkeypatch):
    static = vectors(5)
    words, array = read_word_vectors(write(tmp_path / name, static))
    assert words == static[0]
    np.testing.assert_allclose(array, static[1], rtol=1e-6)
    monkeypatch.setattr(teacher_file, "_MAX_WORDS", 3)
    assert read_word_vectors(tmp_path / name)[0] == static[0][:3]


@pytest.mark.parametrize("line", ["the 1 2", "the 1 2 x", "the", "the 1 2 nan", "the 1 2 3 4"])
def test_a_bad_line_is_named(line, tmp_path):
    path = write(tmp_path / "v.vec", vectors(3), ["a 1 2 3", line])
    with pytest.raises(InputError, match="line 3"):
        read_word_vectors(path)


def test_a_file_without_its_first_line_or_missing_or_empty(tmp_path):
    (tmp_path / "v.vec").write_text("the 1 2 3\n")
    with pytest.raises(InputError, match="line 1"):
        read_word_vectors(tmp_path / "v.vec")
    (tmp_path / "v.vec").write_text("0 3\n")
    with pytest.raises(InputError, match="no word vectors"):
        read_word_vectors(tmp_path / "v.vec")
    with pytest.raises(MissingFile):
        read_word_vectors(tmp_path / "none.vec")
