"""The recipe of the embedded model, followed at toy size with a toy teacher: pack, teach, save."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from elmokit.checkpoints import load
from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.elmo import EMBEDDED, Elmo
from unit.training.runs import sentences

WIDTH, HEADS, LAYERS = 16, 2, 2


@pytest.fixture(scope="module")
def teach(pytestconfig):
    folder = pytestconfig.rootpath / "dev" / "teach"
    if not folder.exists():
        pytest.skip("dev/teach is not here: these are not the project's own sources")
    return folder


def run(script, *arguments):
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_toy_teacher(folder, n_spellings):
    """A random encoder in the form that `teacher.py` stores; each spelling has one or two pieces."""
    random = np.random.default_rng(0)
    shapes = {"word": (50, WIDTH), "position": (200, WIDTH), "relative": (32, HEADS)}
    for layer in range(LAYERS):
        shapes |= {f"{layer}.qkv.weight": (3 * WIDTH, WIDTH), f"{layer}.qkv.bias": (3 * WIDTH,)}
        shapes |= {f"{layer}.out.weight": (WIDTH, WIDTH), f"{layer}.out.bias": (WIDTH,)}
        shapes |= {f"{layer}.up.weight": (32, WIDTH), f"{layer}.up.bias": (32,)}
        shapes |= {f"{layer}.down.weight": (WIDTH, 32), f"{layer}.down.bias": (WIDTH,)}
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for norm in ("norm", *(f"{layer}.norm{i}" for layer in range(LAYERS) for i in (1, 2))):
        weights |= {f"{norm}.weight": np.ones(WIDTH, np.float32), f"{norm}.bias": np.zeros(WIDTH, np.float32)}
    folder.mkdir()
    np.savez(folder / "weights.npz", **weights)
    lengths = random.integers(1, 3, n_spellings).astype(np.uint8)
    np.savez(folder / "pieces.npz", ids=random.integers(4, 50, lengths.sum(), dtype=np.int32), lengths=lengths)
    facts = {"heads": HEADS, "layers": LAYERS, "epsilon": 1e-5, "first_position": 2, "around": [0, 2]}
    (folder / "config.json").write_text(json.dumps(facts))


def test_the_recipe_makes_a_model(teach, tmp_path):
    recipe = json.loads((EMBEDDED / "recipe.json").read_text())
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed, name in enumerate(recipe["sources"]):
        (corpus / f"{name}.txt").write_text("\n".join(sentences(60, seed=seed)) + "\n")
    run(teach / "corpus.py", EMBEDDED / "recipe.json", corpus, tmp_path / "data")
    n_spellings = len((tmp_path / "data" / "types.txt").read_text().split("\n"))
    assert np.load(tmp_path / "data" / "ids.npy").max() == n_spellings - 1
    write_toy_teacher(tmp_path / "data" / "teacher", n_spellings)

    recipe["training"] |= {"batch_words": 256, "negatives": 8, "report_steps": 5, "warmup": 2, "learning_rate": 0.01}
    recipe["model"] |= {
        "projection_width": 16,
        "char_cnn": {"embedding_width": 4, "filters": [[1, 8], [3, 16]], "n_highway": 1},
        "bilstm": recipe["model"]["bilstm"] | {"cell_width": 16},
    }
    toy = tmp_path / "recipe.json"
    toy.write_text(json.dumps(recipe))
    said = run(teach / "teach.py", toy, tmp_path / "data", tmp_path / "out", "--seconds", 15)
    texts = [float(loss) for loss in re.findall(r"text (\d\.\d+)", said)]
    assert texts[-1] < texts[0], said  # it learns what the teacher says
    ours = load(tmp_path / "out")
    assert ours.name == recipe["name"]
    assert ours.config.word_table == len(ours.words)
    assert ours.softmax.weight is ours.tensors["word_table.weight"]
    assert Elmo.load(tmp_path / "out").encode(["the cat sees the dog ."]).shape == (1, 32)

    np.save(tmp_path / "words.npy", np.random.default_rng(1).normal(0, 0.05, (n_spellings, 8)).astype(np.float32))
    data = (tmp_path / "data", tmp_path / "words.npy")
    times = ("--seconds", 10, "--alone-seconds", 8, "--learning-rate", 0.01)
    said = run(teach / "spell.py", tmp_path / "out", *data, tmp_path / "spelt", *times)
    words = [float(loss) for loss in re.findall(r"words: words (\d+\.\d+)", said)]
    assert np.mean(words[-2:]) < words[0], said  # the characters learn what the table knows
    alone = [float(loss) for loss in re.findall(r"without (\d+\.\d+)", said)]
    assert np.mean(alone[-2:]) < alone[0], said
    spelt = load(tmp_path / "spelt")
    assert spelt.config == replace(ours.config, spelling_projection=True)
    assert Elmo(spelt).encode(["the caat sees the dog ."]).shape == (1, 32)


def test_the_embedded_model_is_what_the_recipe_says():
    recipe, model = json.loads((EMBEDDED / "recipe.json").read_text()), load(EMBEDDED)
    expected = dict(recipe["model"], tokenizer=recipe["tokenizer"])
    expected["char_cnn"], expected["bilstm"] = CharCNNConfig(**expected["char_cnn"]), BiLSTMConfig(**expected["bilstm"])
    assert model.config == ElmoConfig(**expected, spelling_projection=True)  # which spell.py adds
    assert model.name == recipe["name"]
    assert (EMBEDDED / "model.safetensors").stat().st_size < 25_000_000
