"""`add_embeddings` against datasets itself: columns, the cache and its fingerprint, processes, streams."""

import subprocess
import sys

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, InputError, TextError
from unit.tiny_models import tiny_checkpoint, tiny_elmo

datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra datasets)")
from datasets.fingerprint import Hasher  # noqa: E402

from elmokit.integrations.datasets import EmbedColumns, add_embeddings  # noqa: E402

TEXTS = ["the cat sat", "", "a dog ran away", "it broke again", "again"]


@pytest.fixture
def model(tmp_path):
    save(tiny_checkpoint(), tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def table(tmp_path):
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": TEXTS, "id": range(5)}).save_to_disk(tmp_path / "table")
    return datasets.load_from_disk(tmp_path / "table")


def test_columns_are_added_in_float32_and_fixed_width(table, model):
    made = add_embeddings(table, elmo=model, encoding=Encoding("mean+max", "all"), batch_size=2)
    assert made.column_names == ["text", "id", "text_elmo"]
    assert made.features["text_elmo"] == datasets.Sequence(datasets.Value("float32"), length=72)
    expected = Elmo.load(model).encode(TEXTS, pooling="mean+max", layers="all")
    np.testing.assert_allclose(made.with_format("numpy")["text_elmo"][:], expected, rtol=1e-5, atol=1e-6)
    assert made["id"][:] == list(range(5))


def test_all_parts_and_several_columns(table, model):
    parts = datasets.DatasetDict({"train": table, "test": table.select(range(2))})
    parts = parts.map(lambda row: {"title": row["text"] + " !"})
    made = add_embeddings(parts, {"text": "a", "title": "b"}, elmo=model, encoding=Encoding(normalize=True))
    assert isinstance(made, datasets.DatasetDict)
    assert {name: (len(part), part.column_names[-2:]) for name, part in made.items()} == {
        "train": (5, ["a", "b"]),
        "test": (2, ["a", "b"]),
    }
    lengths = np.linalg.norm(np.array(made["train"]["b"][:]), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_a_stream_is_read_as_it_is_taken(table, model):
    made = add_embeddings(table.to_iterable_dataset(), elmo=model, batch_size=2)
    rows = list(made.take(3))
    np.testing.assert_allclose([row["text_elmo"] for row in rows], Elmo.load(model).encode(TEXTS[:3]), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer Pythons about forks of processes with threads
def test_several_processes_open_the_model_themselves(table, model):
    made = add_embeddings(table, elmo=model, num_proc=2)
    np.testing.assert_allclose(np.array(made["text_elmo"][:]), Elmo.load(model).encode(TEXTS), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="made in memory"):
        add_embeddings(table, elmo=tiny_elmo(), num_proc=2)


def test_the_second_time_comes_from_the_cache(table, model, monkeypatch):
    first = add_embeddings(table, elmo=model)
    assert first.cache_files
    monkeypatch.setattr(EmbedColumns, "__call__", lambda self, batch: pytest.fail("computed again"))
    again = add_embeddings(table, elmo=Elmo.load(model))
    assert again._fingerprint == first._fingerprint
    assert again.cache_files == first.cache_files
    monkeypatch.undo()
    assert add_embeddings(table, elmo=model, encoding=Encoding("max"))._fingerprint != first._fingerprint


def test_the_fingerprint_is_the_same_in_another_run_and_another_with_other_weights(model):
    embed = EmbedColumns(Elmo.load(model), {"text": "elmo"}, Encoding(layers="all"))
    code = "import sys; from datasets.fingerprint import Hasher; from elmokit import Elmo;"
    code += "from elmokit.encoding import Encoding; from elmokit.integrations.datasets import EmbedColumns;"
    code += "print(Hasher.hash(EmbedColumns(Elmo.load(sys.argv[1]), {'text': 'elmo'}, Encoding(layers='all'))))"
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True)
    assert done.stdout.strip() == Hasher.hash(embed), done.stderr
    save(tiny_checkpoint(seed=1), model)
    assert Hasher.hash(EmbedColumns(Elmo.load(model), {"text": "elmo"}, Encoding(layers="all"))) != Hasher.hash(embed)


def test_wrong_columns_and_texts_are_named(table, model):
    with pytest.raises(InputError, match=r"the data set: .*no column 'tweet'"):
        add_embeddings(table, "tweet", elmo=model)
    with pytest.raises(ConfigError, match="'id' exists already"):
        add_embeddings(table, {"text": "id"}, elmo=model)
    with pytest.raises(ConfigError, match="pooling"):
        add_embeddings(table, elmo=model, encoding=Encoding("median"))
    with pytest.raises(TextError, match=r"texts\[1\] is None"):
        add_embeddings(datasets.Dataset.from_dict({"text": ["a", None]}), elmo=model)
