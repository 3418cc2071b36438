"""`elmokit serve` and `elmokit explore`: the model over HTTP, and its page to look at words in context."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from elmokit.cli import options
from elmokit.cli.app import option
from elmokit.cli.screen import screen
from elmokit.errors import MissingExtra, MissingFile

EXPLORER_PORT = 8765

Db = Annotated[str | None, Option("--db", help="Folder of an index (elmokit index build).", metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits of a server, by their names in `elmokit.server.settings.Settings`."""

    batch_ms: float = option(2.0, "Milliseconds that a request waits for others to merge with.")
    max_bytes: int = option(4_000_000, "Largest body of a request.")
    max_texts: int = option(2048, "Most texts in a request.")
    max_words: int = option(50_000, "Most words in a request.")
    max_requests: int = option(256, "Most requests in progress; more get 429.")
    max_waiting_words: int = option(200_000, "Most words waiting for the model; more get 429.")
    max_connections: int = option(1000, "Most open connections.")
    timeout_s: float = option(60.0, "Seconds until a request must be answered.", "--timeout")
    shutdown_s: float = option(15.0, "Seconds that requests have to finish after SIGTERM.", "--grace")


def serve(
    *,
    db: Db = None,
    host: str = option("127.0.0.1", "Address to bind; 0.0.0.0 accepts other machines."),
    port: int = option(8000, "Port to bind; 0 for any free one."),
    token_file: str | None = option(None, "File with the bearer token that clients must send (or set ELMOKIT_TOKEN)."),
    cors: list[str] | None = option(None, "Origin whose pages may send requests. Repeat for several."),
    allow_host: list[str] | None = option(None, "Host name that clients may use, or several. On loopback: its own."),
    workers: int = option(1, "Number of processes, each with its own model.", min=1),
    limits: LimitOptions,
    model: options.ModelOptions,
    name: str | None = option(None, "Name that clients ask for. Default: the model's own."),
    vectors: options.VectorOptions,
    normalize: bool = option(False, "Scale vectors to length 1.", "--normalize"),
) -> None:
    """Serve vectors over HTTP in the shape of OpenAI's API, at http://ADDRESS/v1; the explorer is at /.

    The server accepts this machine only, unless --host says otherwise. SIGTERM or Ctrl-C ends it after the requests in
    progress.

    Example:  elmokit serve --port 8000
    """
    settings: dict[str, Any] = {"model_id": name, "encoding": vectors.encoding(normalize=normalize), **vars(limits)}
    settings |= {"token": _token(token_file), "cors_origins": tuple(cors or ())}
    settings |= {"allowed_hosts": tuple(allow_host or ())}

    def ready(address: str) -> None:
        screen.say(f"{address}/v1 (Ctrl-C ends it)")

    _run("the server", model, db, settings, host=host, port=port, n_workers=workers, on_ready=ready)


def explore(
    *,
    db: Db = None,
    port: int | None = option(None, "Port. Default: 8765, or any free one if that is taken."),
    browser: bool = option(True, "Open the page in the browser."),
    model: options.ModelOptions,
) -> None:
    """Open a page to look at words in context: nearest occurrences, a map of senses, word-by-word similarity.

    The page is served to this machine only, and nothing is sent elsewhere. Ctrl-C ends it.

    Example:  elmokit explore --no-browser
    """

    def ready(address: str) -> None:
        screen.say(f"{address}/ (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(f"{address}/")

    binding = {"port": EXPLORER_PORT if port is None else port, "any_port": port is None}
    _run("the explorer", model, db, {}, **binding, on_ready=ready)


def _run(what: str, model: options.ModelOptions, db: str | None, settings: dict[str, Any], **binding: Any) -> None:
    try:
        from elmokit.server import app  # noqa: F401
        from elmokit.server.run import run_server
        from elmokit.server.settings import Settings
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", what) from None
    run_server({"source": model.model, **model.where()}, db, Settings(**settings), **binding)


def _token(path: str | None) -> str | None:
    """The token from its file or the environment; on the command line every user of the machine could read it."""
    if path is None:
        return os.environ.get("ELMOKIT_TOKEN")
    if not Path(path).is_file():
        raise MissingFile(f"{path}: no such file; expected the bearer token in it.")
    return Path(path).read_text(encoding="utf-8").strip()
