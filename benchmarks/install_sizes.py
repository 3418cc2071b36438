"""What an install weighs and how long its import takes: elmokit beside the other ways to ELMo and to sentence vectors.

    python benchmarks/install_sizes.py --elmokit PLAIN/bin/python --tensorflow TF/bin/python --torch TORCH/bin/python

Each argument is the Python of an environment with the packages in it (elmokit: the plain install). A row's size is that
of the package and of all that it requires there, by the file lists that pip keeps; compiled files (`__pycache__`) and
what is installed otherwise do not count. Imports run in fresh processes, the contenders in turn, the first round thrown
away: median seconds, interpreter included (`python -c pass` is the first row). Requirements that are missing in the
environment are counted and told: such a row is too small. A machine that does other work makes imports slower for all;
the load is told too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

ROWS = (  # name, environment, distribution, what is imported
    ("elmokit", "elmokit", "elmokit", "import elmokit; elmokit.Elmo"),
    ("simple_elmo (TensorFlow)", "tensorflow", "simple_elmo", "import simple_elmo"),
    ("TensorFlow alone, for TF-Hub", "tensorflow", "tensorflow_cpu", "import tensorflow"),
    ("AllenNLP (PyTorch for CPUs)", "torch", "allennlp", "import allennlp.modules.elmo"),
    ("sentence-transformers (PyTorch for CPUs)", "torch", "sentence_transformers", "import sentence_transformers"),
)
WEIGH = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, distribution
from pip._vendor.packaging.requirements import Requirement
todo, seen, missing, size = [sys.argv[1]], set(), set(), 0
while todo:
    name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
    if name in seen:
        continue
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        missing.add(name)
        continue
    for file in found.files or ():
        path = found.locate_file(file)
        if "__pycache__" not in str(file) and path.is_file() and not path.is_symlink():
            size += path.stat().st_size
    for text in found.requires or ():
        required = Requirement(text)
        if required.marker is None or required.marker.evaluate({"extra": ""}):
            todo.append(required.name)
version = distribution(sys.argv[1]).version
print(json.dumps({"version": version, "bytes": size, "packages": len(seen - missing), "missing": sorted(missing)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("elmokit", "tensorflow", "torch"):
        parser.add_argument(f"--{name}", type=Path, help="the Python of that environment")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pythons = {name: path for name, path in vars(chosen).items() if isinstance(path, Path) and path.exists()}
    rows = [row for row in ROWS if row[1] in pythons]
    if not rows:
        raise SystemExit("name at least one environment that is there; see --help")
    seconds: dict[str, list[float]] = {name: [] for name in ("python -c pass", *(row[0] for row in rows))}
    for _ in range(1 + chosen.rounds):
        seconds["python -c pass"].append(took(pythons[rows[0][1]], "pass"))
        for name, place, _, code in rows:
            seconds[name].append(took(pythons[place], code))
    results: list[dict[str, Any]] = []
    for name, place, package, _ in rows:
        found = json.loads(output(pythons[place], WEIGH, package))
        results.append({"name": name, **found, "import_s": median(seconds[name])})
    tell(results, median(seconds["python -c pass"]))


def took(python: Path, code: str) -> float:
    """Seconds of a fresh process; NaN where it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    start = time.perf_counter()
    done = subprocess.run([python, "-W", "ignore", "-c", code], env=environment, capture_output=True, check=False)
    return time.perf_counter() - start if done.returncode == 0 else float("nan")


def output(python: Path, code: str, argument: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", code, argument], env=environment, capture_output=True, text=True, check=True
    ).stdout


def median(values: list[float]) -> float:
    return round(statistics.median(values[1:]), 3)


def tell(results: list[dict[str, Any]], bare: float) -> None:
    load = os.getloadavg()[0]
    print(f"python -c pass: {bare:.3f} s; load {load:.1f} on {os.cpu_count()} cores\n")
    print("| install | version | MB | packages | import, s | missing |\n|---|---|---:|---:|---:|---|")
    for row in results:
        missing = f"{len(row['missing'])} (so larger)" if row["missing"] else ""
        figures = f"{row['bytes'] / 1e6:.0f} | {row['packages']} | {row['import_s']:.2f}"
        print(f"| {row['name']} | {row['version']} | {figures} | {missing} |")
    line = json.dumps({"benchmark": "install_sizes", "load": round(load, 1), "bare_s": bare, "rows": results})
    (Path(__file__).parent / "results" / "install_sizes.json").write_text(line + "\n", encoding="utf-8")
    print(line)


if __name__ == "__main__":
    main()
