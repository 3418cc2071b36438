"""`elmokit serve` and `elmokit explore`: the model over HTTP, and its page to look at words in context."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

EXPLORER_PORT = 8765

Db = Annotated[str | None, typer.Option("--db", help="Folder of an index (elmokit index build).", metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits of a server, by their names in `elmokit.server.settings.Settings`."""

    batch_ms: Annotated[float, typer.Option(help="Milliseconds that a request waits for others to merge with.")] = 2.0
    max_bytes: Annotated[int, typer.Option(help="Largest body of a request.")] = 4_000_000
    max_texts: Annotated[int, typer.Option(help="Most texts in a request.")] = 2048
    max_words: Annotated[int, typer.Option(help="Most words in a request.")] = 50_000
    max_requests: Annotated[int, typer.Option(help="Most requests in progress; more get 429.")] = 256
    max_waiting_words: Annotated[int, typer.Option(help="Most words waiting for the model; more get 429.")] = 200_000
    max_connections: Annotated[int, typer.Option(help="Most open connections.")] = 1000
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds until a request must be answered.")] = 60.0
    shutdown_s: Annotated[
        float, typer.Option("--grace", help="Seconds that requests have to finish after SIGTERM.")
    ] = 15.0


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may use a server, and where it listens."""

    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 accepts other machines.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to bind; 0 for any free one.")] = 8000
    token_file: Annotated[
        str | None, typer.Option(help="File with the bearer token that clients must send (or set ELMOKIT_TOKEN).")
    ] = None
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may send requests. Repeat for several.")
    ] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name that clients may use. Repeat for several. Default: any; on loopback its own."),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The part of the server's settings that is chosen here."""
        return {
            "token": _token(self.token_file),
            "cors_origins": tuple(self.cors or ()),
            "allowed_hosts": tuple(self.allow_host or ()),
        }


LIMITS, ACCESS = LimitOptions(), AccessOptions()
"""The defaults of the groups."""


def serve(
    ctx: typer.Context,
    db: Db = None,
    access: AccessOptions = ACCESS,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes, each with its own model.")] = 1,
    limits: LimitOptions = LIMITS,
    model: options.ModelOptions = options.MODEL,
    name: Annotated[str | None, typer.Option(help="Name that clients ask for. Default: the model's own.")] = None,
    vectors: options.VectorOptions = options.VECTORS,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
) -> None:
    """Serve vectors over HTTP in the shape of OpenAI's API, at http://ADDRESS/v1; the explorer is at /.

    The server accepts this machine only, unless --host says otherwise. SIGTERM or Ctrl-C ends it after the requests in
    progress.

    Example:  elmokit serve --port 8000
    """
    screen: Screen = ctx.obj
    chosen = {**dataclasses.asdict(limits), **access.settings()}
    _run(
        "the server",
        model,
        db,
        {"model_id": name, "encoding": vectors.encoding(normalize=normalize), **chosen},
        host=access.host,
        port=access.port,
        n_workers=workers,
        on_ready=lambda address: screen.say(f"{address}/v1 (Ctrl-C ends it)"),
    )


def explore(
    ctx: typer.Context,
    db: Db = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: 8765, or any free one if that is taken.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    model: options.ModelOptions = options.MODEL,
) -> None:
    """Open a page to look at words in context: nearest occurrences, a map of senses, word-by-word similarity.

    The page is served to this machine only, and nothing is sent elsewhere. Ctrl-C ends it.

    Example:  elmokit explore --no-browser
    """
    screen: Screen = ctx.obj

    def ready(address: str) -> None:
        screen.say(f"{address}/ (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(f"{address}/")

    chosen_port = EXPLORER_PORT if port is None else port
    _run("the explorer", model, db, {}, port=chosen_port, any_port=port is None, on_ready=ready)


def _run(
    what: str,
    model: options.ModelOptions,
    db: str | None,
    settings: dict[str, Any],
    *,
    on_ready: Callable[[str], None],
    **binding: Any,
) -> None:
    from elmokit.errors import MissingExtra

    try:
        from elmokit.server import app  # noqa: F401
        from elmokit.server.run import ServeConfig, run_server
        from elmokit.server.settings import Settings
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", what) from None
    config = ServeConfig(
        model=model.model, device=model.device, precision=model.precision, n_threads=model.threads, db=db
    )
    run_server(config, Settings(**settings), on_ready=on_ready, **binding)


def _token(path: str | None) -> str | None:
    """The token from its file or the environment; on the command line every user of the machine could read it."""
    import os
    from pathlib import Path

    from elmokit.errors import MissingFile

    if path is None:
        return os.environ.get("ELMOKIT_TOKEN")
    if not Path(path).is_file():
        raise MissingFile(f"{path}: no such file; expected the bearer token in it.")
    return Path(path).read_text(encoding="utf-8").strip()
