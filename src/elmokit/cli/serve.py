"""`elmokit serve`: the model over HTTP, in the shape of OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def serve(
    ctx: typer.Context,
    db: Annotated[str | None, typer.Option("--db", help="An index for /v1/similar (elmokit index build).")] = None,
    host: Annotated[str, typer.Option(help="The address to bind; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with a model of its own.")] = 1,
    token_file: Annotated[
        str | None, typer.Option(help="A file with the bearer token that clients must send; or set ELMOKIT_TOKEN.")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may ask from a browser; may be given several times.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name that clients call the server by; several times for several. Else any (on loopback: its own)."
        ),
    ] = None,
    batch_ms: Annotated[
        float, typer.Option(help="Milliseconds that a request waits for others to be merged with.")
    ] = 2.0,
    max_bytes: Annotated[int, typer.Option(help="Of a request's body.")] = 4_000_000,
    max_texts: Annotated[int, typer.Option(help="Texts in a request.")] = 2048,
    max_words: Annotated[int, typer.Option(help="Words in a request.")] = 50_000,
    max_requests: Annotated[int, typer.Option(help="Requests in work at a time; more get 429.")] = 256,
    max_waiting_words: Annotated[int, typer.Option(help="Words that wait for the model; more get 429.")] = 200_000,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 60.0,
    model: options.ModelName = "default",
    name: Annotated[
        str | None, typer.Option(help="The name that clients ask for; the model's own if not given.")
    ] = None,
    pooling: options.Pooling = "mean",
    layers: options.Layers = "mix",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
) -> None:
    """Serve vectors over HTTP: OpenAI's clients work with it, http://ADDRESS/v1; the explorer is at /.

    To this machine alone, unless --host says otherwise. SIGTERM or Ctrl-C ends it after all requests are answered.

    Example:  elmokit serve --port 8000
    """
    from elmokit.errors import MissingExtra

    screen: Screen = ctx.obj
    try:
        from elmokit.server import app  # noqa: F401
        from elmokit.server.run import Order, run_server
        from elmokit.server.settings import Settings
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", "the server") from None
    chosen = options.parse_layers(layers)
    settings = Settings(
        model_id=name,
        pooling=pooling,
        layers=chosen,
        normalize=normalize,
        max_bytes=max_bytes,
        max_texts=max_texts,
        max_words=max_words,
        max_requests=max_requests,
        max_waiting_words=max_waiting_words,
        batch_ms=batch_ms,
        timeout_s=timeout,
        token=_token(token_file),
        cors_origins=tuple(cors or ()),
        allowed_hosts=tuple(allow_host or ()),
    )
    run_server(
        Order(model=model, device=device, precision=precision, db=db),
        settings=settings,
        host=host,
        port=port,
        n_workers=workers,
        on_ready=lambda address: screen.say(f"{address}/v1 (Ctrl-C ends it)"),
    )


def _token(path: str | None) -> str | None:
    """The token from its file or the environment: on the command line every user of the machine could read it."""
    import os
    from pathlib import Path

    from elmokit.errors import MissingFile

    if path is None:
        return os.environ.get("ELMOKIT_TOKEN")
    if not Path(path).is_file():
        raise MissingFile(f"{path}: no such file; expected the bearer token in it.")
    return Path(path).read_text(encoding="utf-8").strip()
