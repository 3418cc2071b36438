"""`elmokit convert`: the command writes what the library would."""

import numpy as np
import pytest

from elmokit.checkpoints import detect, load
from elmokit.cli import main
from golden.formats import SAMPLES


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.parametrize("sample", ["nlpl_zip", "bilm_tf", "manylangs", "tfhub_tar"])
def test_convert_to_our_format(sample, tmp_path, capsys):
    source = SAMPLES[sample].make(tmp_path / "in")
    assert run("convert", source, tmp_path / "out") == 0
    assert detect(tmp_path / "out").name == "native"
    found, expected = load(tmp_path / "out"), load(source)
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    assert str(tmp_path / "out") in capsys.readouterr().out


def test_convert_back_smaller_and_to_onnx(tmp_path):
    source = SAMPLES["native"].make(tmp_path / "in")
    assert run("convert", source, tmp_path / "old", "--format", "allennlp") == 0
    assert detect(tmp_path / "old").name == "allennlp"
    assert run("convert", source, tmp_path / "half", "--storage", "float16") == 0
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (source, tmp_path / "half")]
    assert sizes[1] < 0.7 * sizes[0]
    pytest.importorskip("onnx")
    assert run("convert", source, tmp_path / "model.onnx", "--format", "onnx") == 0
    assert (tmp_path / "model.onnx").stat().st_size > 1000


def test_convert_says_what_is_wrong(tmp_path, capsys):
    source = SAMPLES["manylangs"].make(tmp_path / "in")
    assert run("convert", source, tmp_path / "out", "--format", "allennlp") == 1
    assert "write it as 'native'" in capsys.readouterr().err.replace("\n", " ")
    assert run("convert", tmp_path / "nowhere", tmp_path / "out") == 1
    assert "nowhere" in capsys.readouterr().err
    assert run("convert", source, tmp_path / "out", "--format", "tfhub") == 1


def test_info_says_what_a_thing_is(tmp_path, capsys):
    assert run("info", SAMPLES["tfhub_tar"].make(tmp_path)) == 0
    assert "TF-Hub module" in capsys.readouterr().out
