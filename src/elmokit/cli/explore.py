"""`elmokit explore`: a page to look at words in context, in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

PORT = 8765


def explore(
    ctx: typer.Context,
    db: Annotated[str | None, typer.Option("--db", help="Folder of an index (elmokit index build).")] = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: 8765, or any free one if that is taken.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    model: options.ModelName = "default",
) -> None:
    """Open a page to look at words in context: nearest occurrences, a map of senses, word-by-word similarity.

    The page is served to this machine only, and nothing is sent elsewhere. Ctrl-C ends it.

    Example:  elmokit explore --no-browser
    """
    from elmokit.errors import MissingExtra

    screen: Screen = ctx.obj
    try:
        from elmokit.server import app  # noqa: F401
        from elmokit.server.run import ServeConfig, run_server
        from elmokit.server.settings import Settings
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", "the explorer") from None

    def ready(address: str) -> None:
        screen.say(f"{address}/ (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(f"{address}/")

    run_server(
        ServeConfig(model=model, db=db),
        Settings(),
        port=PORT if port is None else port,
        any_port=port is None,
        on_ready=ready,
    )
