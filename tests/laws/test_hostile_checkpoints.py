"""Hostile and damaged checkpoints: our error with the file's name, little memory, little time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and forks as on Linux")


def run(*arguments, seconds, script="hostile_checkpoints.py"):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(TESTS / script), *map(str, arguments)],
        capture_output=True, text=True, timeout=seconds, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: value for line in done.stdout.splitlines() for name, value in json.loads(line).items()}


def test_hostile_files_are_refused_in_bounds(tmp_path):
    results = run(tmp_path, seconds=300)
    assert len(results) > 55
    for name, (outcome, message, seconds, megabytes, source) in results.items():
        harmless = name.startswith(("odd_numbers", "group_in_itself"))
        assert outcome == "ours" or (harmless and outcome == "loaded"), (name, outcome, message)
        assert outcome == "loaded" or source in message, (name, message)
        assert "/elmokit-" not in message, (name, "a temporary path is no name for a user's file")
        assert megabytes < 200, (name, megabytes)
        assert seconds < 20, (name, seconds)  # wall-clock time on a busy machine; 2 s on an idle one


@pytest.mark.slow
def test_mutated_files_give_a_result_or_our_error(tmp_path):
    for name, counts in run(tmp_path, 300, 1, script="hostile_readers.py", seconds=3600).items():
        assert not counts["wrong"], (name, counts["wrong"][:3])
        assert counts["ours"] > 10, (name, "hardly any mutation was noticed; are the samples mutated at all?")
        assert counts["memory"] < 300, (name, counts["memory"])
