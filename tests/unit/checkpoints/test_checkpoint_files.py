"""Files that do not fit, are something else, or are hostile: said by name. And what each format may vary in."""

import gzip
import io
import json
import shutil
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from elmokit.checkpoints import Checkpoint, Softmax, detect, load, save
from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import CheckpointError, ElmoKitError, MissingFile
from elmokit.text.vocab import read_words
from golden import make_tiny
from hostile_checkpoints import zip_of


@pytest.fixture
def folder(tmp_path):
    make_tiny.make("plain", tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **parts):
    options = json.loads((folder / "options.json").read_text())
    for name, values in parts.items():
        options[name] |= values
    (folder / "options.json").write_text(json.dumps(options))


CELL = "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/"


def test_wrong_shape_says_found_and_needed(folder):
    edit(folder, lstm={"dim": 7})
    with pytest.raises(CheckpointError, match=r"weights.hdf5: .*W_0 has the shape \(8, 24\).*dim 7.*needs \(8, 28\)"):
        load(folder)


def test_missing_and_left_over_datasets_are_named(folder):
    with h5py.File(folder / "weights.hdf5", "a") as file:
        file["lm/extra"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"weights.hdf5: extra \(3,\) is left over"):
        load(folder)
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["lm"], file[CELL + "B"]
    with pytest.raises(CheckpointError, match=rf"weights.hdf5: {CELL}B \(24,\) is missing"):
        load(folder)


def test_nan_is_refused(folder):
    with h5py.File(folder / "weights.hdf5", "a") as file:
        file[CELL + "B"][3] = np.nan
    with pytest.raises(CheckpointError, match=r"model: forward_layers.1.bias holds NaN"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('{"lstm": {}}', "dim"),
        ('{"lstm": {"dim": "wide", "projection_dim": 4, "n_layers": 2}, "char_cnn": {}}', "options.json"),
        ('{"lstm": {"dim": 6, "projection_dim": 4, "n_layers": 1000000000}, "char_cnn": {}}', "more than 1,000"),
        ("[1]", "object"),
        ("{", "not a JSON file"),
        ("\x00\xff", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
    ],
)
def test_options_that_are_none(folder, change, message):
    (folder / "options.json").write_bytes(change.encode("latin-1"))
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_projection_before_the_highway_is_refused(folder):
    edit(folder, char_cnn={"projection_after_highway": False})
    with pytest.raises(CheckpointError, match="projection_after_highway"):
        load(folder)


@pytest.mark.parametrize("n_characters", [261, 262, 4])
def test_n_characters_of_the_options_does_not_matter(folder, n_characters):
    before = load(folder)
    edit(folder, char_cnn={"n_characters": n_characters})
    assert load(folder).config == before.config


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"0": np.zeros((3, 2, 8)), "1": np.zeros((3, 1, 8))}, "computed features"),
        ({"0": np.zeros((3, 2, 8)), "sentence_to_index": np.zeros(1)}, "computed features"),
        ({"softmax__W": np.zeros((3, 4)), "softmax__b": np.zeros(3)}, "softmax of a language model"),
        ({"embedding": np.zeros((3, 4))}, "cached token embeddings"),
        ({"rnn__MultiRNNCell__Cell0__LSTMCell__kernel": np.zeros(3)}, "one direction"),
        ({"something": np.zeros(3)}, "not the weights of an ELMo"),
        ({}, "nothing"),
    ],
)
def test_other_hdf5_files_are_named_for_what_they_are(folder, datasets, message):
    path = write(folder / "weights.hdf5", **datasets)
    with pytest.raises(CheckpointError, match=message):
        load(path)
    with pytest.raises(CheckpointError, match=message):
        load(folder / "options.json", weights=path)


def test_a_web_page_saved_as_weights(folder):
    (folder / "weights.hdf5").write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match="lacks the signature"):
        load(folder / "options.json", weights=folder / "weights.hdf5")


def test_pairs_by_every_name(folder):
    whole = load(folder)
    for given in (folder / "options.json", folder / "weights.hdf5"):
        assert load(given).config == whole.config
    for name in ("options.json", "weights.hdf5"):
        (folder / name).rename(folder / f"elmo_2x6_{name}")
    assert load(folder).config == whole.config
    assert load(folder / "elmo_2x6_options.json").config == whole.config
    assert load(folder / "elmo_2x6_weights.hdf5").config == whole.config
    shutil.copy(folder / "elmo_2x6_weights.hdf5", folder / "other_weights.hdf5")
    with pytest.raises(CheckpointError, match="several files of weights"):
        load(folder)
    (folder / "elmo_2x6_options.json").unlink()
    with pytest.raises(MissingFile, match=r"no options.json"):
        load(folder / "other_weights.hdf5")


def test_compressed_and_half_precision_weights(folder):
    whole = load(folder)
    with h5py.File(folder / "weights.hdf5", "a") as file:
        for name in (CELL + "W_0", "char_embed"):
            array = file[name][()]
            del file[name]
            file.create_dataset(name, data=array, compression="gzip", dtype="f8")
    for name, array in load(folder).tensors.items():
        np.testing.assert_array_equal(array, whole.tensors[name])


def test_softmax_and_vocabulary_beside(folder):
    write(folder / "model_softmax_weights.hdf5", softmax__W=np.ones((3, 4), "f4"), softmax__b=np.zeros(3, "f4"))
    with gzip.open(folder / "vocab.txt.gz", "wt", encoding="utf-8") as file:
        file.write("<S>\n!!!MAXTERMID\n</S>\n\u00a0x\n")
    checkpoint = load(folder)
    assert checkpoint.words == ("<S>", "</S>", "\u00a0x")
    assert checkpoint.softmax.weight.shape == (3, 4)
    (folder / "vocab.txt.gz").write_bytes(gzip.compress(b"<S>\n</S>\n"))
    with pytest.raises(CheckpointError, match="2 words, but the softmax has 3 rows"):
        load(folder)
    (folder / "vocab.txt.gz").write_bytes(gzip.compress(b"<S>\n</S>\nx\n")[:-9])
    with pytest.raises(CheckpointError, match=r"vocab.txt.gz"):
        load(folder)
    (folder / "vocab.txt.gz").unlink()
    write(folder / "model_softmax_weights.hdf5", softmax__W=np.ones((3, 5), "f4"), softmax__b=np.zeros(3, "f4"))
    with pytest.raises(CheckpointError, match=r"softmax has rows of width 5.*projection is 4 wide"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "words", "counts"),
    [
        ("a\t1\nb\t22\n", ("a", "b"), (1, 22)),
        ("a\tb\t1\nc\t2\n", ("a\tb", "c"), (1, 2)),
        ("a\t1\t2\n3\n", ("a\t1\t2", "3"), None),
        ("a\t1\nb\n", ("a\t1", "b"), None),
        ("a\t1\nb\tx\n", ("a\t1", "b\tx"), None),
        ("a\t1\nb\t\n", ("a\t1", "b\t"), None),
        ("a\r\n\nb", ("a", "", "b"), None),
        ("", (), None),
    ],
)
def test_vocabularies_with_and_without_counts(tmp_path, text, words, counts):
    (tmp_path / "vocab.txt").write_bytes(text.encode())
    assert read_words(tmp_path / "vocab.txt") == (words, counts)


def test_links_to_other_files_are_not_followed(folder, tmp_path):
    (tmp_path / "secret").write_bytes(b"s" * 96)
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file[CELL + "B"]
        file.create_dataset(CELL + "B", (24,), "f4", external=[(str(tmp_path / "secret"), 0, 96)])
    with pytest.raises(CheckpointError, match="another file"):
        load(folder)
    write(tmp_path / "other.hdf5", x=np.zeros(24))
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file[CELL + "B"]
        file[CELL + "B"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "x")
    with pytest.raises(CheckpointError, match=r"Cell1/LSTMCell/B \(24,\) is missing"):
        load(folder)


def test_a_small_file_that_promises_gigabytes_is_not_believed(folder):
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file.create_dataset("char_embed", (1 << 30, 1 << 10), "f4", chunks=(1, 1 << 10))
    with pytest.raises(CheckpointError, match="not believed"):
        load(folder)


# Our own format


@pytest.fixture
def native(folder, tmp_path):
    from dataclasses import replace

    P = 4
    checkpoint = replace(
        load(folder),
        layer_mix=LayerMix(weights=(0.1, -2.0, 3.5), gamma=0.7, layer_norm=True),
        words=("<S>", "</S>", "<UNK>", "naïve", "日本"),
        word_counts=(0, 0, 5, 3, 1),
        softmax=Softmax(np.ones((5, P), np.float32), np.arange(5, dtype=np.float32)),
        name="a name",
        metadata={"n_words": 10**12, "sources": ["a", {"b": None}]},
    )
    save(checkpoint, tmp_path / "native")
    return checkpoint, tmp_path / "native"


def test_both_written_formats_keep_everything(native, tmp_path):
    checkpoint, folder = native
    save(checkpoint, tmp_path / "old", format="allennlp")
    for again in (
        load(folder),
        load(tmp_path / "old"),
        load(folder / "config.json"),
        load(folder / "model.safetensors"),
    ):
        for name in ("config", "layer_mix", "words", "word_counts", "name", "metadata"):
            assert getattr(again, name) == getattr(checkpoint, name), name
        np.testing.assert_array_equal(again.softmax.weight, checkpoint.softmax.weight)
        np.testing.assert_array_equal(again.softmax.bias, checkpoint.softmax.bias)


def test_the_softmax_can_be_left_out(native, tmp_path):
    checkpoint, folder = native
    save(checkpoint, tmp_path / "old", format="allennlp")
    for place in (folder, tmp_path / "old"):
        found = load(place, with_softmax=False)
        assert found.softmax is None
        assert found.words == checkpoint.words
        assert found.word_counts == checkpoint.word_counts


@pytest.mark.parametrize(("storage", "tolerance"), [("float32", 0), ("float16", 5e-4), ("int8", 0.5 / 127)])
def test_storages_are_as_exact_as_they_say(native, tmp_path, storage, tolerance):
    checkpoint, _ = native
    save(checkpoint, tmp_path / "stored", storage=storage)
    for name, array in load(tmp_path / "stored").tensors.items():
        original = checkpoint.tensors[name]
        assert array.dtype == np.float32
        bound = np.abs(original) if storage == "float16" else np.abs(original).reshape(len(original), -1).max(1)
        bound = bound if storage == "float16" else bound.reshape(-1, *(1,) * (original.ndim - 1))
        assert (np.abs(array - original) <= tolerance * bound * 1.001 + 1e-7 * (tolerance > 0)).all(), name
    assert not load(tmp_path / "stored").tensors["char_cnn.embedding.weight"][0].any()


def test_storages_are_as_small_as_they_say(tmp_path):
    config = ElmoConfig(char_cnn=None, n_words=1000, projection_width=64)
    tensors = {name: np.ones(shape, np.float32) for name, shape in config.tensor_shapes().items()}
    sizes = []
    for storage in ("float32", "float16", "int8"):
        save(Checkpoint(config, tensors), tmp_path, storage=storage)
        sizes.append((tmp_path / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.51 * sizes[0]
    assert sizes[2] < 0.27 * sizes[0]


def test_made_by_a_newer_elmokit(native):
    _, folder = native
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"format_version": 2, "config": "unknown to us"}))
    with pytest.raises(CheckpointError, match=r"config.json: made by a newer elmokit \(format version 2"):
        load(folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "other"),
        (("format_version",), "1"),
        (("config", "bilstm"), {"n_layers": 1.5}),
        (("config", "bilstm"), 3),
        (("config", "projection_width"), 5),
        (("config", "char_cnn", "filters"), "abc"),
        (("config", "unknown"), 1),
        (("layer_mix",), {"weights": [1.0]}),
        (("layer_mix",), {"weights": "x"}),
        (("metadata",), 7),
    ],
)
def test_configurations_that_are_wrong(native, path, value):
    _, folder = native
    values = json.loads((folder / "config.json").read_text())
    part = values
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ElmoKitError, match=str(folder)):
        load(folder)


def test_weights_of_another_model(native, tmp_path):
    _, folder = native
    make_tiny.make("three_highways", tmp_path / "b")
    save(load(tmp_path / "b"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(CheckpointError, match=r"model.safetensors: not the file that config.json was written with"):
        load(folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if k != "sha256"}))
    with pytest.raises(CheckpointError, match=r"left over|is missing"):
        load(folder)


def test_a_cut_vocabulary_is_told(native):
    _, folder = native
    (folder / "words.txt").write_text("<S>\t1\n")
    with pytest.raises(CheckpointError, match=r"words.txt: not the file"):
        load(folder)


def test_metadata_of_version_0_1_is_read(native):
    checkpoint, folder = native
    values = json.loads((folder / "config.json").read_text())
    values["facts"] = values.pop("metadata")
    (folder / "config.json").write_text(json.dumps(values))
    assert load(folder).metadata == checkpoint.metadata


def test_the_embedded_model_is_a_source_like_others(tmp_path):
    save(load("default"), tmp_path / "copy", storage="float16")
    assert load(tmp_path / "copy").config == load("default").config
    assert detect("default").name == "native"


def test_what_no_storage_holds(native, tmp_path):
    from dataclasses import replace

    checkpoint, _ = native
    tensors = dict(checkpoint.tensors)
    tensors["backward_layers.0.bias"] = np.full(24, 1e6, np.float32)
    with pytest.raises(CheckpointError, match="float16"), np.errstate(over="ignore"):
        save(replace(checkpoint, tensors=tensors), tmp_path / "x", storage="float16")
    with pytest.raises(CheckpointError, match="line"):
        save(replace(checkpoint, words=("<S>", "</S>", "<UNK>", "a\nb", "c")), tmp_path / "x")
    with pytest.raises(CheckpointError, match="surrogate"):
        save(replace(checkpoint, words=("<S>", "</S>", "<UNK>", "\ud800", "c")), tmp_path / "x")
    assert not (tmp_path / "x" / "config.json").exists()


def test_a_checkpoint_checks_itself(native):
    from dataclasses import replace

    checkpoint, _ = native
    tensors = dict(checkpoint.tensors)
    name = "char_cnn.projection.bias"
    for wrong, message in (
        ({name: np.zeros(5, np.float32)}, r"projection.bias has the shape \(5,\).*needs \(4,\)"),
        ({name: np.zeros(4, np.int32)}, "type int32"),
        ({"extra": np.zeros(4)}, r"extra \(4,\) is left over"),
    ):
        with pytest.raises(CheckpointError, match=message):
            replace(checkpoint, tensors=tensors | wrong)
    del tensors[name]
    with pytest.raises(CheckpointError, match=rf"{name} \(4,\) is missing"):
        replace(checkpoint, tensors=tensors)


# Archives


@pytest.mark.parametrize("name", ["a.zip", "best.th"])
def test_a_zip_of_several_disks_is_refused(tmp_path, name):
    path = zip_of(tmp_path / name, zipfile.ZIP_DEFLATED, {"weights.hdf5": b"x"})
    data = path.read_bytes()
    end = data.index(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 2)  # says that there are two disks
    path.write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(CheckpointError, match=rf"{name}: .*multiple disks"):
        load(path)


def tar_of(path, entries):
    with tarfile.open(path, "w:gz") as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_archives_do_not_write_outside(tmp_path, name):
    with pytest.raises(CheckpointError, match="outside its folder"):
        load(zip_of(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, {name: b"x"}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        load(tar_of(tmp_path / "a.tar.gz", [(tarfile.TarInfo(name), b"x")]))
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "a.tar.gz"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_archives_have_no_links_or_devices(tmp_path, kind):
    entry = tarfile.TarInfo("weights.hdf5")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(CheckpointError, match="link or device"):
        load(tar_of(tmp_path / "a.tar.gz", [(entry, b"")]))


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("elmokit.reading._FREE_BYTES", 1 << 20)
    with pytest.raises(CheckpointError, match="bomb"):
        load(zip_of(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, {"weights.hdf5": bytes(4 << 20)}))
    with pytest.raises(CheckpointError, match="bomb"):
        load(tar_of(tmp_path / "a.tar.gz", [(tarfile.TarInfo("weights.hdf5"), bytes(4 << 20))]))


def test_archives_with_one_folder_inside(folder, tmp_path):
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path, "model")
    assert detect(tmp_path / "b.zip").name == "allennlp"
    assert load(tmp_path / "b.zip").config == load(folder).config


def test_archives_of_native_models_outlive_their_folder(native, tmp_path):
    checkpoint, folder = native
    shutil.make_archive(str(tmp_path / "c"), "gztar", folder)
    again = load(tmp_path / "c.tar.gz")
    np.testing.assert_array_equal(again.softmax.weight, checkpoint.softmax.weight)
    for name, array in again.tensors.items():
        np.testing.assert_array_equal(array, checkpoint.tensors[name])


# TensorFlow


def test_training_checkpoints_by_every_name(tmp_path):
    from golden.formats import SAMPLES

    folder = SAMPLES["bilm_tf"].make(tmp_path)
    whole = load(folder)
    assert len(whole.softmax.weight) == 7
    assert whole.metadata["global_step"] == 1234
    for given in (folder / "model.ckpt-1234", folder / "model.ckpt-1234.index"):
        assert load(given).config == whole.config
    (folder / "checkpoint").unlink()
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(folder / f"model.ckpt-1234.{suffix}", folder / f"model.ckpt-999.{suffix}")
    (folder / "model.ckpt-999.index").write_bytes(b"older")
    assert load(folder).config == whole.config
    (folder / "options.json").unlink()
    with pytest.raises(MissingFile, match=r"options.json"):
        load(folder)


def test_a_hub_module_brings_its_layer_mix(tmp_path):
    from golden.formats import SAMPLES

    checkpoint = load(SAMPLES["tfhub"].make(tmp_path))
    np.testing.assert_allclose(checkpoint.layer_mix.weights, (0.3, -0.2, 0.5), rtol=1e-6)
    assert checkpoint.layer_mix.gamma == pytest.approx(1.7)
    assert "skip" in checkpoint.metadata["assumed"]
    assert checkpoint.config.bilstm.skip_connections
