"""Run the code of the documentation; compare its output with the pages, or write it into them.

    python dev/run_docs.py [PAGE...]           # compare; exit code 1 and a diff if a page is out of date
    python dev/run_docs.py --write [PAGE...]   # rewrite the output blocks

Each page runs in a process of its own, from top to bottom, in an empty folder with `examples/`. Blocks of `python`
share one namespace; in `console` and `bash` blocks, lines that begin with `elmokit` run. A `text` block directly below
is what they print. Durations, sizes and paths may differ from machine to machine and are not compared; numbers with a
decimal point may differ in their last digit. Comments before a block change this:

    <!-- not run: REASON -->        the block does not run
    <!-- output: N lines -->        only the first N lines are shown
    <!-- output: none -->           nothing is shown

Notebooks (`examples/notebooks`) run in a kernel of their own and are stored with their outputs.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("examples/notebooks/*.ipynb"))
PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/*.md")])
GENERATED = {"commands.md", "checkpoints.md"}  # by dev/make_docs.py: one-line examples without their files
BLOCK = re.compile(
    r"(?P<marks>(?:<!-- (?:not run|output): [^\n]+ -->\n)*)"
    r"(?P<code>```(?P<kind>python|console|bash)\n(?P<text>.*?)```\n)"
    r"(?P<shown>\n```text\n.*?```\n)?",
    re.DOTALL,
)
VARIES = [
    (re.compile(r"\b\d[\d.,]*(?= ?(?:µs|ms|s|min|minutes|seconds|MB|GB|MiB|GiB|words/s|texts/s)\b)"), "N"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"[─━┃│┏┳┓┡╇┩├┼┤└┴┘╭╮╰╯┈ ]+"), " "),
]
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?![\w.])")


def find_blocks(page: Path, *kinds: str) -> list[str]:
    """The code blocks of a page that run, of these kinds."""
    text = page.read_text(encoding="utf-8")
    return [m["text"] for m in BLOCK.finditer(text) if m["kind"] in kinds and "<!-- not run" not in m["marks"]]


def find_commands(text: str) -> list[list[str]]:
    """The `elmokit` commands of a block; of a chained line, the last command."""
    lines = text.replace("\\\n", " ").splitlines()
    parts = [line.split("&&")[-1].strip().removeprefix(".venv/bin/") for line in lines]
    return [shlex.split(part)[1:] for part in parts if part.startswith("elmokit ")]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Standard(io.TextIOBase):
    """Standard error: what is written to it appears on the terminal; no progress bars."""

    def __init__(self, terminal: _Terminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(text)


def run_block(kind: str, text: str, name: str, namespace: dict[str, object]) -> str:
    """Run one block and return what it prints."""
    terminal = _Terminal()
    with contextlib.redirect_stdout(terminal), contextlib.redirect_stderr(_Standard(terminal)):
        if kind == "python":
            exec(compile(text, name, "exec"), namespace)
            return terminal.getvalue()
        for arguments in find_commands(text):
            try:
                importlib.import_module("elmokit.cli").main(arguments)
            except SystemExit as ended:
                if ended.code:
                    raise RuntimeError(f"elmokit {shlex.join(arguments)}\n{terminal.getvalue()}") from None
    return terminal.getvalue()


def run_page(page: Path) -> str:
    """Run a page in the current folder and return its text with the output of this run."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    with setup(page.name) as replacements:

        def replace(match: re.Match[str]) -> str:
            if "<!-- not run" in match["marks"]:
                return match[0]
            text = match["text"]
            for old, new in replacements.items():
                text = text.replace(old, new)
            printed = run_block(match["kind"], text, page.name, namespace)
            for old, new in replacements.items():
                printed = printed.replace(new, old)
            printed = shorten(printed, match["marks"])
            output = f"\n```text\n{printed}\n```\n" if printed else ""
            old = match["shown"] or ""
            return match["marks"] + match["code"] + (old if same(old, output) else output)

        return BLOCK.sub(replace, page.read_text(encoding="utf-8"))


def run_notebook(path: Path) -> str:
    """Execute a notebook in its folder in the copy of `examples/`, and return it with the outputs of this run."""
    nbclient, nbformat = importlib.import_module("nbclient"), importlib.import_module("nbformat")
    old = nbformat.read(path, as_version=4)
    new = nbformat.read(path, as_version=4)
    options = {"resources": {"metadata": {"path": "examples/notebooks"}}, "timeout": 300, "kernel_name": "python3"}
    nbclient.NotebookClient(new, coalesce_streams=True, **options).execute()  # a slow kernel sends a line in parts
    new.metadata = old.metadata  # without the version of Python
    for cell in new.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    pairs = zip(old.cells, new.cells, strict=True)
    if all(same(shown(a), shown(b)) and count_pictures(a) == count_pictures(b) for a, b in pairs):
        return path.read_text(encoding="utf-8")
    return nbformat.writes(new) + "\n"


def shown(cell: Mapping[str, Any]) -> str:
    """The text that a notebook's cell shows below its code."""
    return "\n".join(out.get("text") or out["data"].get("text/plain", "") for out in cell.get("outputs", ()))


def count_pictures(cell: Mapping[str, Any]) -> int:
    """The number of pictures that a notebook's cell shows."""
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


def shorten(printed: str, marks: str) -> str:
    """Remove trailing blanks and empty lines at both ends, and the lines that the page leaves out."""
    lines = [line.rstrip() for line in printed.splitlines()]
    text = "\n".join(lines).strip("\n")
    if "<!-- output: none" in marks:
        return ""
    wanted = re.search(r"<!-- output: (\d+) lines", marks)
    lines = text.split("\n")
    if wanted and len(lines) > int(wanted[1]):
        return "\n".join([*lines[: int(wanted[1])], "…"])
    return text


def mask_seconds(text: str) -> str:
    """Remove the last column of tables if it is called "seconds"."""
    table = re.compile(r"^(.* seconds\n─+\n)((?:.+\n?)*)", re.MULTILINE)
    return table.sub(lambda match: match[1] + re.sub(r"[\d.,]+$", "N", match[2], flags=re.MULTILINE), text)


def same(old: str, new: str) -> bool:
    """Whether two outputs are equal but for what varies from machine to machine."""
    texts = [mask_seconds(old), mask_seconds(new)]
    for pattern, name in VARIES:
        texts = [pattern.sub(name, text) for text in texts]
    numbers = [NUMBER.findall(text) for text in texts]
    first, second = (NUMBER.sub("N", text) for text in texts)
    return first == second and all(map(close, *numbers))


def close(a: str, b: str) -> bool:
    """Whether two numbers are equal but for rounding."""
    decimals = min(len(a.partition(".")[2]), len(b.partition(".")[2]))
    return abs(float(a) - float(b)) <= max(1.5 * 10.0**-decimals, 2e-3 * abs(float(a)))


@contextlib.contextmanager
def setup(name: str) -> Iterator[dict[str, str]]:
    """Prepare what a page takes for granted; yields texts of the page and what stands for them in this run."""
    if name == "server.md":
        with serve() as address:
            yield {"http://127.0.0.1:8000": address}
    elif name.startswith(("coming-from", "from-")):
        make_old_checkpoints()
        yield {}
    else:
        yield {}


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Serve the embedded model on a free port."""
    sys.path.insert(0, str(ROOT / "tests"))
    from elmokit import Elmo
    from local_server import running

    with running(Elmo.load()) as (address, _, _):
        yield address


def make_old_checkpoints() -> None:
    """Small checkpoints of other tools, under the names that the pages for users of other tools open."""
    sys.path.insert(0, str(ROOT / "tests"))
    from golden import make_tiny, make_torch
    from golden.formats import SAMPLES

    make_tiny.make("skip", Path("elmo"))
    make_torch.make_manylangs(Path("zhs.model"))
    SAMPLES["tfhub"].make(Path("hub-module"))


def run_here(page: Path, *, write: bool) -> int:
    """Run one page in a temporary folder of this process."""
    with tempfile.TemporaryDirectory() as folder:
        if "\nelmokit examples" not in page.read_text(encoding="utf-8"):
            shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        os.chdir(folder)
        new = run_notebook(page) if page.suffix == ".ipynb" else run_page(page)
        os.chdir(ROOT)
    old = page.read_text(encoding="utf-8")
    if new == old:
        return 0
    if write:
        page.write_text(new, encoding="utf-8")
        return 0
    name = page.relative_to(ROOT).as_posix()
    diff = difflib.unified_diff(old.splitlines(), new.splitlines(), name, "this run", lineterm="", n=1)
    print("\n".join(diff), f"\nrun: python dev/run_docs.py --write {name}")
    return 1


def main(arguments: list[str]) -> int:
    """Run pages, each in a process of its own."""
    write = "--write" in arguments
    named = [Path(name).resolve() for name in arguments if name not in ("--write", "--here")]
    pages = named or [page for page in PAGES + NOTEBOOKS if page.name not in GENERATED]
    if "--here" in arguments:
        return run_here(pages[0], write=write)
    environment = os.environ | {"TERM": "dumb", "ELMOKIT_OFFLINE": "1", "MPLBACKEND": "agg"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    options = ["--here", *(["--write"] if write else [])]
    codes = [
        subprocess.run([sys.executable, __file__, *options, page], env=environment, check=False).returncode
        for page in pages
        if page.suffix == ".ipynb" or BLOCK.search(page.read_text(encoding="utf-8"))
    ]
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
