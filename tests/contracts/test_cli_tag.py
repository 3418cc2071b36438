"""`elmokit tag` as people run it: real processes, real files."""

import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from contracts.test_cli import ENVIRONMENT
from elmokit import Tagger
from elmokit.data.conll import read_columns
from elmokit.elmo import Elmo
from unit.tasks.tagged import sentences

OPTIONS = ["--epochs", 3, "--learning-rate", 0.02, "--batch-size", 8]


@pytest.fixture
def fails(here):
    def run(*arguments):
        error = here(*arguments, code=1).err
        assert error.startswith("elmokit: "), error
        assert error.count("\n") == 1, error
        return error

    return run


def write(path, n, seed=0, first="B-PER"):
    lines = ["-DOCSTART- -X- O", ""]
    for words, tags in zip(*sentences(n, seed), strict=True):
        lines += [f"{word} X {tag.replace('B-PER', first)}" for word, tag in zip(words, tags, strict=True)] + [""]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tag")
    corpus, dev = write(folder / "train.conll", 80), write(folder / "dev.conll", 20, seed=1)
    line = ["tag", "train", corpus, "--dev", dev, "--model", model, "--out", folder / "ner", *OPTIONS]
    line += ["--json", folder / "training.json"]
    done = subprocess.run(
        [sys.executable, "-m", "elmokit", *map(str, line)], capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def test_train(trained):
    folder, done = trained
    assert sorted(path.name for path in (folder / "ner").iterdir()) == ["tagger.json", "tagger.safetensors"]
    assert "epoch 3 of 3" in done.stderr
    assert "on the dev part in epoch" in done.stdout
    assert "repaired" not in done.stderr


def test_predict_keeps_what_was_read_and_adds_the_tags(trained, model, here):
    folder, _ = trained
    out = folder / "tagged.conll"
    assert "20 sentences" in here("tag", "predict", folder / "ner", folder / "dev.conll", "--out", out).out
    before, after = list(read_columns(folder / "dev.conll")), list(read_columns(out))
    assert after[0].starts_document
    assert [[row[:3] for row in one.rows] for one in after] == [list(one.rows) for one in before]
    known = Tagger.load(folder / "ner", Elmo.load(model))
    assert [one.column(3) for one in after] == known.predict([one.column(0) for one in before])
    assert here("tag", "predict", folder / "ner", folder / "dev.conll").out == out.read_text()


def test_plain_text(trained, here):
    folder, _ = trained
    (folder / "plain.txt").write_text("Ann Ash sees Oslo.\n\nBo, too\n")
    done = here("tag", "predict", folder / "ner", folder / "plain.txt", "--plain")
    words = [[line.split()[0] for line in part.splitlines()] for part in done.out.strip().split("\n\n")]
    assert words == [["Ann", "Ash", "sees", "Oslo", "."], ["Bo", ",", "too"]]


def test_evaluate(trained, here):
    folder, _ = trained
    done = here("tag", "evaluate", folder / "ner", folder / "dev.conll", "--json", folder / "scores.json")
    scores = json.loads((folder / "scores.json").read_text())
    assert {one["label"] for one in scores["labels"]} == {"LOC", "PER"}
    assert f"{scores['spans']['f1']:.3f}" in done.out
    assert f"accuracy {scores['accuracy']:.4f}" in done.out


def test_broken_tags_are_repaired_and_parts_of_speech_are_no_spans(trained, model, here):
    folder, _ = trained
    broken = write(folder / "broken.conll", 10)
    broken.write_text(broken.read_text() + "\nAnn X I-PER\n\n")
    done = here("tag", "train", broken, "--model", model, "--out", folder / "b", *OPTIONS)
    assert "1 of 11 sentences breaks the rules of IOB2 and was repaired" in done.err
    options = ["--tag", 2, "--scheme", "none", "--layers", 1, *OPTIONS]
    done = here("tag", "train", broken, "--model", model, "--out", folder / "p", *options, "-q")
    assert done.out == done.err == ""
    assert "spans" not in here("tag", "evaluate", folder / "p", broken).out


def test_an_interrupted_training_keeps_its_epochs(trained, model, here):
    folder, _ = trained
    out = folder / "stopped"
    line = ["tag", "train", folder / "train.conll", "--model", model, "--out", out, "--epochs", 300, "--patience", 300]
    command = [sys.executable, "-m", "elmokit", *map(str, [*line, "--batch-size", 4])]
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a background shell ignores it
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, **pipes, env=ENVIRONMENT, **listening)
    with process:
        assert "epoch 1 of" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "interrupted" in process.stderr.read()
    assert process.returncode == 130
    assert not (out / "tagger.json").exists()
    assert [path.suffix for path in (out / "run").iterdir()] == [".safetensors"]
    line[line.index("--epochs") + 1] = 2  # other options: it begins anew, and what the first one left goes too
    assert "epoch 1 of" in here(*line, "--batch-size", 4).err
    assert (out / "tagger.json").exists()
    assert not (out / "run").exists()


def test_mistakes_are_told_in_one_paragraph(trained, model, tmp_path, fails):
    folder, _ = trained
    corpus, ner = folder / "train.conll", folder / "ner"
    assert "no column 7" in fails("tag", "train", corpus, "--tag", 7, "--out", tmp_path / "a")
    assert "tagger.json" in fails("tag", "predict", tmp_path, corpus)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)  # inputs are checked before it is imported
        for command in (("predict", ner), ("evaluate", ner), ("train", "--out", tmp_path / "a")):
            assert "none.conll" in fails("tag", *command, "none.conll")
        assert "no column 7" in fails("tag", "predict", ner, corpus, "--word", 7)
    assert "'BIOES'" in fails("tag", "train", corpus, "--scheme", "BILOU", "--out", tmp_path / "a")
    assert "learned" in fails("tag", "train", corpus, "--layers", "x", "--model", model, "--out", tmp_path / "a")
    empty = tmp_path / "empty.conll"
    empty.write_text("\n")
    assert "no sentences" in fails("tag", "train", empty, "--out", tmp_path / "a")


def test_training_writes_its_scores_as_json(trained):
    scores = json.loads((trained[0] / "training.json").read_text())
    assert (scores["scheme"], scores["metric"]) == ("IOB2", "F1")
    assert 0 < scores["best_score"] <= 1
    assert sum(scores["layer_weights"]) == pytest.approx(1, abs=1e-3)
