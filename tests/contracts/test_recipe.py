"""The recipe of the embedded model, followed at toy size: every file it names, its weights, its storage."""

import importlib.util
import json

import pytest

from elmokit.checkpoints import load
from elmokit.elmo import EMBEDDED, Elmo
from unit.training.runs import sentences


@pytest.fixture(scope="module")
def make_model(pytestconfig):
    path = pytestconfig.rootpath / "dev" / "make_model.py"
    if not path.exists():
        pytest.skip("dev/make_model.py is not here: these are not the project's own sources")
    spec = importlib.util.spec_from_file_location("make_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_makes_a_model(make_model, tmp_path):
    recipe = EMBEDDED / "recipe.json"
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    steps = json.loads(recipe.read_text())
    for seed, name in enumerate({*steps["sources"], *steps.get("word_vectors", {"sources": ()})["sources"]}):
        (corpus / f"{name}.txt").write_text("\n".join(sentences(60, seed=seed)) + "\n")
    made = make_model.make_model(recipe, corpus, tmp_path / "out", words=1, rows=4)
    ours, theirs = load(made), load(EMBEDDED)
    assert ours.config == theirs.config
    assert ours.name == theirs.name
    assert (made / "model.safetensors").stat().st_size < 20_000_000
    assert Elmo.load(made).encode(["the cat sees the dog ."]).shape == (1, ours.config.dim)
