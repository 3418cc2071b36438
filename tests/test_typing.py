"""The types as a user's own mypy sees them: the package says that it is typed, and is."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy")

SCRIPT = """\
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit import Checkpoint, Elmo, Encoding, Features, LayerMix
from elmokit.checkpoints import load, save
from elmokit.data.tables import Table

elmo: Elmo = Elmo.load("default")
vectors: NDArray[np.float32] = elmo.encode(["so happy"], Encoding(pooling="max"))
words: Features = elmo.encode_words(["so happy"])
names: list[str] = list(words[0].words)
checkpoint: Checkpoint = load("default", with_softmax=False)
mix: LayerMix = checkpoint.layer_mix
save(checkpoint, Path("copy"), storage="float16")
rows: list[str] = [row.values["tweet"] for row in Table(source="tweets.csv").rows(["tweet"])]
"""


@pytest.mark.slow
def test_mypy_accepts_a_users_script_and_finds_its_mistakes(tmp_path):
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(
        "from elmokit import Elmo\n\nElmo.load(3.5)\nElmo.load().encode_words([1]).nothing\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    right = subprocess.run([*command, "right.py"], cwd=tmp_path, capture_output=True, text=True)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*command, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.stdout.count("error:") >= 2, wrong.stdout
    assert "missing library stubs" not in wrong.stdout
