"""The precision "auto": decided by what the machine has, said, and the same vectors as asking for it by name."""

import sys

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.runtime import backends as precision


@pytest.mark.parametrize(
    ("torch", "bfloat16", "chosen"), [(True, True, "bfloat16"), (True, False, "float32"), (False, True, "float32")]
)
def test_auto_without_compiled_loops_asks_processor_and_pytorch(monkeypatch, torch, bfloat16, chosen):
    monkeypatch.setattr(precision, "native_precisions", lambda: ("float32",))
    monkeypatch.setattr(precision, "find_spec", lambda name: object() if torch else None)
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: bfloat16)
    name, reason = precision.choose_precision("auto")
    assert name == chosen
    assert ("PyTorch" in reason) == (not torch)


def test_auto_with_compiled_loops_needs_no_pytorch(monkeypatch):
    monkeypatch.setattr(precision, "native_precisions", lambda: ("float32", "bfloat16"))
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    assert precision.choose_precision("auto")[0] == "bfloat16"
    name, reason = precision.choose_precision("cuda")
    assert name == "float32"
    assert "PyTorch" in reason


def test_a_gpu_that_is_not_there_is_not_trusted():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert precision.choose_precision("cuda")[0] == "float32"


def test_auto_gives_the_vectors_of_what_it_picked(monkeypatch):
    monkeypatch.setattr("elmokit.model.choose_precision", lambda device: ("float32", "for this test"))
    automatic = Elmo.load(precision="auto")
    assert automatic.precision == "float32"
    assert np.array_equal(automatic.encode(["one text"]), Elmo.load().encode(["one text"]))


def test_choosing_does_not_import_torch():
    import subprocess

    code = "import sys, elmokit.runtime.backends as p; p.choose_precision(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
