"""Commands of two installed versions on the same weights, in turns: processor seconds, start to end.

    python benchmarks/speed_versions.py OLD_PYTHON MODEL [--rounds 5] [--data ../shared/data]

OLD_PYTHON is the interpreter of the environment with the older version, this interpreter has the newer one; MODEL is a
model folder that both read. The command lines are the same for both. Compile the packages of both environments to
bytecode first (`python -m compileall`), or the version with more libraries pays for compiling them at every start.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from workload import SHARED, finish


def command_lines(model, tweets, folder):
    ten = folder / "ten.txt"
    ten.write_text("the phone broke again on the first day\n" * 10)
    embed = ["-m", "elmokit", "--quiet", "embed"]
    train = ["-m", "elmokit", "--quiet", "classify", "train", tweets, "--text", "tweet", "--label", "label"]
    return {
        "import elmokit": ["-c", "import elmokit"],
        "elmokit --help": ["-m", "elmokit", "--help"],
        "embed ten lines": [*embed, ten, "--model", model, "--output", folder / "ten.npz"],
        "embed 7,920 tweets": [
            *embed,
            tweets,
            "--column",
            "tweet",
            "--model",
            model,
            "--output",
            folder / "tweets.npz",
        ],
        "classify train, 7,920 tweets": [*train, "--model", model, "--out", folder / "head"],
    }


def processor_seconds(python, arguments, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = os.times()
    result = subprocess.run(
        [str(python), *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True
    )
    if result.returncode:
        raise SystemExit(f"{python} {arguments}: {result.stderr[-2000:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old_python", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    options = parser.parse_args()
    pythons = {"old": options.old_python.absolute(), "new": Path(sys.executable)}
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = command_lines(options.model.resolve(), (options.data / "tweets/train.csv").resolve(), folder)
        for title, arguments in lines.items():
            seconds = {version: [] for version in pythons}
            for _ in range(options.rounds):
                for version, python in pythons.items():
                    seconds[version].append(processor_seconds(python, arguments, folder))
            row = {version: round(statistics.median(values), 2) for version, values in seconds.items()}
            ratios = [new / old for old, new in zip(seconds["old"], seconds["new"], strict=True)]
            rows[title] = row | {"new / old": round(statistics.median(ratios), 2)}
            print(f"{title:30} {rows[title]}", flush=True)
    finish("speed_versions", {"rows": rows})


if __name__ == "__main__":
    main()
