"""`hf:user/model` and `push`, by huggingface_hub itself against a stand-in of the hub on this machine."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")

from elmokit.checkpoints import fetching, load, save
from elmokit.errors import CheckpointError, MissingFile
from golden import make_tiny

COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub's API that fetching a repository needs."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        files = self.server.files
        path = self.path.partition("?")[0]
        if re.fullmatch(r"/api/models/someone/elmo/revision/\w+", path):
            siblings = [{"rfilename": name} for name in files]
            self.answer(json.dumps({"id": "someone/elmo", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith("/api/models/someone/elmo/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
                for name, x in files.items()
            ]
            self.answer(json.dumps(tree).encode())
        elif (match := re.fullmatch(r"/someone/elmo/resolve/\w+/(.+)", path)) and match[1] in files:
            self.answer(files[match[1]])
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def answer(self, data):
        asked = self.headers.get("Range")
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header(
            "Content-Type", "application/json" if self.path.startswith("/api") else "application/octet-stream"
        )
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            total, data = len(data), data[int(first) : int(last) + 1 if last else None]
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(data) - 1}/{total}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def environment(tmp_path):
    """A running stand-in with a small model, and the environment that leads huggingface_hub to it."""
    make_tiny.make("skip", tmp_path / "made")
    save(load(tmp_path / "made"), tmp_path / "native")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {path.name: path.read_bytes() for path in (tmp_path / "native").iterdir()}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    source = str(Path(fetching.__file__).resolve().parents[2])
    kept |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf")}
    yield kept | {"PYTHONPATH": source, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    server.shutdown()
    thread.join()
    server.server_close()


def run(code, environment):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    return done.stdout.strip(), done.stderr


LOAD = """
from elmokit.checkpoints import load
from elmokit.errors import ElmoKitError
try:
    checkpoint = load({!r})
    print(checkpoint.name, checkpoint.config.bilstm.skip_connections)
except ElmoKitError as error:
    print(type(error).__name__, error)
"""


def test_a_repository_is_fetched_and_then_known(environment):
    out, err = run(LOAD.format("hf:someone/elmo"), environment)
    assert out == "hf:someone/elmo True", err
    out, err = run(
        LOAD.format("hf:someone/elmo"), environment | {"ELMOKIT_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    )
    assert out == "hf:someone/elmo True", err


def test_what_is_not_there(environment):
    out, err = run(LOAD.format("hf:someone/else"), environment)
    assert out.startswith("MissingFile hf:someone/else: can't be fetched"), err
    assert "https://huggingface.co/someone/else" in out
    out, err = run(LOAD.format("hf:someone/else"), environment | {"ELMOKIT_OFFLINE": "1"})
    assert out.startswith("MissingFile hf:someone/else"), err


def test_push_checks_before_it_asks(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="elmokit convert"):
        fetching.push(tmp_path, "someone/elmo")
    make_tiny.make("plain", tmp_path / "made")
    save(load(tmp_path / "made"), tmp_path / "native")
    monkeypatch.setenv("ELMOKIT_OFFLINE", "1")
    with pytest.raises(MissingFile, match="ELMOKIT_OFFLINE"):
        fetching.push(tmp_path / "native", "someone/elmo")


def test_push_makes_the_repository_and_uploads(tmp_path, monkeypatch):
    import huggingface_hub

    make_tiny.make("plain", tmp_path / "made")
    save(load(tmp_path / "made"), tmp_path / "native")
    monkeypatch.delenv("ELMOKIT_OFFLINE", raising=False)
    calls = []
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **kwargs: calls.append(kwargs) or "address")
    assert fetching.push(tmp_path / "native", "someone/elmo", private=True) == "address"
    assert calls[0] == (("someone/elmo",), {"private": True, "exist_ok": True})
    assert calls[1] == {"repo_id": "someone/elmo", "folder_path": str(tmp_path / "native")}

    def refuse(*args, **kwargs):
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token: log in first")

    monkeypatch.setattr(huggingface_hub, "create_repo", refuse)
    with pytest.raises(CheckpointError, match="log in first"):
        fetching.push(tmp_path / "native", "someone/elmo")
