"""What we promise to the outside: the names, their documentation, and examples that run."""

import ast
import doctest
import importlib
import inspect
import warnings
from pathlib import Path

import pytest

import elmokit

PACKAGE = Path(elmokit.__file__).parent
MODULES = sorted(
    ".".join(("elmokit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py" and PACKAGE / "examples" not in path.parents
)
NAMES = """
BiLSTMConfig CharCNNConfig Checkpoint Elmo ElmoConfig ElmoKitError ElmoVectorizer Encoding Features LanguageModel
LayerMix MultiLabelClassifier SentencePairs State Tagger TextClassifier WordIndex WordVectors __version__
"""
PUBLIC = NAMES.split()


def test_exports_are_exactly_these_and_sorted():
    assert elmokit.__all__ == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(elmokit))
    for name in PUBLIC:
        assert getattr(elmokit, name).__doc__


def test_the_type_checker_sees_the_same_names_from_the_same_places():
    tree = ast.parse(Path(elmokit.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == elmokit._HOMES
    assert {*seen, "__version__"} == set(PUBLIC)


def test_other_names_are_refused_with_those_that_exist():
    with pytest.raises(AttributeError, match=r"'Emlo'.*Elmo"):
        elmokit.Emlo  # noqa: B018


def documented():
    """(name, function) of the public functions and methods of exported classes."""
    for name in PUBLIC:
        thing = getattr(elmokit, name)
        if not inspect.isclass(thing):
            continue
        for method, value in vars(thing).items():
            function = getattr(value, "__func__", value)
            if not method.startswith("_") and inspect.isfunction(function):
                yield pytest.param(function, id=f"{name}.{method}")


def _argument_names(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("function", list(documented()))
def test_exported_methods_document_every_argument_and_what_comes_back(function):
    text = inspect.getdoc(function) or ""
    names = _argument_names(function)
    assert text.split("\n")[0].endswith((".", ":")), "the first line says what it does"
    if not names:
        return
    section = text.split("Args:")[-1]
    for name in names if len(names) > 1 or "Args:" in text else []:
        in_prose = "Args:" not in text and f"`{name}`" in text
        assert in_prose or f"{name}:" in section or f"{name}," in section, f"{name} is not explained"
    if inspect.signature(function).return_annotation not in ("None", None) and "Args:" in text:
        assert "Returns:" in text or "Yields:" in text


@pytest.mark.parametrize("name", [name for name in PUBLIC if name[0].isupper()])
def test_exported_classes_explain_their_arguments(name):
    thing = getattr(elmokit, name)
    if issubclass(thing, Exception) or name == "WordIndex":  # which nobody constructs: it has create and open
        return
    text = inspect.getdoc(thing)
    for argument in _argument_names(thing.__init__):
        assert f"{argument}:" in text or f"{argument}," in text, f"{name}({argument}=…) is not explained"


@pytest.mark.parametrize(
    "path",
    sorted(p for p in PACKAGE.rglob("*.py") if PACKAGE / "examples" not in p.parents),
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_public_functions_and_classes_have_docstrings(path):
    def check(body, where):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                overload = any(ast.unparse(d).endswith("overload") for d in node.decorator_list)
                assert overload or ast.get_docstring(node), f"{where}.{node.name} has no docstring"
                if isinstance(node, ast.ClassDef):
                    check(node.body, f"{where}.{node.name}")

    check(ast.parse(path.read_text(encoding="utf-8")).body, path.stem)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ImportError as error:
        if isinstance(error, elmokit.ElmoKitError) or error.name == "torch":
            pytest.skip(str(error))
        raise
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = ("config", "elmo", "encoding", "features", "text.tokens", "runtime.batches", "runtime.pooling")
    found = [
        test for name in names for test in finder.find(importlib.import_module(f"elmokit.{name}")) if test.examples
    ]
    assert len(found) >= 12
