"""docs/classify.md, followed literally in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from elmokit.elmo import EMBEDDED

PAGE = Path(__file__).resolve().parents[3] / "docs" / "classify.md"


@pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the package has no embedded model")
def test_the_page_runs_from_top_to_bottom_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(EMBEDDED.parents[2]), os.environ.get("PYTHONPATH", "")])
    names = {}
    for kind, text in re.findall(r"```(python|bash)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        for line in text.splitlines():
            command = [sys.executable, "-m", *shlex.split(line)]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
            assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert not (tmp_path / "tuned" / "run").exists(), "a training that ended well leaves no snapshots"
    assert (tmp_path / "tuned" / "bilm" / "config.json").is_file()
    header = (tmp_path / "topics.csv").read_text().splitlines()[0]
    assert header.startswith("row,topics,probability_bad,probability_battery,")
    assert len((tmp_path / "labelled.csv").read_text().splitlines()) == 49
    assert "data:image/svg+xml" in (tmp_path / "report.html").read_text(encoding="utf-8")
