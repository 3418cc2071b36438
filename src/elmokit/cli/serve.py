"""`elmokit serve`: the model over HTTP, in the shape of OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def serve(
    ctx: typer.Context,
    db: Annotated[str | None, typer.Option("--db", help="Folder of an index for /v1/similar.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to bind; 0 for any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes, each with its own model.")] = 1,
    token_file: Annotated[
        str | None, typer.Option(help="File with the bearer token that clients must send (or set ELMOKIT_TOKEN).")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may send requests. Repeat for several.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name that clients may use. Repeat for several. Default: any; on loopback its own."),
    ] = None,
    batch_ms: Annotated[float, typer.Option(help="Milliseconds that a request waits for others to merge with.")] = 2.0,
    max_bytes: Annotated[int, typer.Option(help="Largest body of a request.")] = 4_000_000,
    max_texts: Annotated[int, typer.Option(help="Most texts in a request.")] = 2048,
    max_words: Annotated[int, typer.Option(help="Most words in a request.")] = 50_000,
    max_requests: Annotated[int, typer.Option(help="Most requests in progress; more get 429.")] = 256,
    max_waiting_words: Annotated[int, typer.Option(help="Most words waiting for the model; more get 429.")] = 200_000,
    max_connections: Annotated[int, typer.Option(help="Most open connections.")] = 1000,
    timeout: Annotated[float, typer.Option(help="Seconds until a request must be answered.")] = 60.0,
    grace: Annotated[float, typer.Option(help="Seconds that requests have to finish after SIGTERM.")] = 15.0,
    model: options.ModelName = "default",
    name: Annotated[str | None, typer.Option(help="Name that clients ask for. Default: the model's own.")] = None,
    pooling: options.Pooling = "mean",
    layers: options.Layers = "mix",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
) -> None:
    """Serve vectors over HTTP in the shape of OpenAI's API, at http://ADDRESS/v1; the explorer is at /.

    The server accepts this machine only, unless --host says otherwise. SIGTERM or Ctrl-C ends it after the requests in
    progress.

    Example:  elmokit serve --port 8000
    """
    from elmokit.encoding import Encoding
    from elmokit.errors import MissingExtra

    screen: Screen = ctx.obj
    try:
        from elmokit.server import app  # noqa: F401
        from elmokit.server.run import ServeConfig, run_server
        from elmokit.server.settings import Settings
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", "the server") from None
    chosen = {"pooling": pooling, "layers": options.parse_layers(layers), "normalize": normalize}
    settings = Settings(
        model_id=name,
        encoding=Encoding.from_dict(chosen),
        max_bytes=max_bytes,
        max_texts=max_texts,
        max_words=max_words,
        max_requests=max_requests,
        max_waiting_words=max_waiting_words,
        max_connections=max_connections,
        batch_ms=batch_ms,
        timeout_s=timeout,
        shutdown_s=grace,
        token=_token(token_file),
        cors_origins=tuple(cors or ()),
        allowed_hosts=tuple(allow_host or ()),
    )
    run_server(
        ServeConfig(model=model, device=device, precision=precision, db=db),
        settings,
        host=host,
        port=port,
        n_workers=workers,
        on_ready=lambda address: screen.say(f"{address}/v1 (Ctrl-C ends it)"),
    )


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
