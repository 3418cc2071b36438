"""`elmokit explore`: a page to look at words in context, in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def explore(
    ctx: typer.Context,
    db: Annotated[str | None, typer.Option("--db", help="An index to look words up in (elmokit index build).")] = None,
    port: Annotated[int | None, typer.Option(help="Of the page; 8765, or any that is free, if not given.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    model: options.ModelName = "default",
) -> None:
    """Open a page to look at words in context: nearest occurrences, a map of senses, word-by-word similarity.

    Served to this machine alone; nothing is sent elsewhere. Ctrl-C ends it.

    Example:  elmokit explore --no-browser
    """
    from elmokit.elmo import Elmo
    from elmokit.errors import MissingExtra

    screen: Screen = ctx.obj
    try:
        from elmokit.server.explorer import run_explorer
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "server", "the explorer") from None
    elmo = Elmo.load(model)
    index = None
    if db is not None:
        from elmokit.index import WordIndex

        index = WordIndex.open(db, elmo=elmo)

    def ready(address: str) -> None:
        screen.say(f"{address} (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    run_explorer(elmo, index, port=port, on_ready=ready)
