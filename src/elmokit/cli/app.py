"""The tree of commands: one file for each kind, mounted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

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


for _group, _app in {"classify": classify.app, "pairs": pairs.app, "tag": tag.app, "index": index.app}.items():
    app.add_typer(_app, name=_group)
_COMMANDS: tuple[Callable[..., Any], ...] = (
    *(embed.embed, clean.clean, convert.convert, convert.push, train.train, train.tune, index.senses, index.shift),
    *(score.score, score.fill, score.substitutes, similar.similar, similar.duplicates, similar.cluster),
    *(similar.map_texts, answer.summarise, answer.answer, convert.examples, info.info, serve.explore, serve.serve),
)
for _command in _COMMANDS:
    app.command("map" if _command is similar.map_texts else _command.__name__)(_command)
app.command("summarize", hidden=True)(answer.summarise)  # American spelling
