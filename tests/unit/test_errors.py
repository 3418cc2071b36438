"""The tree of errors: catchable as ours and as the builtin."""

import inspect
import subprocess
import sys

import pytest

from elmokit import ElmoKitError, errors

HIDE = """
import importlib, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
importlib.import_module(sys.argv[2])
"""
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


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("compat.allennlp", "torch", "torch"),
        ("compat.bilm", "torch", "torch"),
        ("integrations.flair", "flair", "flair"),
        ("integrations.langchain", "langchain_core", "langchain"),
        ("integrations.spacy", "spacy", "spacy"),
        ("integrations.torch", "torch", "torch"),
        ("nn", "torch", "torch"),
        ("server.app", "fastapi", "server"),
        ("tasks.classify.finetune_head", "torch", "torch"),
        ("training", "torch", "torch"),
    ],
)
def test_modules_for_an_extra_name_it_where_their_library_is_missing(module, library, extra):
    done = subprocess.run(
        [sys.executable, "-c", HIDE, library, f"elmokit.{module}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "\nelmokit.errors.MissingExtra: " in done.stderr
    assert done.stderr.rstrip().endswith(f"pip install 'elmokit[{extra}]'")
