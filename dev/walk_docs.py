"""Follow the documentation as a reader does: from the wheel, without this repository, in an empty folder.

    python -m build --wheel && python dev/walk_docs.py dist/*.whl [PAGE...]

Each page gets the plain install and then the extras that it tells the reader to install, and nothing else: an
environment per set of extras, made by pip. Commands run in a shell as they are printed, Python in the interpreter of
that environment; the output is compared with the page as `dev/run_docs.py` does. The README, the home page and the
quickstart install from the source tree: they run in a copy of it, their installation included. `--keep FOLDER` keeps
the environments for the next call.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from run_docs import BLOCK, GENERATED, PAGES, ROOT, make_old_checkpoints, same, shorten

EXTRAS = re.compile(r"pip install\s+'elmokit\[([\w,]+)\]'")
PACKAGES = re.compile(r"`pip install ([a-z][\w-]*)`")  # of others, which a page names in its text
ELSEWHERE = {"flair", "mteb", "ray", "spark"}  # their blocks do not run: they have environments of their own
FROM_SOURCE = {"README.md", "index.md", "quickstart.md"}
INSTALLS = "<!-- not run: the tests have it installed -->"
WORKER = """
import contextlib, io, sys, traceback
class Terminal(io.StringIO):
    isatty = lambda self: True
source, answers, space = sys.stdin, sys.stdout, {"__name__": "__main__"}
for line in source:
    code, printed = "".join(source.readline() for _ in range(int(line))), Terminal()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(code, "page", "exec"), space)
        except BaseException:
            traceback.print_exc(file=printed)
    text = printed.getvalue()
    answers.write(f"{len(text)}\\n{text}")
    answers.flush()
"""


def run_shell(text: str, env: dict[str, str]) -> str:
    """What commands print on a terminal of 80 columns (their standard error, which is no terminal, included)."""
    activate = "[ ! -f .venv/bin/activate ] || source .venv/bin/activate\n"
    terminal, inside = pty.openpty()
    with subprocess.Popen(["bash", "-ec", activate + text], stdout=inside, stderr=subprocess.PIPE, env=env) as process:
        os.close(inside)
        assert process.stderr is not None
        open_files, printed = [terminal, process.stderr.fileno()], b""
        while open_files:
            for file in select.select(open_files, [], [])[0]:
                with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
                    part = os.read(file, 1 << 16)
                    printed += part
                    if part:
                        continue
                open_files.remove(file)
    os.close(terminal)
    failed = f"(exit code {process.returncode})" if process.returncode else ""
    return printed.decode("utf-8").replace("\r\n", "\n") + failed


class Interpreter:
    """Python of the page's environment, started when the first block needs it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env, self.process = env, None

    def run(self, code: str) -> str:
        """What a block prints."""
        if self.process is None:
            start = '[ ! -f .venv/bin/activate ] || source .venv/bin/activate\nexec python -c "$WORKER"'
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            env = self.env | {"WORKER": WORKER, "PYTHONIOENCODING": "utf-8"}
            self.process = subprocess.Popen(["bash", "-ec", start], text=True, encoding="utf-8", env=env, **pipes)
        self.process.stdin.write(f"{code.count(chr(10))}\n{code}")
        self.process.stdin.flush()
        size = self.process.stdout.readline()
        return self.process.stdout.read(int(size)) if size.strip() else "(the interpreter died)"

    def close(self) -> None:
        """End the interpreter."""
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def environment_of(page: Path, wheel: Path, kept: Path) -> dict[str, str]:
    """The variables of the environment that holds what a page tells the reader to install."""
    text = page.read_text(encoding="utf-8")
    extras = sorted({extra for names in EXTRAS.findall(text) for extra in names.split(",")} - ELSEWHERE)
    others = PACKAGES.findall(text)
    venv = kept / ("-".join([*extras, *others]) or "plain")
    base = {"PATH": f"{venv / 'bin'}:/usr/bin:/bin", "HOME": str(kept), "LANG": "C.UTF-8", "TERM": "dumb"}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    env = (
        base
        | pip
        | {"COLUMNS": "80", "ELMOKIT_OFFLINE": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PIP_QUIET": "3"}
    )
    if not venv.is_dir():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        for what in (str(wheel), *([f"elmokit[{','.join(extras)}]"] if extras else []), *others):
            install = [venv / "bin" / "python", "-m", "pip", "install", "-q", what]
            subprocess.run(install, check=True, cwd=kept, env=env, stderr=subprocess.DEVNULL)
    return env


@contextlib.contextmanager
def prepare(page: Path, env: dict[str, str]) -> Iterator[None]:
    """Prepare in the current folder what a page takes for granted: sample files, old checkpoints, a server."""
    with contextlib.ExitStack() as ends:
        if page.name in FROM_SOURCE:
            files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(
                b"\0"
            )
            for name in (os.fsdecode(file) for file in files if file):
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, name)
            env["PATH"] = f"{sys.base_prefix}/bin:/usr/bin:/bin"  # no elmokit but the one that the page installs
        elif "\nelmokit examples" not in page.read_text(encoding="utf-8"):
            subprocess.run(["elmokit", "examples"], check=True, env=env, stdout=subprocess.DEVNULL)
        if page.name.startswith(("coming-from", "from-")):
            make_old_checkpoints()
        if page.name == "server.md":
            server = ends.enter_context(subprocess.Popen(["elmokit", "serve"], stdout=subprocess.PIPE, env=env))
            ends.callback(server.terminate)
            server.stdout.readline()
        yield


def walk(page: Path, wheel: Path, kept: Path) -> int:
    """Run one page in the current folder; print what differs, and return the number of blocks that differ."""
    env, wrong = environment_of(page, wheel, kept), 0
    with prepare(page, env):
        python = Interpreter(env)
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            installs = INSTALLS in match["marks"] and page.name in FROM_SOURCE
            if ("<!-- not run" in match["marks"] and not installs) or "pytest" in match["text"]:
                continue
            run = python.run if match["kind"] == "python" else lambda text: run_shell(text, env)
            printed = shorten(run(match["text"]), match["marks"])
            wanted = (match["shown"] or "").removeprefix("\n```text\n").removesuffix("\n```\n")
            failed = "(exit code" in printed or "Traceback (most recent" in printed
            if "<!-- output: none" in match["marks"] or installs:
                wanted = printed
            if failed or not same(wanted, printed):
                wrong += 1
                print(f"--- {page.name}\n{match['text']}")
                print(
                    "\n".join(difflib.unified_diff(wanted.split("\n"), printed.split("\n"), "page", "walk", "", "", 1))
                )
        python.close()
    return wrong


def main(arguments: list[str]) -> int:
    """Walk through the pages."""
    scratch = tempfile.mkdtemp()
    kept = Path(scratch)
    if "--keep" in arguments:
        at = arguments.index("--keep")
        kept = Path(arguments[at + 1]).resolve()
        kept.mkdir(parents=True, exist_ok=True)
        del arguments[at : at + 2]
    wheel, *names = [Path(name).resolve() for name in arguments]
    pages = names or [page for page in PAGES if page.name not in GENERATED]
    wrong = {}
    for page in pages:
        if not BLOCK.search(page.read_text(encoding="utf-8")):
            continue
        start, here = time.monotonic(), Path.cwd()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            wrong[page] = walk(page, wheel, kept)
        assert Path.cwd() == here
        result = f"{wrong[page]} blocks differ" if wrong[page] else "as printed"
        print(f"{page.relative_to(ROOT)}: {result} ({time.monotonic() - start:.0f} s)", flush=True)
    shutil.rmtree(scratch)
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
