"""What a release promises of files: those that an earlier version wrote are read, hostile ones are refused.

`tests/data/make_data.py` made the files. `dev/check_release.py` checks the rest of a release (wheel, licences, size):
here is what it goes by, and what the workflows call.
"""

import importlib.util
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from elmokit import Elmo, reading
from elmokit.checkpoints import archives, load
from elmokit.checkpoints.native import FORMAT_VERSION
from elmokit.errors import ElmoKitError, MissingExtra

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SENTENCES = [["The", "cat", "sat", "."], ["naïve", "日本語", "🙂", "x" * 60], ["again"], []]
PLACE = {".json": "config.json", ".safetensors": "model.safetensors", ".txt": "words.txt"}


def test_every_format_version_has_its_stored_models():
    assert sorted(path.name for path in DATA.glob("native_v*")) == [f"native_v{i + 1}" for i in range(FORMAT_VERSION)]


@pytest.mark.parametrize("folder", sorted(DATA.glob("native_v*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_models_of_earlier_versions_give_the_vectors_they_gave(folder):
    elmo = Elmo.load(folder)
    with np.load(folder / "vectors.npz", allow_pickle=False) as stored:
        np.testing.assert_allclose(elmo.encode(SENTENCES), stored["texts"], rtol=1e-5, atol=1e-6)
        for i, found in enumerate(elmo.encode_words(SENTENCES, layers="each")):
            np.testing.assert_allclose(found.vectors, stored[f"layers_{i}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("folder", sorted(DATA.glob("native_v*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_models_of_earlier_versions_keep_their_words_and_facts(folder):
    checkpoint = load(folder)
    assert checkpoint.words == ("<S>", "</S>", "<UNK>", "the", "cat", "sat")
    assert checkpoint.word_counts == (9, 9, 1, 5, 3, 2)
    assert checkpoint.softmax is not None
    assert checkpoint.softmax.weight.shape == (6, 6)
    assert checkpoint.layer_mix.weights == (0.5, -0.25, 1.0)
    assert checkpoint.layer_mix.gamma == 1.5
    assert (checkpoint.name, dict(checkpoint.metadata)) == ("stored", {"made_by": "0.1.0"})


def refused(source, tmp_path, monkeypatch):
    """`load` and `Elmo.load` raise one of our errors, warn of nothing, and run nothing."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.parent.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ElmoKitError) as caught:
            Elmo.load(load(source) and source)
    assert len(str(caught.value)) < 2000
    assert not (tmp_path / "it-ran").exists()
    assert not Path("/tmp/it-ran").exists()
    assert sorted(tmp_path.parent.iterdir()) == before
    if isinstance(caught.value, MissingExtra):
        pytest.skip(str(caught.value))


@pytest.mark.parametrize("part", sorted((DATA / "hostile" / "parts").iterdir()), ids=lambda p: p.name)
def test_a_model_with_a_hostile_part_is_refused(part, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(DATA / "native_v1" / "float32", folder)
    shutil.copyfile(part, folder / PLACE[part.suffix])
    refused(folder, tmp_path, monkeypatch)


WHOLE = sorted((DATA / "hostile" / "whole").iterdir())


@pytest.mark.parametrize("source", WHOLE, ids=lambda p: p.name)
def test_hostile_files_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_FREE_BYTES", 1 << 20)  # the true bounds take seconds to reach: next test
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 100)
    refused(source, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["archive-bomb.zip", "archive-many.tar.xz"])
def test_bombs_are_refused_at_the_true_bounds(name, tmp_path, monkeypatch):
    refused(DATA / "hostile" / "whole" / name, tmp_path, monkeypatch)


def check_release():
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "dev" / "check_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_has_no_place_in_a_wheel_is_seen():
    good = ["elmokit/__init__.py", "elmokit/server/page/app.js", "elmokit-0.1.0.dist-info/RECORD"]
    bad = ["tests/test_elmo.py", "elmokit/__pycache__/a.pyc", "elmokit/model.pkl", "elmokit_extra/a.py"]
    assert check_release().strange_files(good + bad) == bad


def test_what_was_vendored_is_seen():
    files = {
        "elmokit/own.js": b"export const a = 1;",
        "elmokit/d3.min.js": b"/*! @license BSD */",
        "elmokit/a.js": b"//# sourceMappingURL=a.js.map",
        "elmokit/six.py": b"# Copyright (c) 2010-2024 Benjamin Peterson",
        "elmokit-0.1.0.dist-info/licenses/LICENSE": b"Copyright (c)",
    }
    assert check_release().foreign_files(files) == ["elmokit/d3.min.js", "elmokit/a.js", "elmokit/six.py"]


def test_nothing_in_the_package_is_vendored():
    package = Path(load.__globals__["__file__"]).parent.parent
    files = {str(path): path.read_bytes() for path in package.rglob("*") if path.suffix in check_release().KINDS - {""}}
    assert len(files) > 100
    assert not check_release().foreign_files(files)


def test_the_start_page_is_read_block_by_block():
    commands = check_release().start_page(ROOT / "docs" / "index.md")
    assert [command[0] for command in commands] == ["python", "bash", "bash"]
    assert not any("pip install" in command[-1] for command in commands)


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.skipif(not WORKFLOWS, reason="the workflows are not beside the tests here")
def test_workflows_are_pinned_bounded_and_call_what_is_there():
    yaml = pytest.importorskip("yaml")
    assert {path.stem for path in WORKFLOWS} == {"audit", "ci", "docs", "release", "wheels"}
    for path in WORKFLOWS:
        flow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert flow["permissions"] == {"contents": "read"}, path.name
        for name, job in flow["jobs"].items():
            assert job["timeout-minutes"] <= 60, name
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step
                for file in re.findall(r"(?:dev|\.ci|examples|src)/[\w./]+\w", step.get("run", "")):
                    assert (ROOT / file).exists(), file


@pytest.mark.skipif(not WORKFLOWS, reason="the workflows are not beside the tests here")
def test_every_python_that_we_name_is_tested_by_the_workflows():
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tested = re.findall(r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(tested)
