"""The tree of commands: one file for each kind, mounted here."""

from __future__ import annotations

from typing import Annotated

import typer

import elmokit
from elmokit.cli import answer, classify, clean, convert, embed, index, info, pairs, score, serve, similar, tag, train
from elmokit.cli.commands import Commands

app = Commands(
    "Contextual word vectors (ELMo) and what people do with them, offline, with a model inside.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command takes --quiet or -q (print results and errors only) and --debug (show tracebacks)."
    " Example: elmokit info",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(elmokit.__version__)
        raise typer.Exit


_Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


@app.callback()
def everywhere(version: _Version = False) -> None:
    """Options of the program itself."""
    assert not version, "the callback has printed the version and exited"


for _group in (classify, pairs, tag, index):
    app.add_typer(_group.app, name=_group.__name__.rpartition(".")[2])
_COMMANDS = {
    embed: ("embed",),
    clean: ("clean",),
    convert: ("convert", "push", "examples"),
    train: ("train", "tune"),
    index: ("senses", "shift"),
    score: ("score", "fill", "substitutes"),
    similar: ("similar", "duplicates", "cluster"),
    answer: ("summarise", "answer"),
    info: ("info",),
    serve: ("explore", "serve"),
}
for _module, _names in _COMMANDS.items():
    for _name in _names:
        app.command(_name)(getattr(_module, _name))
app.command("map")(similar.map_texts)
app.command("summarize", hidden=True)(answer.summarise)  # American spelling
