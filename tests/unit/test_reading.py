"""Damaged files: one of our errors with the file's name, within a bound of memory."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.errors import CheckpointError, ElmoKitError, InputError, MissingExtra, MissingFile
from elmokit.reading import printable, read_bytes, read_json, reading

RAW = [KeyError("x"), RecursionError(), OverflowError("big"), IndexError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]


@pytest.mark.parametrize("problem", [*RAW, RuntimeError("a\nb"), OSError("disk"), MemoryError(), AttributeError()])
@pytest.mark.parametrize("error", [CheckpointError, InputError])
def test_raw_errors_become_ours_with_the_name_of_the_file(problem, error):
    with pytest.raises(error, match=r"^model\.bin: ") as caught, reading("model.bin", error=error):
        raise problem
    assert "\n" not in str(caught.value)


def test_rust_panics_become_ours():
    class PanicException(BaseException):  # as pyo3 names it
        pass

    with pytest.raises(CheckpointError, match="index out of bounds"), reading("x"):
        raise PanicException("index out of bounds")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ImportError])
def test_interrupts_and_imports_pass(kind):
    with pytest.raises(kind), reading("x"):
        raise kind


def test_our_own_errors_pass_unchanged():
    mine = MissingExtra("torch", "torch", "reading")
    with pytest.raises(MissingExtra) as caught, reading("x"):
        raise mine
    assert caught.value is mine


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFile, match=r"inner\.bin"), reading("outer"):
        (tmp_path / "inner.bin").read_bytes()


def test_bytes_are_bounded_after_inflating(tmp_path):
    path = tmp_path / "words.txt.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    assert len(read_bytes(path, max_bytes=1 << 20)) == 1 << 20
    with pytest.raises(CheckpointError, match=r"words.txt.gz: more than 1,000 bytes"):
        read_bytes(path, max_bytes=1000)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"words.txt.gz: .*cut off"):
        read_bytes(path, max_bytes=1 << 20)


@pytest.mark.parametrize(
    "data",
    [
        b"[1]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"1" * 5000,
    ],
)
def test_json_that_is_none(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.json: not a readable head"):
        read_json(tmp_path / "a.json", error=InputError, what="head")


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes('\ufeff{"a": "ñ"}'.encode())
    assert read_json(tmp_path / "a.json") == {"a": "ñ"}
    with pytest.raises(CheckpointError, match="more than 4 bytes"):
        read_json(tmp_path / "a.json", max_bytes=4)


@given(st.text(st.characters()))
def test_printable_text_can_be_printed(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert text.isprintable() == (shown == text)


@given(data=st.binary(max_size=60))
def test_noise_gives_an_object_or_our_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("noise") / "a.json"
    path.write_bytes(data)
    try:
        values = read_json(path)
    except ElmoKitError as error:
        values = {"refused": str(error)}
    assert isinstance(values, dict)
    assert str(path) in values.get("refused", str(path))
