"""The code of docs/server.md runs, against a real server of the embedded model."""

import re
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the openai client")

from elmokit import Elmo

PAGE = Path(__file__).resolve().parents[3] / "docs" / "server.md"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the page's client is not closed
def test_the_pages_code_runs(served, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    with served(Elmo.load()) as client:
        namespace = {}
        for block in blocks:
            address = str(client.base_url).rstrip("/")
            exec(compile(block.replace("http://127.0.0.1:8000", address), str(PAGE), "exec"), namespace)
        namespace["client"].close()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"2 {Elmo.load().dim} 11"
    assert told[1].startswith("['Stick', 'to', 'it', '.'] [[0, 5], [6, 8]")
