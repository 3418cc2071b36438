"""The tree of commands: one file each, mounted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from elmokit.cli import (
    answer,
    classify,
    clean,
    cluster,
    convert,
    embed,
    examples,
    index,
    info,
    pairs,
    score,
    serve,
    similar,
    summarise,
    tag,
    train,
)
from elmokit.cli.commands import Commands

app = Commands(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Contextual word vectors (ELMo) and what people do with them, offline, with a model inside.",
    epilog="Every command takes --quiet or -q (print results and errors only) and --debug (show tracebacks)."
    " Example: elmokit info",
)


def _version(wanted: bool) -> None:
    if wanted:
        from elmokit import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""
    assert not version, "the callback has printed the version and exited"


for _group, _module in (("classify", classify), ("pairs", pairs), ("tag", tag), ("index", index)):
    app.add_typer(_module.app, name=_group)
_NEED_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "embed": embed.embed,
    "clean": clean.clean,
    "convert": convert.convert,
    "push": convert.push,
    "train": train.train,
    "tune": train.tune,
    "senses": index.senses,
    "shift": index.shift,
    "score": score.score,
    "fill": score.fill,
    "substitutes": score.substitutes,
    "similar": similar.similar,
    "duplicates": similar.duplicates,
    "cluster": cluster.cluster,
    "map": cluster.map_texts,
    "summarise": summarise.summarise,
    "answer": answer.answer,
}
for _name, _command in _NEED_ARGUMENTS.items():
    app.command(_name, no_args_is_help=True)(_command)
for _command in (examples.examples, info.info, serve.explore, serve.serve):
    app.command(_command.__name__)(_command)
app.command("summarize", hidden=True, no_args_is_help=True)(summarise.summarise)  # American spelling
