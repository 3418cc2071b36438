"""Old code through the doors, as processes: the tutorial's script, and `elmokit embed --format allennlp-hdf5`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

import elmokit
from elmokit.cli import main
from elmokit.elmo import EMBEDDED, Elmo

ROOT = Path(__file__).resolve().parents[2]
needs_model = pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the embedded model is not here")


@needs_model
def test_the_tutorials_code_runs_with_two_imports_changed():
    pytest.importorskip("sklearn")
    environment = os.environ | {"PYTHONPATH": str(Path(elmokit.__file__).parents[1]), "ELMOKIT_OFFLINE": "1"}
    script = ROOT / "examples" / "tutorial_two_imports.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    shape, score = done.stdout.splitlines()
    assert shape.startswith("(1, 8, ")
    assert float(score.removeprefix("F1 ")) > 0.5


@needs_model
def test_embed_in_allennlps_layout(tmp_path, capsys):
    (tmp_path / "texts.csv").write_text('id,tweet\n1,"Stick to it ."\n2,Ça va !\n', encoding="utf-8")
    line = ["embed", str(tmp_path / "texts.csv"), "--column", "tweet", "--format", "allennlp-hdf5", "--all"]
    with pytest.raises(SystemExit) as ended:
        main([*line, "--output", str(tmp_path / "out.hdf5")])
    assert ended.value.code == 0, capsys.readouterr().err
    expected = Elmo.load().encode_words([["Stick", "to", "it", "."], ["Ça", "va", "!"]], layers="each")
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert json.loads(file["sentence_to_index"][0]) == {"Stick to it .": "0", "Ça va !": "1"}
        for i in range(2):
            assert (file[str(i)][()] == expected[i].vectors).all()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--format", "allennlp-hdf5"], "needs exactly one of --all, --top, --average"),
        (["--format", "allennlp-hdf5", "--all", "--top"], "needs exactly one of"),
        (["--top"], "--format allennlp-hdf5 needs exactly one of"),
    ],
)
def test_allennlps_flags_belong_together(flags, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["embed", str(tmp_path / "texts.txt"), "--output", str(tmp_path / "out.hdf5"), *flags])
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
