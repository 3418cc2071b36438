"""Run reproducers of faults, each with a limit of time and memory, and print a table of what came of them.

`python dev/run_cases.py FOLDER` runs every script in FOLDER and in FOLDER/attack (default: `$ELMOKIT_SHARED/cases`).
FOLDER/attack/README.md may name arguments: "probe.py words|white 300" runs a script twice. Exit code 1 if one fails.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

HELPERS = {"common.py", "tiny.py", "srv.py"}
"""Modules that the scripts import."""

_KINDS = ("clsj", "clst", "csv", "gz", "jsonl", "manifest", "parquet", "snapshot", "torch", "xz", "zst")
ARGUMENTS = {
    "fuzz_flips.py": [f"{kind} 2000 30" for kind in _KINDS],
    "hostile_heads.py": [f"{kind} 60" for kind in ("logistic", "tfidf", "pairs", "tag", "index")],
    "concurrency.py": ["threads", "fork busy 10"],
    "text_fuzz.py": ["tokens 20000 1 100", "encode 2000 1 100"],
    "fuzz_index.py": ["60"],
    "train_kills.py": ["kill 120", "corrupt", "two", "term", "tiny"],
}
"""What to give scripts whose README leaves values open."""

RENAMED = {
    "elmokit.checkpoints.hdf5": "elmokit.hdf5",
    "import read_datasets": "import read_arrays\nfrom elmokit.errors import CheckpointError",
    "read_datasets(p)": 'read_arrays(p, error=CheckpointError, what="checkpoint")',
    "elmokit.corpora": "elmokit.data",
    "elmokit.runtime.threads": "elmokit.runtime.engine",
    "elmokit.training.snapshot": "elmokit.fitting",
    "write_snapshot,read_snapshot": "write_snapshot,reading_snapshot",
    'read_snapshot(W/"step-1.safetensors")': 'reading_snapshot(W/"step-1.safetensors").__enter__()',
    "elmokit.tasks.bio ": "elmokit.tasks.tagging.bioes ",
    "elmokit.tasks.pairs import": "elmokit import",
    "elmokit.tasks.tag import": "elmokit import",
    "from elmokit.tasks.tag_options import TagOptions": "",
    '["facts"]': '["metadata"]',
    "._runtime": "._engine",
    "import tokenize_default, tokenize_whitespace, tokenize_characters": "import TOKENIZERS\n"
    "tokenize_characters, tokenize_default, tokenize_whitespace = (\n"
    "    lambda text, name=name: TOKENIZERS[name](text) for name in sorted(TOKENIZERS))",
    "fit(X, X, pd": "fit(list(zip(X, X)), pd",
    "fit(X,X[::-1],": "fit(list(zip(X,X[::-1])),",
    'Path(fHERE+"/flip_': 'Path(HERE+f"/flip_',
    '"tag.json","tag.safetensors"': '"tagger.json","tagger.safetensors"',
    'predict(["a"],["b"])': 'predict([("a","b")])',
}
"""Modules and calls that had other names when the scripts were written, and a slip in one."""

REFUSALS = {"hdf5_deep.py": "CheckpointError"}
"""Scripts that end with an error of ours where all is right."""


def runs(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every script of a folder with its arguments."""
    readme = folder / "README.md"
    notes = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    for script in sorted(folder.glob("*.py")):
        if script.name in HELPERS:
            continue
        found = re.search(rf"{re.escape(script.name)} ([a-z0-9|][\w| ]*)", notes)
        named = found[1].split(" | ") if found and folder.name == "attack" else [""]
        for line in ARGUMENTS.get(script.name, named):
            first, *rest = line.split() or [""]
            for word in first.split("|"):
                yield script, [value for value in (word, *rest) if value]


def run(script: Path, arguments: list[str], seconds: float, megabytes: int, work: str) -> tuple[str, float, int, str]:
    """Run one script; return its exit code, seconds, peak memory in MB and last line."""
    environment = {**os.environ, "CASES_WORK": work, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `elmokit` of this Python
    limit = megabytes << 20

    def prepare() -> None:
        os.nice(10)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
            preexec_fn=prepare,
        )
        timer = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        late = not timer.is_alive()
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").strip().splitlines() or [""]
    wrong = [line for line in lines if line.startswith("FAIL")] or lines[-1:]
    refused = process.returncode == 1 and f"elmokit.errors.{REFUSALS.get(script.name)}" in lines[-1]
    code = "late" if late else "0" if refused else str(process.returncode)
    return code, time.monotonic() - start, usage.ru_maxrss >> 10, " / ".join(wrong)[:220]


def main() -> None:
    """Run the scripts of a folder."""
    shared = Path(os.environ.get("ELMOKIT_SHARED", "../shared"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=shared / "cases")
    parser.add_argument("--only", default="", help="regular expression of the scripts' names")
    parser.add_argument("--seconds", type=float, default=180, help="limit of time for each")
    parser.add_argument("--megabytes", type=int, default=16_000, help="limit of address space for each")
    options = parser.parse_args()
    folder = options.folder.resolve()
    n_failed = 0
    print(f"{'script':42} {'exit':>5} {'s':>6} {'MB':>6}  last words", flush=True)
    with tempfile.TemporaryDirectory(prefix="cases-") as work:
        copy = Path(shutil.copytree(folder, Path(work, "cases")))
        for script in copy.rglob("*.py"):
            text = script.read_text(encoding="utf-8")
            script.write_text(reduce(lambda whole, names: whole.replace(*names), RENAMED.items(), text), "utf-8")
        for place in (copy, copy / "attack"):
            for script, arguments in runs(place):
                if not re.search(options.only, script.name):
                    continue
                code, seconds, memory, words = run(script, arguments, options.seconds, options.megabytes, work)
                n_failed += code != "0"
                name = " ".join([script.stem, *arguments])
                print(f"{name:42} {code:>5} {seconds:6.1f} {memory:6}  {words}", flush=True)
    print(f"{n_failed} did not end with 0")
    sys.exit(n_failed > 0)


if __name__ == "__main__":
    main()
