"""The code of the pages about the index runs, from top to bottom."""

import re
import shutil
from pathlib import Path

import pytest

from elmokit.elmo import EMBEDDED

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the embedded model is not here")
@pytest.mark.parametrize("page", ["word-index.md", "senses.md"])
def test_the_pages_code_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    namespace = {}
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert blocks
    for text in blocks:
        exec(compile(text, page, "exec"), namespace)
