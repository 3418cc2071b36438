"""Column files: what is written is read again, and every way in which such files differ is taken as it is meant."""

import gzip
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.data.conll import ColumnSentence, column_file, read_columns
from elmokit.errors import InputError, MissingFile, OutputError

value = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6)
plain = value.filter(lambda text: text.strip(" ") == text and "#" not in text)


@st.composite
def sentences(draw):
    n_columns = draw(st.integers(2, 4))
    row = st.tuples(*[plain] * n_columns)
    return draw(st.lists(st.tuples(st.lists(row, min_size=1, max_size=4), st.booleans()), max_size=4))


@given(sentences(), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read_again(tmp_path_factory, given, end):
    path = tmp_path_factory.getbasetemp() / "round.conll"
    with column_file(path) as write:
        for rows, starts in given:
            write(ColumnSentence(tuple(rows), starts_document=starts), [])
    path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    read = list(read_columns(path, columns=[0, -1]))
    assert [(list(one.rows), one.starts_document) for one in read] == given
    lines = path.read_bytes().decode().split(end)
    for one in read:
        assert lines[one.line - 1].startswith(one.rows[0][0]), "a sentence knows its line"


def read(tmp_path, text, name="a.conll", **options):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_columns(path, **options))


def test_shared_task_files(tmp_path):
    lines = ["-DOCSTART- -X- O O", "", "EU NNP I-NP I-ORG", "rejects VBZ I-VP O", "", "", "-DOCSTART- -X- O O", ""]
    first, second = read(tmp_path, "\r\n".join([*lines, "# # I-NP O"]), columns=[0, 3])
    assert first.column(3) == ["I-ORG", "O"]
    assert (first.starts_document, second.starts_document, second.column(0)) == (True, True, ["#"])
    assert (first.line, second.line) == (3, 9)


def test_a_document_start_without_an_empty_line_behind_it(tmp_path):
    (one,) = read(tmp_path, "-DOCSTART- O\nEU B-ORG\n")
    assert (one.column(0), one.starts_document, one.line) == (["EU"], True, 2)


def test_conllu(tmp_path):
    text = "# sent_id = 1\n# text = don't\n1-2\tdon't\t_\n1\tdo\tAUX\n2\tn't\tPART\n2.1\tx\t_\n\n1\t#\tSYM\n"
    first, second = read(tmp_path, text, "a.conllu")
    assert (first.column(1), first.comments, first.line) == (["do", "n't"], ("# sent_id = 1", "# text = don't"), 3)
    assert second.column(2) == ["SYM"]


def test_comments_are_told_from_words(tmp_path):
    (one,) = read(tmp_path, "# id 7 of 9\n#hash B-X\n# O\n")
    assert one.comments == ("# id 7 of 9",)
    assert one.column(0) == ["#hash", "#"]


def test_archives_tabs_spaces_and_strange_white_space(tmp_path):
    path = tmp_path / "a.conll.gz"
    with gzip.open(path, "wb") as file:
        file.write("New York\tB-LOC\n\t\n\u00a0  O\n".encode())
    first, second = read_columns(path)
    assert first.rows == (("New York", "B-LOC"),)
    assert second.rows == (("\u00a0", "O"),)


def test_more_columns_comments_and_standard_output(tmp_path, capsys):
    sentence = ColumnSentence((("a b", "X"), ("c", "Y")), comments=("# one",), starts_document=True)
    with column_file(tmp_path / "b.conll") as write:
        write(sentence, [["O", "B-X"], ["1", "2"]])
    assert (tmp_path / "b.conll").read_text() == "-DOCSTART-\tO\tO\tO\n\n# one\na b\tX\tO\t1\nc\tY\tB-X\t2\n\n"
    with column_file("-") as write:
        write(ColumnSentence((("a",),)), [["O"]])
    assert capsys.readouterr().out == "a O\n\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a O\nb\n", {}, "line 2 has 1 columns, but the first word of its sentence has 2"),
        ("x O\n\na O\n", {"columns": [2]}, "line 1 has 2 columns and no column 2"),
        (b"a O\n\ncaf\xe9 O\n", {}, "line 3: byte 0xe9 after .caf. is not utf-8"),
    ],
)
def test_broken_files_are_named(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, **options)


def test_other_encodings_and_missing_files(tmp_path):
    (one,) = read(tmp_path, "café O\n".encode("cp1252"), encoding="cp1252")
    assert one.column(0) == ["café"]
    with pytest.raises(MissingFile):
        list(read_columns(tmp_path / "none.conll"))
    assert read(tmp_path, "\n \n") == []


@pytest.mark.parametrize("row", [("", "O"), ("a\tb", "O"), ("a\nb", "O"), ("a b",)])
def test_values_that_would_break_the_file_are_refused(tmp_path, row):
    with pytest.raises(OutputError, match="can't hold the value"), column_file(tmp_path / "c.conll") as write:
        write(ColumnSentence((row,)), [])
    assert os.listdir(tmp_path) == []


@given(st.lists(st.sampled_from(["", " ", "\t", " \t", "\t\t"]), min_size=3, max_size=3), st.sampled_from([" ", "\t"]))
def test_stray_tabs_and_spaces_change_nothing(ends, between):
    lines = [f"{word}{between}{tag}{end}" for word, tag, end in zip(["Ann", "lives", "here"], "BIO", ends, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.conll"
        path.write_text("\n".join(lines), encoding="utf-8")
        (sentence,) = read_columns(path, columns=[0, -1])
    assert sentence.rows == (("Ann", "B"), ("lives", "I"), ("here", "O"))


def test_an_empty_word_or_tag_is_refused_by_its_place(tmp_path):
    path = tmp_path / "a.conll"
    for text in ("Ann\tB\n\tO\n", "Ann\tx\tB\nlives\t\tO\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"line 1: the value of word 2 in column \d is empty"):
            list(read_columns(path, columns=[0, 1]))
