"""`elmokit convert`: the command writes what the library would."""

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import detect, load
from golden.formats import SAMPLES


@pytest.mark.parametrize("sample", ["nlpl_zip", "bilm_tf", "manylangs", "tfhub_tar"])
def test_convert_to_our_format(sample, tmp_path, here):
    source = SAMPLES[sample].make(tmp_path / "in")
    done = here("convert", source, tmp_path / "out")
    assert detect(tmp_path / "out").name == "native"
    found, expected = load(tmp_path / "out"), load(source)
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)
    assert str(tmp_path / "out") in done.out


def test_convert_back_smaller_and_to_onnx(tmp_path, here):
    source = SAMPLES["native"].make(tmp_path / "in")
    here("convert", source, tmp_path / "old", "--format", "allennlp")
    assert detect(tmp_path / "old").name == "allennlp"
    here("convert", source, tmp_path / "half", "--storage", "float16")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (source, tmp_path / "half")]
    assert sizes[1] < 0.7 * sizes[0]
    pytest.importorskip("onnx")
    here("convert", source, tmp_path / "model.onnx", "--format", "onnx")
    assert (tmp_path / "model.onnx").stat().st_size > 1000


def test_convert_fits_a_whitening(tmp_path, here):
    source, texts = SAMPLES["native"].make(tmp_path / "in"), tmp_path / "texts.txt"
    texts.write_text("".join(f"text {i} of {i * i} words\n" for i in range(80)), encoding="utf-8")
    here("convert", source, tmp_path / "out", "--whiten", texts)
    expected = Elmo.load(source).fit_whitening(texts.read_text("utf-8").splitlines())
    np.testing.assert_array_equal(load(tmp_path / "out").whitening, expected.whitening)
    texts.write_text("one\n", encoding="utf-8")
    told = here("convert", source, tmp_path / "none", "--whiten", texts, code=1).err
    assert "more texts than the width" in told.replace("\n", " ")
    assert not (tmp_path / "none").exists()


def test_convert_says_what_is_wrong(tmp_path, here):
    source = SAMPLES["manylangs"].make(tmp_path / "in")
    told = here("convert", source, tmp_path / "out", "--format", "allennlp", code=1).err
    assert "write it as 'native'" in told.replace("\n", " ")
    assert "nowhere" in here("convert", tmp_path / "nowhere", tmp_path / "out", code=1).err
    here("convert", source, tmp_path / "out", "--format", "tfhub", code=1)


def test_info_says_what_a_thing_is(tmp_path, here):
    assert "TF-Hub module" in here("info", SAMPLES["tfhub_tar"].make(tmp_path)).out
