"""The tree of commands: one file each, mounted here."""

from __future__ import annotations

from typing import Annotated

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


app.command("embed", no_args_is_help=True)(embed.embed)
app.command("examples")(examples.examples)
app.command("clean", no_args_is_help=True)(clean.clean)
app.command("info")(info.info)
app.command("convert", no_args_is_help=True)(convert.convert)
app.command("push", no_args_is_help=True)(convert.push)
app.add_typer(classify.app, name="classify")
app.add_typer(pairs.app, name="pairs")
app.add_typer(tag.app, name="tag")
app.command("train", no_args_is_help=True)(train.train)
app.command("tune", no_args_is_help=True)(train.tune)
app.command("explore")(serve.explore)
app.command("serve")(serve.serve)
app.add_typer(index.app, name="index")
app.command("senses", no_args_is_help=True)(index.senses)
app.command("shift", no_args_is_help=True)(index.shift)
app.command("score", no_args_is_help=True)(score.score)
app.command("fill", no_args_is_help=True)(score.fill)
app.command("substitutes", no_args_is_help=True)(score.substitutes)
app.command("similar", no_args_is_help=True)(similar.similar)
app.command("duplicates", no_args_is_help=True)(similar.duplicates)
app.command("cluster", no_args_is_help=True)(cluster.cluster)
app.command("map", no_args_is_help=True)(cluster.map_texts)
app.command("summarise", no_args_is_help=True)(summarise.summarise)
app.command("summarize", hidden=True, no_args_is_help=True)(summarise.summarise)  # American spelling
app.command("answer", no_args_is_help=True)(answer.answer)
