"""`elmokit evaluate` as people run it: the table, the JSON, and the same figures as the library's."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from elmokit.checkpoints import Checkpoint, Softmax, save
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.elmo import Elmo
from elmokit.evaluation import ElmoEncoder, TfidfEncoder, evaluate
from evaluation_folder import make_sets

CONFIG = ElmoConfig(
    projection_width=6,
    char_cnn=CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 6)), n_highway=1),
    bilstm=BiLSTMConfig(cell_width=8),
    tokenizer="default",
)
WORDS = ("<S>", "</S>", "<UNK>", "it", "is")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    random = np.random.default_rng(0)
    tensors = {n: random.normal(scale=0.3, size=s).astype(np.float32) for n, s in CONFIG.tensor_shapes().items()}
    tensors["char_cnn.embedding.weight"][0] = 0
    softmax = Softmax(np.zeros((len(WORDS), 6), np.float32), np.zeros(len(WORDS), np.float32))
    save(Checkpoint(CONFIG, tensors, words=WORDS, softmax=softmax, name="tiny"), folder / "model")
    make_sets(folder / "data")
    return folder


def run(*arguments, code=0):
    environment = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "elmokit", "evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_table_and_json_hold_the_librarys_figures(place, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "some.txt").write_text("it is fine\n", encoding="utf-8")
    done = run(
        *("--model", place / "model", "--data", place / "data", "--sets", "MR,TREC,STSB,WiC,CR"),
        *("--json", tmp_path / "out.json", "--text", tmp_path / "some.txt", "--pooling", "mean+max"),
    )
    values = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    encoders = [ElmoEncoder(Elmo.load(place / "model"), pooling="mean+max", layers="all"), TfidfEncoder()]
    expected = evaluate(encoders, place / "data", sets=["MR", "TREC", "STSB", "WiC", "CR"])
    got = {(row["set"], row["encoder"]): row["value"] for row in values["results"]}
    assert got == {(r.set, r.encoder): r.value for r in expected.results}
    assert [s["set"] for s in values["skipped"]] == ["CR", "WiC"]
    assert values["perplexity"][str(tmp_path / "some.txt")]["mean"] == pytest.approx(len(WORDS))
    for shown in ("79.7 [M]", "57.7 [V2]", "skipped: CR: ", "perplexity 5.0", f"{got['MR', 'TF-IDF']:.1f}"):
        assert shown in done.stdout, shown


def test_mistakes_are_one_paragraph(place, tmp_path):
    assert "no set is called 'XY'" in run("--model", place / "model", "--data", place, "--sets", "XY", code=1).stderr
    assert "no such folder" in run("--model", place / "model", "--data", tmp_path / "none", code=1).stderr
    none = run("--model", place / "model", "--data", tmp_path, "--sets", "MR")
    assert "skipped: MR: " in none.stdout
