"""A tiny model behind a real socket, in a thread of this process."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi", reason="needs the extra server")
httpx = pytest.importorskip("httpx", reason="needs the openai client")

from unit.tiny_models import tiny_elmo  # noqa: E402 -- after the skips


class Gate:
    """Holds a model's computations until it is opened."""

    def __init__(self, elmo):
        self.opened = threading.Event()
        self.computing = threading.Event()
        self.calls = []
        self._encode = elmo.encode
        elmo.encode = self.encode

    def encode(self, texts, **choices):
        texts = list(texts)
        if any(texts):
            self.calls.append(texts)
            self.computing.set()
            assert self.opened.wait(60)
        return self._encode(texts, **choices)


@contextmanager
def _served(elmo, *, index=None, **settings):
    import uvicorn

    from elmokit.server.app import create_app
    from elmokit.server.settings import Settings

    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(elmo, index=index, settings=Settings(**settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def served():
    """Context manager: a client of a server of a model."""
    return _served


@pytest.fixture
def elmo():
    return tiny_elmo()


@pytest.fixture
def held(elmo):
    """The gate of `elmo`, closed; opened at the end, whatever happens."""
    elmo.encode([["warm"]])
    gate = Gate(elmo)
    gate.opened.set()
    yield gate
    gate.opened.set()


@pytest.fixture(scope="module")
def client():
    """A server with the defaults, for questions that leave nothing behind."""
    with _served(tiny_elmo()) as found:
        yield found
