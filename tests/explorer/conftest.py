"""A served explorer, and a real Chromium to look at it with."""

import shutil
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.index import Occurrence

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def served(elmo, index=None):
    """The address of a server with nothing but the explorer, in a thread of this process."""
    pytest.importorskip("fastapi", reason="needs the extra server")
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra server")
    from elmokit.server.explorer import explorer_app

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(explorer_app(elmo, index), log_level="warning", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="package")
def elmo():
    return Elmo.load()


@pytest.fixture(scope="package")
def address(elmo):
    with served(elmo) as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    """A browser, or a skip; of module scope, since Playwright runs an event loop that others must not meet."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install --no-install-recommends chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra test)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class StandIn:
    """An index of a few sentences with the methods that the explorer calls; `elmokit.index` has tests of its own."""

    texts = ("He read the news this morning.", "Could you read it to me?", "Nobody was there.")

    def __init__(self, elmo):
        self.found = elmo.encode_words(self.texts, layers="mix")

    def about(self):
        return {"model": "as here", "layers": "mix", "occurrences": sum(map(len, self.found)), "sentences": 3}

    def vector(self, word, context, *, position):
        assert context[position] == word
        (text,) = Elmo.load().encode_words([context], layers="mix")
        return text.vectors[position]

    def search(self, vector, *, k):
        return sorted(self._all(vector), key=lambda one: -one.similarity)[:k]

    def occurrences(self, word, *, limit):
        return [one for one in self._all(None) if one.word == word.lower()][:limit]

    def _all(self, vector):
        for i, text in enumerate(self.found):
            for word, (start, end), own in zip(text.words, text.offsets.tolist(), text.vectors, strict=True):
                similarity = (
                    1.0 if vector is None else float(own @ vector / np.linalg.norm(own) / np.linalg.norm(vector))
                )
                yield Occurrence(word.lower(), self.texts[i], start, end, "news.txt", i + 1, i, similarity)


@pytest.fixture(scope="package")
def indexed(elmo):
    with served(elmo, StandIn(elmo)) as found:
        yield found
