"""ELMoForManyLangs, AllenNLP archives and mappings: their variants, and files that are wrong or hostile."""

import json
import pickle
import tarfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from elmokit.checkpoints import load  # noqa: E402
from elmokit.elmo import Elmo  # noqa: E402
from elmokit.errors import CheckpointError, ConfigError, MissingFile  # noqa: E402
from elmokit.nn import BiLM  # noqa: E402
from golden import make_tiny, make_torch  # noqa: E402
from unit.runtime.models import numpy_engine  # noqa: E402


@pytest.mark.parametrize("parts", [{}, {"words": False}, {"characters": False}], ids=["both", "characters", "words"])
def test_manylangs_with_one_table_or_both(tmp_path, parts):
    checkpoint = load(make_torch.make_manylangs(tmp_path / "m", **parts))
    assert (checkpoint.config.char_cnn is None) == (not parts.get("characters", True))
    runtime = numpy_engine(checkpoint.config, checkpoint.tensors, words=checkpoint.words)
    found = dict(runtime.layers(make_torch.SENTENCES))
    for i, vectors in enumerate(make_torch.manylangs_vectors(**parts)):
        if checkpoint.config.char_cnn is None and max(map(len, make_torch.SENTENCES[i])) > 48:
            continue  # the original cuts the word before it is looked up; without characters we look it up whole
        np.testing.assert_allclose(found[i], vectors, atol=2e-6, rtol=0)


def test_manylangs_reads_the_configuration_beside(tmp_path):
    folder = make_torch.make_manylangs(tmp_path / "m")
    options = {
        "encoder": {"name": "elmo", "cell_clip": 5, "proj_clip": 0.5},
        "token_embedder": {"name": "cnn", "activation": "tanh", "max_characters_per_token": 20},
    }
    (folder / "cnn_50_100_512_4096_sample.json").write_text(json.dumps(options))
    config = load(folder).config
    assert (config.bilstm.cell_clip, config.bilstm.projection_clip) == (5.0, 0.5)
    assert (config.char_cnn.activation, config.char_cnn.max_characters) == ("tanh", 20)
    options["encoder"]["name"] = "lstm"
    (folder / "cnn_50_100_512_4096_sample.json").write_text(json.dumps(options))
    with pytest.raises(CheckpointError, match="encoder 'lstm'"):
        load(folder)


def test_manylangs_configuration_path_stays_in_the_folder(tmp_path):
    folder = make_torch.make_manylangs(tmp_path / "m")
    (tmp_path / "outside.json").write_text('{"encoder": {"name": "lstm"}}')
    (folder / "config.json").write_text('{"config_path": "../outside.json"}')
    assert load(folder).config.bilstm.cell_clip == 3.0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("word.dic", "<oov>\t0\n<bos>\t1\n<eos>\t99\n", r"word.dic: '<eos>' has the number 99.*10 rows"),
        ("word.dic", "<oov>\t0\n<bos>\t1\n", r"word.dic: lacks '<eos>'"),
        ("char.dic", "a\nb\n", r"char.dic: expected on each line"),
        ("char.dic", "\udcff\t0\n", r"char.dic: not a UTF-8"),
    ],
)
def test_manylangs_dictionaries_that_do_not_fit(tmp_path, name, text, message):
    folder = make_torch.make_manylangs(tmp_path / "m")
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=message):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(MissingFile, match=name):
        load(folder)


def test_manylangs_dictionaries_keep_words_that_are_spaces(tmp_path):
    checkpoint = load(make_torch.make_manylangs(tmp_path / "m"))
    assert checkpoint.words[-1] == "\u00a0"
    assert checkpoint.config.char_cnn.characters[-3:-1] == ("\u3000", "\u00a0")


def test_manylangs_models_are_not_trained(tmp_path):
    checkpoint = load(make_torch.make_manylangs(tmp_path / "m"))
    with pytest.raises(ConfigError, match="no module to train"):
        BiLM(checkpoint.config)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_manylangs_in_every_precision(tmp_path, precision):
    elmo = Elmo.load(make_torch.make_manylangs(tmp_path / "m"), precision=precision)
    found = elmo.encode_words(make_torch.SENTENCES, layers="each")
    for words, expected in zip(found, make_torch.manylangs_vectors(), strict=True):
        np.testing.assert_allclose(words.vectors, expected, atol=1e-6 if precision == "float64" else 0.05)


def test_manylangs_wrong_shape_is_named(tmp_path):
    folder = make_torch.make_manylangs(tmp_path / "m")
    state = torch.load(folder / "encoder.pkl", weights_only=True)
    state["backward_layer_1.state_projection.weight"] = torch.zeros(4, 7)
    torch.save(state, folder / "encoder.pkl")
    with pytest.raises(CheckpointError, match=r"backward_layer_1.state_projection.weight has the shape \(4, 7\)"):
        load(folder)


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code was run')",))


def test_code_in_a_pickle_is_not_run(tmp_path):
    folder = make_torch.make_manylangs(tmp_path / "m")
    torch.save({"a": _Evil()}, folder / "encoder.pkl")
    with pytest.raises(CheckpointError, match=r"encoder.pkl: not a readable file of tensors"):
        load(folder)
    (folder / "encoder.pkl").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(CheckpointError, match=r"encoder.pkl: not a readable file of tensors"):
        load(folder)


def test_a_tensor_larger_than_its_file_is_not_believed(tmp_path):
    folder = make_torch.make_manylangs(tmp_path / "m")
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, folder / "encoder.pkl")
    with pytest.raises(CheckpointError, match="not believed"):
        load(folder)
    torch.save([1, 2], folder / "encoder.pkl")
    with pytest.raises(CheckpointError, match="no named tensors"):
        load(folder)


def unpack(path, folder):
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_an_archive_gives_its_layer_mix_and_says_what_it_assumed(tmp_path):
    checkpoint = load(make_torch.make_archive(tmp_path))
    np.testing.assert_allclose(checkpoint.layer_mix.weights, (0.0, 0.1, 0.2), rtol=1e-6)
    assert checkpoint.layer_mix.gamma == pytest.approx(1.3)
    assert "assumed" in checkpoint.metadata


def test_options_inside_an_archive_are_used(tmp_path):
    folder = unpack(make_torch.make_archive(tmp_path, variant="plain"), tmp_path / "out")
    assert load(folder).config.bilstm.skip_connections
    (folder / "fta").mkdir()
    (tmp_path / "tmp" / "options.json").rename(folder / "fta" / "model.text_field_embedder.elmo.options_file")
    checkpoint = load(folder)
    assert not checkpoint.config.bilstm.skip_connections
    assert checkpoint.metadata == {}
    make_tiny.make("plain", tmp_path / "plain")
    for name, array in load(tmp_path / "plain").tensors.items():
        np.testing.assert_array_equal(array, checkpoint.tensors[name])


def test_weights_alone_and_what_is_no_elmo(tmp_path):
    folder = unpack(make_torch.make_archive(tmp_path), tmp_path / "out")
    assert load(folder / "weights.th").config == load(folder).config
    torch.save({"encoder.self_attention.weight": torch.zeros(2)}, folder / "weights.th")
    with pytest.raises(CheckpointError, match="transformer"):
        load(folder)
    torch.save({"linear.weight": torch.zeros(2)}, folder / "weights.th")
    with pytest.raises(CheckpointError, match=r"no ELMo among its tensors \(linear.weight"):
        load(folder)
