"""`elmokit train` and `elmokit tune` as people run them: real processes, real files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from elmokit.checkpoints import load
from unit.training.runs import sentences

TINY = ["--preset", "tiny", "--words", "4000", "--rows", "4", "--heldout-every", "20"]


def elmokit(*arguments, launcher=("-m", "elmokit"), **kwargs):
    command = [sys.executable, "-W", "ignore", *launcher, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, **kwargs)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "animals.txt"
    path.write_text("\n".join(sentences(800)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "tiny"
    done = elmokit("train", corpus, "--out", out, *TINY, "--name", "animals")
    assert done.returncode == 0, done.stderr
    return out, done


def test_training_writes_a_checkpoint_with_its_facts(model):
    out, done = model
    checkpoint = load(out)
    assert checkpoint.name == "animals"
    assert checkpoint.config.tokenizer == "default"
    assert len(checkpoint.softmax.weight) == len(checkpoint.words) == len(checkpoint.word_counts)
    assert checkpoint.metadata["corpus"]["animals"] == 800 * 6
    assert checkpoint.metadata["report"]["heldout"]["mean"] > 1
    assert "held-out perplexity forward" in done.stdout
    assert "words/s" in done.stderr


def test_a_picture_lies_beside_it(model):
    pytest.importorskip("matplotlib")
    out, _ = model
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_does_not_overwrite_the_first(model, corpus):
    out, _ = model
    done = elmokit("train", corpus, "--out", out, *TINY)
    assert done.returncode == 1
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr


def test_tuning_lowers_perplexity_on_other_text(model, tmp_path):
    out, _ = model
    other = tmp_path / "machines.csv"
    rows = [f"{i},the pump heats the valve of machine {i % 97} ." for i in range(600)]
    other.write_text("id,note\n" + "\n".join(rows) + "\n")
    tuned = tmp_path / "tuned"
    arguments = ["--column", "note", "--words", 4000, "--rows", 4, "--heldout-every", 5, "--learning-rate", 0.01]
    done = elmokit("tune", other, "--model", out, "--out", tuned, *arguments)
    assert done.returncode == 0, done.stderr
    measured = [json.loads(line)["heldout"] for line in (tuned / "run" / "log.jsonl").read_text().splitlines()]
    first = float(done.stderr.split("mean ")[1].split()[0].rstrip(","))
    assert measured[-1]["mean"] < 0.6 * first
    assert load(tuned).config == load(out).config
    assert any(not np.array_equal(a, load(out).tensors[n]) for n, a in load(tuned).tensors.items())


def test_torchrun_trains_with_two_processes(corpus, tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "elmokit")
    done = elmokit("train", corpus, "--out", tmp_path / "two", *TINY, "--words", 1500, launcher=torchrun)
    assert done.returncode == 0, done.stderr[-3000:]
    assert load(tmp_path / "two").metadata["processes"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such.txt"], "no-such.txt"),
        (["CORPUS", "--preset", "huge"], "'tiny'"),
        (["CORPUS", "--weight", "animals"], "NAME=NUMBER"),
        (["CORPUS", "--weight", "birds=2"], "animals"),
        (["CORPUS", "--precision", "float8"], "bfloat16"),
        (["CORPUS", "--tokenizer", "bpe"], "whitespace"),
    ],
)
def test_mistakes_are_told_in_one_paragraph(arguments, said, corpus, tmp_path):
    given = [str(corpus) if a == "CORPUS" else a for a in arguments]
    done = elmokit("train", *given, "--out", tmp_path / "out", *([] if "--preset" in given else TINY))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "config.json").exists()
