"""`elmokit index`, `senses` and `shift`: what the library answers, printed; errors in one line."""

import json
import subprocess
import sys

import pytest

from elmokit import checkpoints
from elmokit.index import WordIndex
from unit.index.corpora import environment, many_lines, write_lines
from unit.tiny_models import tiny_checkpoint, tiny_elmo


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    desk = tmp_path_factory.mktemp("desk")
    checkpoints.save(tiny_checkpoint(), desk / "model")
    write_lines(desk / "a.txt", many_lines(60))
    write_lines(desk / "b.txt", [line.replace("saw number", "sold") for line in many_lines(80)[30:]])
    for name in "ab":
        run(desk, "index", "build", f"{name}.txt", "--db", name, "--model", "model")
    return desk


def run(desk, *words, fails=False):
    line = [sys.executable, "-m", "elmokit", *words]
    done = subprocess.run(line, capture_output=True, text=True, cwd=desk, env=environment(), timeout=120)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def test_build_says_what_it_added_and_adds_nothing_twice(desk):
    index = WordIndex.open(desk / "a")
    again = run(desk, "index", "build", "a.txt", "--db", "a")
    assert again == f"a: 0 occurrences added; {len(index):,} in 60 sentences\n"
    assert json.loads(run(desk, "info", "a", "--json"))["occurrences"] == len(index)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--layers", "0"], "was made with --layers mix, not 0"),
        (["--words", "all"], "was made with --words content, not all"),
        (["--words", "bank"], "was made with --words content"),
        (["--model", "other"], "made with the model"),
    ],
)
def test_build_refuses_to_go_on_with_other_options(desk, options, told):
    tiny_elmo(seed=1).save(desk / "other")
    assert told in run(desk, "index", "build", "a.txt", "--db", "a", *options, fails=True)


def test_questions_are_answered(desk):
    shown = run(desk, "index", "similar", "bank", "--context", "a bank", "-k", "3", "--db", "a")
    assert "similarity" in shown
    assert "[" in shown
    found = run(desk, "index", "sentences", many_lines(60)[5], "-k", "2", "--db", "a").splitlines()
    assert len(found) == 2
    assert many_lines(60)[5] in found[0]
    run(desk, "senses", "bank", "--senses", "2", "--json", "senses.json", "--db", "a")
    written = json.loads((desk / "senses.json").read_text())
    assert [sense["number"] for sense in written["senses"]] == [1, 2]
    assert run(desk, "index", "export", "means.txt", "--db", "a").startswith("means.txt: ")


def test_shift_prints_and_writes_all_words(desk):
    shown = run(desk, "shift", "--db", "a", "--db", "b", "--min-count", "5", "-k", "3", "--json", "shift.json")
    assert "excess" in shown
    changes = json.loads((desk / "shift.json").read_text())
    assert {"word", "count_a", "apd", "prt", "excess"} <= set(changes[0])
    assert len(changes) > 3
    assert "expected two indexes" in run(desk, "shift", "--db", "a", fails=True)


def test_errors_are_a_line(desk):
    assert "zebra" in run(desk, "senses", "zebra", "--db", "a", fails=True)
    error = run(desk, "index", "similar", "bank", "--db", "nowhere", fails=True)
    assert "elmokit index build" in error
    assert "Traceback" not in error
