"""The plan of the house, enforced: imports run one way, optional packages stay in their files, importing is free."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import elmokit

try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(elmokit.__file__).parent

ROWS = (
    (
        "blocks",
        "config",
        "encoding",
        "errors",
        "files",
        "features",
        "hdf5",
        "perplexity",
        "progress",
        "plots",
        "reading",
    ),
    ("text",),
    ("nn", "checkpoints", "data", "fitting"),
    ("runtime",),
    ("model",),
    ("elmo",),
    ("tasks", "index", "training"),
    ("compat", "integrations", "server"),
    ("cli",),
    ("__main__", "__init__"),
)
ROW = {room: number for number, row in enumerate(ROWS) for room in row}
SIDEWAYS_ALLOWED = {0}  # the ground floor is one room with several doors; it may have no cycles either

TORCH = """
nn. training. fitting. runtime.backends.torch checkpoints.torch_file compat.allennlp compat.allennlp_embedder
compat.bilm integrations.flair integrations.torch tasks.classify.finetune_head tasks.classify.torch_head
tasks.tagging.network tasks.tagging.tagger tasks.torch_parts
"""
SKLEARN = "tasks.classify. tasks.cluster tasks.maps tasks.pairs.classifier tasks.vectorizer index.senses plots"
TORCH_FILES, SKLEARN_FILES = tuple(TORCH.split()), tuple(SKLEARN.split())
PLAIN = {  # in every installation: the files that may import it, and whether at the top
    "numpy": (("",), True),
    "regex": (("text.tokens", "text.sentences"), True),
    "typer": (("cli.",), True),
    "rich": (("cli.",), False),
    "tqdm": (("progress", "cli.screen"), False),
    "requests": (("checkpoints.fetching",), False),
    "urllib3": (("checkpoints.fetching",), False),
    "narwhals": (("data.frames",), False),
    "h5py": (("hdf5", "cli.info"), False),
    "safetensors": (("checkpoints.native", "tasks.", "fitting."), False),
    "threadpoolctl": (("runtime.engine",), False),
}
OPTIONAL = {  # behind an extra
    "pandas": (("features",), False),
    "fastapi": (("server.",), False),
    "prometheus_client": (("server.metrics",), False),
    "pydantic": (("server.",), False),
    "starlette": (("server.",), False),
    "h11": (("server.connections",), False),
    "uvicorn": (("server.",), False),
    "lancedb": (("index.store",), False),
    "pyarrow": (("data.parquet", "index.store"), False),
    "zstandard": (("data.streams",), False),
    "simplemma": (("text.cleaning",), False),
    "matplotlib": (("plots", "tasks.classify.html_report"), False),
    "huggingface_hub": (("checkpoints.fetching",), False),
    "onnx": (("integrations.onnx",), False),
    "gensim": (("integrations.gensim",), False),
    "spacy": (("integrations.spacy",), False),
    "langchain_core": (("integrations.langchain",), False),
    "datasets": (("integrations.datasets",), False),
    "flair": (("integrations.flair",), False),
    "mteb": (("integrations.mteb",), False),
    "scipy": (("tasks.pairs.scorer",), False),
    "sklearn": (SKLEARN_FILES, False),
    "bm25s": (("tasks.answer",), False),
    "sentence_transformers": (("training.teacher",), False),
    "umap": (("tasks.maps",), False),
    "ray": (("integrations.ray",), False),
    "pyspark": (("integrations.spark",), False),
    "torch": ((*TORCH_FILES, "integrations.sentence_transformers", "runtime.backends"), False),
}
IMPORTED_AS = {"scikit_learn": "sklearn", "umap_learn": "umap"}
SERVER_FILES = tuple(
    f"server.{name}"
    for name in ("api", "app", "errors", "explorer", "middleware", "run", "schemas", "service", "settings")
)
TOP_ALLOWED_IN = {  # files that are of no use without the package
    "fastapi": SERVER_FILES,
    "prometheus_client": ("server.metrics",),
    "pydantic": SERVER_FILES,
    "starlette": SERVER_FILES,
    "h11": ("server.connections",),
    "uvicorn": ("server.connections", "server.run"),
    "torch": TORCH_FILES,
    "safetensors": ("fitting.",),
    "sklearn": ("tasks.classify.", "tasks.cluster", "tasks.pairs.classifier", "tasks.vectorizer"),
    "spacy": ("integrations.spacy",),
    "langchain_core": ("integrations.langchain",),
    "flair": ("integrations.flair",),
}

LIGHT = ("Checkpoint", "Elmo", "ElmoConfig", "Encoding", "Features", "LayerMix", "State", "WordVectors")
"""Exported names that a plain installation has; the others need an extra."""

FORBIDDEN_NAMES = {"utils", "util", "common", "base", "helpers", "helper", "misc", "core", "tools"}


@dataclass(frozen=True)
class Import:
    """An import statement: who, what, where, whether inside a function, whether for the type checker only."""

    module: str
    target: str
    line: int
    inside: bool
    typing_only: bool


def modules():
    """Names of the package's modules, without "elmokit.", and their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if PACKAGE / "examples" in path.parents:  # sample files for users, in a wheel
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(module, path):
    """All imports of a file, `from package import module` resolved to the module."""

    def walk(node, inside, typing_only):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, child.lineno, inside, typing_only)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import; write the whole name"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    known = whole.removeprefix("elmokit.") in modules()
                    yield Import(module, whole if known else child.module, child.lineno, inside, typing_only)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                checker = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
                yield from walk(child, inside or function, typing_only or checker)

    yield from walk(tree_of(path), False, False)


@cache
def all_imports():
    return [found for module, path in modules().items() for found in imports_of(module, path)]


def room_of(name):
    return name.removeprefix("elmokit.").split(".")[0]


def fits(module, prefixes):
    return any(module == p or ((p == "" or p.endswith(".")) and f"{module}.".startswith(p)) for p in prefixes)


def test_every_room_has_its_row():
    assert {room_of(module) for module in modules()} <= set(ROW)


def test_imports_come_from_rows_above_only():
    wrong = []
    for found in all_imports():
        if not found.target.startswith("elmokit.") or found.typing_only:
            continue
        room, other = room_of(found.module), room_of(found.target)
        sideways = ROW[room] in SIDEWAYS_ALLOWED and ROW[room] == ROW[other]
        if room != other and not sideways and ROW[other] >= ROW[room]:
            wrong.append(f"{found.module}:{found.line} (row {ROW[room]}) imports {found.target} (row {ROW[other]})")
    assert not wrong, wrong


def test_no_module_imports_itself_through_others():
    edges = {module: set() for module in modules()}
    for found in all_imports():
        target = found.target.removeprefix("elmokit.")
        if found.target.startswith("elmokit.") and not found.typing_only and target != found.module:
            edges[found.module].add(target)
    done, path = set(), []

    def visit(module):
        assert module not in path, f"a circle of imports: {' → '.join([*path[path.index(module) :], module])}"
        if module not in done:
            path.append(module)
            for target in sorted(edges.get(module, ())):
                visit(target)
            done.add(path.pop())

    for module in edges:
        visit(module)


def test_third_party_packages_are_imported_in_their_files_only():
    allowed = PLAIN | OPTIONAL
    wrong = []
    for found in all_imports():
        package = found.target.split(".")[0]
        if package == "elmokit" or package in sys.stdlib_module_names or found.typing_only:
            continue
        where = f"{found.module}:{found.line} imports {package}"
        if package not in allowed:
            wrong.append(f"{where}, which no row knows")
            continue
        files, at_top = allowed[package]
        if not fits(found.module, files):
            wrong.append(f"{where}, whose files are {files}")
        elif not (at_top or found.inside or fits(found.module, TOP_ALLOWED_IN.get(package, ()))):
            wrong.append(f"{where} at the top; import it inside the function")
        elif room_of(found.module) == "cli" and package != "typer" and not found.inside:
            wrong.append(f"{where} at the top; commands start fast")
    assert not wrong, wrong


def test_what_is_imported_is_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements):
        found = {re.split(r"[<>=!~\[; ]", requirement)[0].replace("-", "_") for requirement in requirements}
        return {IMPORTED_AS.get(name, name) for name in found}

    assert names(project["dependencies"]) == set(PLAIN)
    extras = {extra: names(needs) for extra, needs in project["optional-dependencies"].items() if extra != "test"}
    assert set().union(*extras.values()) >= set(OPTIONAL)


def test_missing_extras_are_extras():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = set()
    for path in modules().values():
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("MissingExtra", "needing")
                and len(node.args) > 1
            ):
                named |= {node.args[1].value} if isinstance(node.args[1], ast.Constant) else set()
    assert len(named) > 5, "few files raise MissingExtra any more: is this test still looking in the right place?"
    assert named <= extras


@pytest.mark.parametrize("module", modules())
def test_every_module_says_why_it_exists(module):
    path = modules()[module]
    text = ast.get_docstring(tree_of(path)) or ""
    assert len(text) >= (30 if path.name in ("__init__.py", "__main__.py") else 50), text
    assert not {part.strip("_") for part in module.split(".")} & FORBIDDEN_NAMES


MAX_ALL, MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 22_000, 350, 60, 12
"""Lines of all files, of a file, of a function (signature in, docstring out), parameters without self."""

ENCODE_FILES = (  # what one text passes on its way through `Elmo.encode` in NumPy, in order
    "elmo",
    "encoding",
    "text.inputs",
    "text.tokens",
    "runtime.pooling",
    "runtime.engine",
    "runtime.batches",
    "runtime.token_encoder",
    "text.char_ids",
    "runtime.backends.numpy",
)
ENCODE_LINES = 1800


def functions():
    """Name and node of every function."""
    for module, path in modules().items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}.{node.name}", node


def n_lines(module):
    return len(modules()[module].read_text(encoding="utf-8").splitlines())


def test_the_package_stays_small():
    assert sum(map(n_lines, modules())) <= MAX_ALL


def test_files_stay_short():
    long = {module for module in modules() if n_lines(module) > MAX_FILE}
    assert not long, {module: n_lines(module) for module in long}


def test_functions_stay_short():
    long = {}
    for name, node in functions():
        first = node.body[0]
        docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
        if (lines := node.end_lineno - node.lineno + 1 - docstring) > MAX_FUNCTION:
            long[name] = lines
    assert not long, long


def test_signatures_stay_short():
    many = {}
    for name, node in functions():
        arguments = node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        n = len([a for a in names if a not in ("self", "cls")])
        if n > MAX_PARAMETERS:
            many[name] = n
    assert not many, many


def test_a_public_class_has_a_name_of_its_own():
    homes = {}
    for module, path in modules().items():
        for node in tree_of(path).body if room_of(module) != "compat" else ():  # compat keeps the foreign API's names
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert not twice, twice


def test_a_text_passes_few_files_and_lines():
    code = """
import sys
from pathlib import Path
import elmokit
elmo = elmokit.Elmo.load(n_threads=1)
files = set()
sys.setprofile(lambda frame, *_: files.add(frame.f_code.co_filename))
elmo.encode(["One text."], normalize=True)
sys.setprofile(None)
root = Path(elmokit.__file__).parent
inside = [Path(f).relative_to(root).with_suffix("") for f in files if Path(f).is_relative_to(root)]
print(" ".join(".".join(path.parts) for path in inside))
"""
    passed = set(python("import os; os.environ['ELMOKIT_NATIVE'] = '0'\n" + code).split())
    described = {"config", "progress", "runtime.kernels.__init__"}  # values that are looked up, and a bar
    assert passed - described == set(ENCODE_FILES)
    assert sum(map(n_lines, ENCODE_FILES)) <= ENCODE_LINES


def test_nothing_is_unpickled():
    for module, path in modules().items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not names & {"pickle", "cPickle", "dill", "marshal", "joblib", "shelve"}, module
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), module
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)


def python(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_brings_no_heavy_packages():
    heavy = "{'torch', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'matplotlib', 'rich', 'h5py', 'safetensors'}"
    first = python(f"import sys, elmokit; print(sorted(({heavy} | {{'numpy'}}) & set(sys.modules)))")
    assert first.strip() == "[]"
    all_names = f"[getattr(elmokit, name) for name in {LIGHT}]; import elmokit.cli.app; elmokit.cli.app.build()"
    second = python(f"import sys, elmokit; {all_names}; print(sorted({heavy} & set(sys.modules) - {{'rich'}}))")
    assert second.strip() == "[]"


def test_importing_changes_nothing():
    code = """
import logging, os, random, signal, sys, warnings
import numpy as np
def world():
    return (dict(os.environ), logging.root.handlers[:], logging.root.level, random.getstate(), warnings.filters[:],
            str(np.random.get_state()), np.get_printoptions(), np.geterr(), signal.getsignal(signal.SIGINT),
            sys.excepthook, os.getcwd(), sys.path[:])
before = world()
import elmokit, elmokit.cli.app, elmokit.tasks.saved, elmokit.data.tables
elmokit.cli.app.build()
[getattr(elmokit, name) for name in elmokit.__all__ if name in LIGHT]
after = world()
print([i for i, (a, b) in enumerate(zip(before, after)) if a != b])
"""
    assert python(code.replace("LIGHT", repr(LIGHT))).strip() == "[]"
