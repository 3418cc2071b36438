"""Resuming with other options is refused by name, before anything is changed; two runs in one folder too."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from elmokit.checkpoints import load
from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.files import locked
from elmokit.training import Corpus, train
from elmokit.training.loop import snapshots
from elmokit.training.options import FIXED_OPTIONS
from unit.training.runs import sentences, tiny_config, tiny_options


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run and what it was made of."""
    folder = tmp_path_factory.mktemp("run")
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(sentences(300)) + "\n", encoding="utf-8")
    start(folder, resume=False)
    return folder


def start(folder, *, resume=True, config=None, corpus=None, **changes):
    return train(
        corpus or Corpus(files=[folder / "corpus.txt"], heldout_every=20),
        folder / "model",
        config=config or tiny_config(),
        options=replace(tiny_options(), **changes),
        resume=resume,
    )


OTHERS = {"batch_size": 16, "bptt": 16, "segment": 32, "vocabulary_size": 20, "n_negatives": 4}
OTHERS |= {"optimizer": "adagrad", "gradient_accumulation_steps": 2, "seed": 5}
OTHERS |= {"loss_weights": {"lm": 2.0}, "temperature": 0.1, "teacher_words": 7}


@pytest.mark.parametrize("name", FIXED_OPTIONS)
def test_an_option_that_shapes_the_run_is_refused_by_name(run, name):
    before = snapshots(run / "model" / "run")[-1].read_bytes()
    with pytest.raises(ConfigError, match=name):
        start(run, n_words=2400, **{name: OTHERS[name]})
    assert snapshots(run / "model" / "run")[-1].read_bytes() == before


def test_a_run_of_an_older_version_is_refused_clearly(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "model" / "run" / "identity.json").unlink()
    with pytest.raises(TrainingError, match=r"older elmokit \(0\.1\.0"):
        start(tmp_path / "copy", n_words=2400)


def test_another_model_or_tokenizer_is_refused_by_name(run):
    with pytest.raises(ConfigError, match="tokenizer"):
        start(run, config=replace(tiny_config(), tokenizer="whitespace"))
    with pytest.raises(ConfigError, match="bilstm"):
        start(run, config=tiny_config(n_layers=1))


def test_another_corpus_or_weight_is_refused(run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(sentences(100, seed=9)) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="corpus is not the one"):
        start(run, corpus=Corpus(files=[other], heldout_every=20))
    with pytest.raises(ConfigError, match="weights of sources"):
        start(run, corpus=Corpus(files=[run / "corpus.txt"], heldout_every=20, weights={"corpus": 2.0}))


def test_more_words_and_another_rate_are_no_other_run(run):
    report = start(run, n_words=1500, learning_rate=0.005)
    assert report.n_words >= 1500
    assert load(run / "model").words is not None


def test_damaged_snapshots_do_not_start_anew_in_silence(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    for path in snapshots(tmp_path / "copy" / "model" / "run"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="No other snapshot"):
        start(tmp_path / "copy", corpus=Corpus(files=[run / "corpus.txt"], heldout_every=20), n_words=2400)


def test_a_damaged_identity_is_our_error(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "model" / "run" / "identity.json").write_text("{")
    with pytest.raises(TrainingError, match="identity"):
        start(tmp_path / "copy", corpus=Corpus(files=[run / "corpus.txt"], heldout_every=20))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_a_second_process_in_the_folder_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    lock = tmp_path / "copy" / "model" / "run" / "lock"
    code = "import sys, time; from pathlib import Path; from elmokit.files import locked\n"
    code += "with locked(Path(sys.argv[1]), 'held'): print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    corpus = Corpus(files=[run / "corpus.txt"], heldout_every=20)
    try:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(OutputError, match="another process is training"):
            start(tmp_path / "copy", corpus=corpus)
    finally:
        other.kill()
        other.communicate()
    with locked(lock, "held"):  # free again
        pass
