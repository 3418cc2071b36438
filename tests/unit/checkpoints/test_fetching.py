"""Models by name and address, against a real HTTP server on this machine that misbehaves as servers do."""

import contextlib
import hashlib
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from elmokit.checkpoints import FORMATS, fetching, load
from elmokit.checkpoints.fetching import CATALOGUE, NOT_STATED, Published, find
from elmokit.errors import CheckpointError, MissingExtra, MissingFile
from golden import make_tiny

ROOT = Path(__file__).resolve().parents[3]


class Server(ThreadingHTTPServer):
    """Serves `files`; `plan` is a list of things to do to the next requests, `log` what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.plan, self.log = {}, [], []
        self.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.log.append(self.path)
        todo = self.server.plan.pop(0) if self.server.plan else "serve"
        path = self.path.removeprefix("http://model.invalid")
        if isinstance(todo, int):
            self.send_error(todo)
            return
        if str(todo).startswith("redirect"):
            self.send_response(302)
            self.send_header("Location", f"{todo.removeprefix('redirect') or self.server.url}{path}")
            self.end_headers()
            return
        if path not in self.server.files:
            self.send_error(404)
            return
        self.serve(self.server.files[path], todo)

    def serve(self, data, todo):
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if todo == "page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        body = data
        if todo == "drip":
            with contextlib.suppress(OSError):  # the client has left
                while body and not self.server.stopped.wait(0.02):
                    self.wfile.write(body[:1])
                    body = body[1:]
            self.close_connection = True
            return
        self.wfile.write(body[: len(body) // 2] if todo == "drop" else body)
        if todo == "drop":
            self.wfile.flush()
            self.connection.close()


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ELMOKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ELMOKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(fetching, "_CHUNK", 1000)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(server, tmp_path, monkeypatch):
    """A published model of two files, known as "tiny"."""
    make_tiny.make("plain", tmp_path / "made")
    files = {}
    for name in ("options.json", "weights.hdf5"):
        server.files[f"/{name}"] = (tmp_path / "made" / name).read_bytes()
        files[name] = f"{server.url}/{name}"
    model = Published(name="tiny", title="tiny", files=files, licence="CC0", tokenizer="characters")
    monkeypatch.setattr("elmokit.checkpoints.fetching.CATALOGUE", (model,))
    return model


def test_a_name_is_fetched_once_and_described(server, model):
    checkpoint = load("tiny")
    assert (checkpoint.name, checkpoint.metadata["licence"], checkpoint.config.tokenizer) == (
        "tiny",
        "CC0",
        "characters",
    )
    assert len(server.log) == 2
    assert load("tiny").config == checkpoint.config
    assert len(server.log) == 2


def test_a_folder_of_that_name_goes_before(server, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_tiny.make("skip", tmp_path / "tiny")
    assert load("tiny").config.bilstm.skip_connections
    assert not server.log


def test_broken_connections_are_tried_again(server, model):
    server.plan = ["serve", "drop", "drop"]
    folder = fetching.fetch("tiny")
    assert (folder / "weights.hdf5").read_bytes() == server.files["/weights.hdf5"]
    assert len(server.log) == 4
    assert {path.name for path in folder.iterdir()} == {"options.json", "weights.hdf5", fetching.MARK, ".lock"}


def test_a_later_run_fetches_what_is_missing(server, model):
    server.plan = ["serve", "drop", 500, 500, 500, 500]
    with pytest.raises(MissingFile, match=r"weights.hdf5: can't be fetched.*500.*by hand"):
        fetching.fetch("tiny")
    assert {path.name for path in (fetching.cache_folder() / "tiny").iterdir()} == {"options.json", ".lock"}
    server.plan.clear()
    server.log.clear()
    assert load("tiny").name == "tiny"
    assert server.log == ["/weights.hdf5"]


@pytest.mark.parametrize("scheme", ["ftp://example.invalid", "file://"])
def test_redirects_to_other_protocols_are_refused(server, model, scheme):
    server.plan = [f"redirect{scheme}"]
    with pytest.raises(CheckpointError, match=r"another protocol"):
        fetching.fetch("tiny")
    assert len(server.log) == 1


def test_what_was_not_verified_is_said(server, model):
    metadata = load("tiny").metadata
    assert metadata["verified"].startswith("not verified")
    assert metadata["sha256"]["weights.hdf5"] == hashlib.sha256(server.files["/weights.hdf5"]).hexdigest()


def test_a_web_page_is_no_model(server, model):
    server.plan = ["page"]
    with pytest.raises(CheckpointError, match=r"options.json: a web page came"):
        fetching.fetch("tiny")


def test_redirects_and_passing_errors(server, model):
    server.plan = ["redirect", "serve", 503, 429]
    assert load("tiny").name == "tiny"


def test_what_is_not_there_is_said_at_once(server, model):
    del server.files["/weights.hdf5"]
    with pytest.raises(MissingFile, match=r"404.*by hand.*weights.hdf5 →"):
        fetching.fetch("tiny")
    assert len(server.log) == 2


def test_an_unreachable_server(server, model, monkeypatch):
    gone = Published(name="gone", title="", files={"options.json": "http://127.0.0.1:9/options.json"})
    monkeypatch.setattr("elmokit.checkpoints.fetching.CATALOGUE", (gone,))
    with pytest.raises(MissingFile, match=r"http://127.0.0.1:9/options.json: can't be fetched.*by hand"):
        fetching.fetch("gone")


def test_offline(server, model, monkeypatch):
    monkeypatch.setenv("ELMOKIT_OFFLINE", "1")
    with pytest.raises(MissingFile, match=r"ELMOKIT_OFFLINE forbids.*options.json"):
        load("tiny")
    monkeypatch.delenv("ELMOKIT_OFFLINE")
    fetching.fetch("tiny")
    monkeypatch.setenv("ELMOKIT_OFFLINE", "1")
    assert load("tiny").name == "tiny"
    assert len(server.log) == 2


def test_a_proxy_from_the_environment(server, model, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    files = {name: f"http://model.invalid/{name}" for name in model.files}
    monkeypatch.setattr("elmokit.checkpoints.fetching.CATALOGUE", (Published(name="far", title="", files=files),))
    assert load("far").name == "far"
    assert server.log[0] == "http://model.invalid/options.json"


def test_an_address_of_an_archive(server, model, tmp_path):
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "made")
    server.files["/models/a.zip"] = (tmp_path / "a.zip").read_bytes()
    url = f"{server.url}/models/a.zip"
    assert load(url).metadata["source"] == url
    assert load(url).name == url
    assert len(server.log) == 1
    for hostile in ("/..", "/%2e%2e/x", "/.hidden"):
        server.files |= dict.fromkeys((hostile, "/", "/x", "/../x"), b"x")  # requests rewrites the dots
        assert fetching.cache_folder() in fetching.fetch(server.url + hostile).resolve().parents


def test_addresses_of_a_pair(server, model):
    pair = [f"{server.url}/{name}" for name in ("options.json", "weights.hdf5")]
    checkpoint = load(pair[0], weights=pair[1])
    assert checkpoint.config.projection_width == 4
    assert load(pair[0], weights=pair[1]).name == pair[0]
    assert len(server.log) == 2


def test_a_download_that_someone_else_runs_is_waited_for(server, model):
    with ThreadPoolExecutor() as pool:
        assert len(set(pool.map(fetching.fetch, ["tiny"] * 6))) == 1
    assert sorted(server.log) == ["/options.json", "/weights.hdf5"]


def test_the_catalogue_is_sound():
    names = [model.name for model in CATALOGUE]
    assert len(set(names)) == len(names)
    for model in CATALOGUE:
        assert all(url.startswith("https://") for url in model.files.values())
    assert find("nlpl:212").files["212.zip"].endswith("/20/212.zip")
    assert find("nlpl:136").files["136.zip"].endswith("/11/136.zip")
    assert find("nlpl:20/144").files["144.zip"].endswith("/20/144.zip")
    assert find("nlpl:x") is None
    with pytest.raises(FileNotFoundError, match=r"orignal: no such.*known as small, medium, original"):
        load("orignal")


def test_the_families_are_sound():
    formats = {form.name for form in FORMATS}
    families = json.loads((ROOT / "dev" / "families.json").read_text("utf-8"))
    for family in families:
        assert family["format"] in formats | {""}
        assert family["seen"]
        source = family["command"].split()[2]
        assert source == "FOLDER" or fetching.is_remote(source), family
    licences = {model.licence for model in CATALOGUE} | {family["licence"] for family in families}
    assert licences == {NOT_STATED, "MIT"}  # add one only with the page that states it


def test_hugging_face_needs_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[hub\]"):
        load("hf:someone/model")


def test_a_download_that_only_drips_is_broken_off_and_tried_again(server, model, monkeypatch):
    monkeypatch.setattr(fetching, "_TIMEOUT", 0.2)
    server.plan = ["drip", "serve"]
    assert load("tiny").name == "tiny"


def test_a_server_that_always_drips_is_given_up(server, model, monkeypatch):
    monkeypatch.setattr(fetching, "_TIMEOUT", 0.1)
    server.plan = ["drip"] * 4
    with pytest.raises(MissingFile, match=r"fewer than 1,000 bytes a second came.*Fetch by hand"):
        load("tiny")
