"""A served explorer, and a real Chromium to look at it with."""

import shutil
from contextlib import contextmanager

import pytest

from elmokit import Elmo
from elmokit.index import WordIndex
from local_server import running

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
    """The address of a server, in a thread of this process."""
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason="needs the extra server")
    with running(elmo, index=index) as (address, _, _):
        yield address


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


NEWS = ("He read the news this morning.", "Could you read it to me?", "Nobody was there.")


@pytest.fixture(scope="package")
def indexed(elmo, tmp_path_factory):
    pytest.importorskip("lancedb", reason="needs the extra index")
    index = WordIndex.create(tmp_path_factory.mktemp("explorer") / "news.index", elmo, words="all")
    index.add(NEWS, document="news.txt")
    with served(elmo, index) as found:
        yield found
