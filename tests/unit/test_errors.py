"""The tree of errors: catchable as ours and as the builtin."""

import inspect

import pytest

from elmokit import ElmoKitError, errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ElmoKitError)]


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not ElmoKitError])
def test_every_error_is_ours_and_a_builtin_too(error):
    assert ElmoKitError in error.__mro__
    assert any(base.__module__ == "builtins" and base not in (Exception, BaseException) for base in error.__bases__)


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not errors.MissingExtra])
def test_messages_come_out_as_they_went_in(error):
    message = "`a/b.npz`: expected 3 rows, found 2."
    assert str(error(message)) == message


def test_a_missing_extra_says_how_to_get_it():
    error = errors.MissingExtra("pyarrow", "parquet", "writing Parquet files")
    assert "pip install 'elmokit[parquet]'" in str(error)
    assert (error.package, error.extra) == ("pyarrow", "parquet")
    with pytest.raises(ImportError):
        raise error
