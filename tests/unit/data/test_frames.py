"""Every kind of table gives the same rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.data.frames import read_rows
from elmokit.data.tables import Table
from elmokit.errors import ConfigError, InputError

LONG = "label " * 40
TEXTS = ["so happy", "so happy", "שלום עולם", "مرحبا", "it's\nbroken", LONG]
LABELS = [1, 1, 0, 0, 1, 0]
COLUMNS = {"what people said": TEXTS, "how": LABELS, "not asked for": [None] * 6}


class StreamingDataSet:
    """As `datasets.IterableDataset`: knows its columns, gives records, once through at a time."""

    def __init__(self):
        self.column_names = list(COLUMNS)
        self.features = dict.fromkeys(COLUMNS)

    def __iter__(self):
        return (dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True))


def pandas_frame():
    frame = pytest.importorskip("pandas").DataFrame(COLUMNS)
    frame.index = [5, 5, 3, 2, 1, 0]
    return frame


def arrow_table():
    return pytest.importorskip("pyarrow").table(COLUMNS)


MAKERS = {
    "records": lambda: list(StreamingDataSet()),
    "generator": lambda: iter(StreamingDataSet()),
    "data set": StreamingDataSet,
    "pandas": pandas_frame,
    "polars": lambda: pytest.importorskip("polars").DataFrame(COLUMNS),
    "pyarrow": arrow_table,
    "datasets": lambda: pytest.importorskip("datasets").Dataset.from_dict(COLUMNS),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_kind_of_table_gives_the_same_rows(make):
    rows = list(read_rows(make(), ["what people said", "how"]))
    assert [row.values["what people said"] for row in rows] == TEXTS
    assert [row.values["how"] for row in rows] == list(map(str, LABELS))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("make", [make for name, make in MAKERS.items() if name != "generator"])
def test_columns_are_checked(make):
    with pytest.raises(InputError, match=r"no column 'hew'; the columns are .*Did you mean 'how'\?"):
        list(read_rows(make(), ["hew"]))


def test_files_give_the_rows_of_their_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,x\n2,\n")
    for source in (path, str(path), Table(source=path, bad_rows="keep")):
        rows = [dict(row.values) for row in read_rows(source, ["b", "a"], bad_rows="keep")]
        assert rows == [{"b": "x", "a": "1"}, {"b": "", "a": "2"}]


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float64("nan"), "", " \n"])
def test_missing_values_stop_or_are_skipped_or_kept(nothing):
    table = [{"text": "a"}, {"text": nothing}, {"text": "c"}]
    with pytest.raises(InputError, match=r"row 2: 'text' is (missing|nan|empty)"):
        list(read_rows(table, ["text"]))
    assert [(row.number, row.values["text"]) for row in read_rows(table, ["text"], bad_rows="skip")] == [
        (1, "a"),
        (3, "c"),
    ]
    kept = [row.values["text"].strip() for row in read_rows(table, ["text"], bad_rows="keep")]
    assert kept == ["a", "", "c"]


def test_what_pandas_calls_missing_is_missing():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": pandas.array(["a", pandas.NA], dtype="string"), "day": [pandas.NaT, pandas.NaT]})
    assert [row.values["text"] for row in read_rows(table, ["text"], bad_rows="skip")] == ["a"]
    assert list(read_rows(table, ["day"], bad_rows="skip")) == []


def test_labels_called_nan_are_missing():
    assert list(read_rows([{"label": "nan"}], ["label"], labels=["label"], bad_rows="skip")) == []
    assert len(list(read_rows([{"label": "nan"}], ["label"]))) == 1


def test_a_stream_is_not_read_further_than_asked():
    def endless():
        while True:
            yield {"text": "again"}

    rows = read_rows(endless(), ["text"])
    assert [next(rows).number for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("source", [b"bytes", 3, ["a", "b"], {"a": [1]}, None])
def test_what_is_no_table_is_refused(source):
    with pytest.raises(InputError, match="is no table"):
        list(read_rows(source, ["text"]))


def test_other_mistakes_are_named():
    with pytest.raises(ConfigError, match="bad_rows"):
        list(read_rows([{"a": 1}], ["a"], bad_rows="drop"))
    with pytest.raises(InputError, match="two columns"):
        list(read_rows(pytest.importorskip("pandas").DataFrame([[1, 2]], columns=["a", "a"]), ["a"]))


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=2100))
def test_skipped_and_kept_rows_are_all_rows(values):
    records = [{"x": value} for value in values]
    kept = [row.values["x"] for row in read_rows(records, ["x"], bad_rows="keep")]
    skipped = [row.values["x"] for row in read_rows(records, ["x"], bad_rows="skip")]
    assert len(kept) == len(values)
    assert skipped == [value for value in values if value and not value.isspace()]
