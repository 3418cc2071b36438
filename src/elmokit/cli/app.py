"""The tree of commands: one module for each kind, imported when a command of it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

import elmokit
from elmokit.cli.commands import Commands

_GROUPS = ("classify", "pairs", "tag", "index")
_COMMANDS = {
    "embed": "embed",
    "clean": "clean",
    "convert": "convert",
    "push": "convert",
    "examples": "convert",
    "train": "train",
    "tune": "train",
    "senses": "index",
    "shift": "index",
    "score": "score",
    "fill": "score",
    "substitutes": "score",
    "similar": "similar",
    "duplicates": "similar",
    "cluster": "similar",
    "map": "similar",
    "summarise": "answer",
    "summarize": "answer",
    "answer": "answer",
    "info": "info",
    "explore": "serve",
    "serve": "serve",
}
"""Commands and their modules."""
_FUNCTIONS = {"map": "map_texts", "summarize": "summarise"}  # where a function has another name; American spelling


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(elmokit.__version__)
        raise typer.Exit


_Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


def everywhere(version: _Version = False) -> None:
    """Options of the program itself."""
    assert not version, "the callback has printed the version and exited"


def build(arguments: Sequence[str] = ()) -> Commands:
    """Build the app with the command that `arguments` begin with; with all commands if they begin with none.

    Declaring a command costs more than parsing it, so the others are left out.
    """
    app = Commands(
        "Contextual word vectors (ELMo) and what people do with them, offline, with a model inside.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Every command takes --quiet or -q (print results and errors only) and --debug (show tracebacks)."
        " Example: elmokit info",
    )
    app.callback()(everywhere)
    first = arguments[0] if arguments else ""
    known = first in _GROUPS or first in _COMMANDS
    for name in [first] if known else [*_GROUPS, *_COMMANDS]:
        if name in _GROUPS:
            app.add_typer(import_module(f"elmokit.cli.{name}").app, name=name)
        else:
            command = getattr(import_module(f"elmokit.cli.{_COMMANDS[name]}"), _FUNCTIONS.get(name, name))
            app.command(name, hidden=name == "summarize")(command)
    return app
