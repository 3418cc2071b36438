"""The site builds without a warning and asks nobody for anything; its pages and the notebooks run; pictures draw."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import elmokit

ROOT = Path(__file__).resolve().parent.parent
SOURCES = str(Path(elmokit.__file__).parent.parent)
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    if not (ROOT / "src").is_dir():
        pytest.skip("the source tree is out of reach: the reference is made from it")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(ROOT / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([*command, "-d", str(tmp_path)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(https?:[^\"]+)", text)
        loaded += re.findall(r"<link[^>]+rel=\"(?:stylesheet|preconnect|preload)\"[^>]+href=\"(https?:[^\"]+)", text)
        assert not loaded, f"{page.name}: {loaded}"
    reference = "".join(page.read_text(encoding="utf-8") for page in tmp_path.glob("api/*/index.html"))
    for name in ("Elmo.encode", "TextClassifier.fit", "WordIndex.most_similar", "ElmoConfig.tensor_shapes"):
        assert f"{name}" in reference, name


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": ([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert named == {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_with_the_outputs_that_they_give(path):
    pytest.importorskip("nbclient", reason="the extra docs is not installed")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell["outputs"]) for cell in code) > len(code) / 2
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / "dev" / "run_docs.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pictures_are_drawn_by_code(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "dev" / "draw_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    drawn = {path.name: path for path in tmp_path.glob("*.svg")}
    assert set(drawn) == {path.name for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    for name, path in drawn.items():
        stored = ElementTree.parse(ROOT / "docs" / "pictures" / name)
        texts = [
            [node.text for node in tree.iter() if node.text and node.text.strip()]
            for tree in (stored, ElementTree.parse(path))
        ]
        assert texts[0] == texts[1], f"{name}: run python dev/draw_pictures.py"
