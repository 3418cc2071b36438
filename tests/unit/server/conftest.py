"""A tiny model behind a real socket, in a thread of this process, as `elmokit serve` would start it."""

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

    def encode(self, texts, *arguments, **choices):
        texts = list(texts)
        if any(texts):
            self.calls.append(texts)
            self.computing.set()
            assert self.opened.wait(60)
        return self._encode(texts, *arguments, **choices)


@contextmanager
def _served(elmo, *, index=None, **settings):
    import uvicorn

    from elmokit.server.app import create_app
    from elmokit.server.run import uvicorn_options
    from elmokit.server.settings import Settings

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chosen = Settings(**settings)
    app = create_app(elmo, index=index, settings=chosen)
    server = uvicorn.Server(uvicorn.Config(app, **{**uvicorn_options(chosen), "log_level": "critical"}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            client.service, client.state = app.state.service, server.server_state
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
    """The gate of `elmo`, opened at the end, whatever happens."""
    elmo.encode([["warm"]])
    gate = Gate(elmo)
    gate.opened.set()
    yield gate
    gate.opened.set()


@pytest.fixture(scope="module")
def client():
    """A server with the defaults, for questions that leave nothing behind."""
    with _served(tiny_elmo()) as opened:
        yield opened
