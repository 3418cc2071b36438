"""Rows come out as they stand in the file, and every broken one is named with its reason."""

import csv
import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.data.tables import Table
from elmokit.errors import ConfigError, InputError, MissingFile


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def texts(path, column="tweet", **options):
    return [row.values[column] for row in Table(source=path, **options).rows([column])]


ROWS = [{"id": 7, "tweet": "so, happy"}, {"id": 8, "tweet": 'say "hi"\nagain'}, {"id": 9, "tweet": "नमस्ते 😀"}]


@pytest.fixture(params=["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.zst"])
def any_table(request, tmp_path):
    path = tmp_path / f"table.{request.param}"
    kind = request.param.split(".")[0]
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        return Table(source=path)
    text = io.StringIO()
    if kind == "jsonl":
        text.writelines(json.dumps(row) + "\n" for row in ROWS)
    else:
        writer = csv.DictWriter(text, ["id", "tweet"], delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(ROWS)
    data = text.getvalue().encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        import zstandard

        half = len(data) // 2
        data = b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:]))
    path.write_bytes(data)
    return Table(source=path, format="csv", delimiter="\t") if kind == "tsv" else Table(source=path)


def test_every_format_gives_the_same_rows(any_table):
    rows = list(any_table.rows(["tweet", "id"]))
    assert [row.values for row in rows] == [{"tweet": r["tweet"], "id": str(r["id"])} for r in ROWS]
    assert [row.number for row in rows] == [1, 2, 3]


def test_every_format_names_the_columns_that_exist(any_table):
    with pytest.raises(InputError, match=r"no column 'twet'; the columns are 'id', 'tweet'\. Did you mean 'tweet'"):
        list(any_table.rows(["twet"]))


def test_every_format_tells_its_columns(any_table):
    assert any_table.columns() == ["id", "tweet"]


def test_plain_text_is_a_text_a_line(tmp_path):
    path = write(tmp_path, "a.txt", "one\r\ntwo\u0085still two\nthree")
    assert texts(path, "text") == ["one", "two\u0085still two", "three"]


def test_lines_are_the_files(tmp_path):
    path = write(tmp_path, "a.csv", 'id,tweet\n1,"a\nb"\n\n2,c\n')
    assert [(row.number, row.line) for row in Table(source=path).rows(["tweet"])] == [(1, 2), (2, 5)]


def test_tabs_know_no_quotation_marks(tmp_path):
    path = write(tmp_path, "a.tsv", 'id\ttweet\n1\t"open\n2\tb"c\n')
    assert texts(path) == ['"open', 'b"c']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_marks_are_passed_over(tmp_path, encoding):
    assert texts(write(tmp_path, "a.csv", "tweet\nhé\n".encode(encoding))) == ["hé"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
def test_other_encodings_are_read_when_named(tmp_path, encoding):
    path = write(tmp_path, "a.csv", "id,tweet\n1,café\n2,naïve\n".encode(encoding))
    assert texts(path, encoding=encoding) == ["café", "naïve"]
    with pytest.raises(InputError, match=r"not utf-8|encoding"):
        texts(path)


def test_a_wrong_byte_is_named_with_its_row(tmp_path):
    path = write(tmp_path, "a.csv", b"id,tweet\n1,fine\n2,caf\xe9 au lait\n3,ok\n")
    with pytest.raises(InputError, match=r"row 2 \(line 3\): byte 0xe9 after '2caf' is not utf-8.*cp1252"):
        texts(path)
    skipped = []
    assert texts(path, bad_rows="skip", on_skip=skipped.append) == ["fine", "ok"]
    assert len(skipped) == 1
    assert skipped[0].startswith("row 2 (line 3) left out: byte 0xe9")


def test_a_utf16_file_is_recognised(tmp_path):
    with pytest.raises(InputError, match=r"header.*byte 0xff.*--encoding utf-16"):
        texts(write(tmp_path, "a.csv", "tweet\nx\n".encode("utf-16")))


def test_an_unknown_encoding_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown encoding 'klingon'"):
        texts(write(tmp_path, "a.csv", "tweet\nx\n"), encoding="klingon")


def test_a_quote_that_never_closes_costs_one_row(tmp_path):
    path = write(tmp_path, "a.csv", 'id,tweet\n1,fine\n2,"never closed\n3,c\n4,d\n')
    with pytest.raises(InputError, match=r"row 2 \(line 3\): a quotation mark opens and never closes"):
        texts(path)
    rows = list(Table(source=path, bad_rows="skip").rows(["tweet"]))
    assert [(row.line, row.values["tweet"]) for row in rows] == [(2, "fine"), (4, "c"), (5, "d")]


def test_a_quote_inside_a_field_is_named(tmp_path):
    path = write(tmp_path, "a.csv", 'id,tweet\n1,"say "hi" now"\n2,b\n')
    with pytest.raises(InputError, match=r"row 1 \(line 2\): a quotation mark inside a quoted field must be doubled"):
        texts(path)
    assert texts(path, bad_rows="skip") == ["b"]


def test_fields_too_many_or_too_few_are_named(tmp_path):
    path = write(tmp_path, "a.csv", "id,tweet\n1,oh, no\n2\n3,c\n")
    with pytest.raises(InputError, match=r"row 1 \(line 2\): 3 fields, but the header has 2"):
        texts(path)
    skipped = []
    assert texts(path, bad_rows="skip", on_skip=skipped.append) == ["c"]
    assert "1 field," in skipped[1]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", "id,tweet\n1,a\n2,\n3,c\n", "'tweet' is empty"),
        ("a.csv", "id,tweet\n1,a\n2,   \n3,c\n", "'tweet' is empty"),
        ("a.jsonl", '{"tweet": "a"}\n{"id": 2}\n{"tweet": "c"}\n', "'tweet' is missing"),
        ("a.jsonl", '{"tweet": "a"}\n{"tweet": null}\n{"tweet": "c"}\n', "'tweet' is missing"),
        ("a.jsonl", '{"tweet": "a"}\n{"tweet": NaN}\n{"tweet": "c"}\n', "'tweet' is nan"),
    ],
)
def test_missing_texts_follow_the_policy(tmp_path, name, data, reason):
    path = write(tmp_path, name, data)
    with pytest.raises(InputError, match=rf"row 2 \(line \d\): {reason}"):
        texts(path)
    assert texts(path, bad_rows="skip") == ["a", "c"]
    assert [text.strip() for text in texts(path, bad_rows="keep")] == ["a", "", "c"]


def test_nan_is_a_text_but_no_label(tmp_path):
    path = write(tmp_path, "a.csv", "label,tweet\n1,nan\nnan,naan bread\n")
    rows = Table(source=path, bad_rows="skip").rows(["tweet", "label"], labels=["label"])
    assert [row.values["tweet"] for row in rows] == ["nan"]


def test_keeping_does_not_hide_broken_rows(tmp_path):
    path = write(tmp_path, "a.csv", "id,tweet\n1,a,b\n")
    with pytest.raises(InputError, match="3 fields") as caught:
        texts(path, bad_rows="keep")
    assert "'keep'" not in str(caught.value)


def test_broken_json_is_named(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"tweet": "a"}\n{"tweet": \n[1]\n{"tweet": "d"}\n')
    with pytest.raises(InputError, match=r"row 2 \(line 2\): not JSON"):
        texts(path)
    assert texts(path, bad_rows="skip") == ["a", "d"]


def test_values_that_are_no_strings_become_text(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"tweet": 3}\n{"tweet": true}\n{"tweet": "\\"q\\""}\n')
    assert texts(path) == ["3", "true", '"q"']


def test_a_wrong_delimiter_is_guessed_in_the_message(tmp_path):
    path = write(tmp_path, "a.csv", "id;tweet\n1;a\n")
    with pytest.raises(InputError, match=r"If ';' separates the fields, say so \(--delimiter"):
        texts(path)
    assert texts(path, delimiter=";") == ["a"]


def test_a_column_that_stands_twice_is_refused_only_when_asked_for(tmp_path):
    path = write(tmp_path, "a.csv", "id,tweet,id\n1,a,2\n")
    assert texts(path) == ["a"]
    with pytest.raises(InputError, match="two columns are called 'id'"):
        texts(path, "id")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_empty_files_are_told(tmp_path, name):
    with pytest.raises(InputError, match="the file is empty"):
        texts(write(tmp_path, name, ""))


def test_files_that_can_not_be_opened(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        texts(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        texts(tmp_path / "folder.csv")


def test_damaged_archives_are_told(tmp_path):
    import zstandard

    whole = "tweet\n" + "".join(f"text {i * 7919}\n" for i in range(5000))
    for name, data in (
        ("a.csv.gz", gzip.compress(whole.encode())[:-100]),
        ("b.csv.gz", b"no gzip"),
        ("a.csv.zst", zstandard.ZstdCompressor().compress(whole.encode())[:-100]),
        ("b.csv.zst", b"no zstandard"),
    ):
        with pytest.raises(InputError, match="is it damaged"):
            texts(write(tmp_path, name, data))


def test_damaged_parquet_is_told(tmp_path):
    with pytest.raises(InputError, match="not a readable Parquet file"):
        texts(write(tmp_path, "a.parquet", b"PAR1 and no more"))


def test_a_name_without_suffix_needs_a_format(tmp_path):
    path = write(tmp_path, "tweets.dat", "tweet\na\n")
    with pytest.raises(InputError, match=r"no known suffix.*csv, tsv, jsonl, parquet, txt"):
        texts(path)
    assert texts(path, format="csv") == ["a"]


@pytest.mark.parametrize("options", [{"bad_rows": "guess"}, {"format": "xls"}, {"delimiter": ";;"}])
def test_options_that_are_none(options):
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        Table(source="a.csv", **options)


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("id,tweet\n")
        file.writelines(f'{i},"some text, number {i}"\n' for i in range(60_000))
    tracemalloc.start()
    n = sum(1 for _ in Table(source=path).rows(["tweet"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 60_000
    assert peak < 1_000_000


characters = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")


@given(st.lists(st.tuples(st.text(characters), st.text(characters)), min_size=1))
def test_whatever_csv_writes_is_read_back(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b"), *pairs])
    rows = Table(source=path, bad_rows="keep").rows(["a", "b"])
    assert [(row.values["a"], row.values["b"]) for row in rows] == pairs


def test_lines_before_the_header_of_a_spreadsheet(tmp_path):
    assert texts(write(tmp_path, "a.csv", "\n\ntweet,label\na,1\n")) == ["a"]
    for delimiter in (None, ";"):
        assert texts(write(tmp_path, "a.csv", "sep=;\ntweet;label\na;1\n"), delimiter=delimiter) == ["a"]
    assert [row.line for row in Table(source=tmp_path / "a.csv").rows()] == [3]


def test_tables_without_a_header(tmp_path):
    path = write(tmp_path, "a.csv", "1,so happy\n2,sad\n")
    table = Table(source=path, header=False)
    assert table.columns() == ["1", "2"]
    assert [(row.number, row.line, row.values["2"]) for row in table.rows(["2"])] == [(1, 1, "so happy"), (2, 2, "sad")]
    lone = Table(source=write(tmp_path, "b.csv", '"one, text"\nanother\n'), header=False)
    assert [row.values["text"] for row in lone.rows(["text"])] == ["one, text", "another"]


def test_records_that_lack_a_key(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"id": 1}\n{"id": 2, "tweet": "hello"}\n')
    with pytest.raises(InputError, match="no column 'tweet'"):
        texts(path)
    assert texts(path, bad_rows="skip") == ["hello"]
    assert texts(path, bad_rows="keep") == ["", "hello"]
    for policy in ("stop", "skip", "keep"):
        with pytest.raises(InputError, match=r"no column 'twet'; .*Did you mean 'tweet'"):
            list(Table(source=write(tmp_path, "b.jsonl", '{"tweet": "a"}\n'), bad_rows=policy).rows(["twet"]))


@pytest.mark.parametrize("value", [["so", "happy"], {"a": 1}, b"so happy"])
def test_values_that_hold_no_text_are_refused(tmp_path, value):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"tweet": [value]}), path)
    with pytest.raises(InputError, match=r"'tweet' is (binary|a list|a dict)"):
        texts(path)
    assert texts(path, bad_rows="skip") == []


def test_quoted_cells_in_a_tsv_are_explained(tmp_path):
    path = write(tmp_path, "a.tsv", 'tweet\tlabel\n"one line\nand ""another"""\t1\n')
    with pytest.raises(InputError, match=r"--input-format csv --delimiter '\\t'"):
        texts(path)
    assert texts(path, format="csv", delimiter="\t") == ['one line\nand "another"']
