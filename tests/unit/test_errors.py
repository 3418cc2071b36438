"""The tree of errors: catchable as ours and as the builtin, drawn as it is."""

import inspect
import re

import pytest

from elmokit import ElmoKitError, errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ElmoKitError)]


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not ElmoKitError])
def test_every_error_is_ours_and_a_builtin_too(error):
    assert ElmoKitError in error.__mro__
    assert any(base.__module__ == "builtins" and base not in (Exception, BaseException) for base in error.__bases__)


def test_the_drawing_in_the_docstring_is_the_tree():
    drawn = {name: bases.split(", ") for name, bases in re.findall(r"── (\w+)\(([\w, ]+)\)", errors.__doc__)}
    real = {c.__name__: [b.__name__ for b in c.__bases__[1:]] for c in CLASSES if c is not ElmoKitError}
    assert drawn == real


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
