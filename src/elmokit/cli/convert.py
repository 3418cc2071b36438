"""`elmokit convert` and `elmokit push`: a checkpoint of any format → our format, AllenNLP's, ONNX, or a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen


def convert(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SRC", help='"default", a folder, file, archive, published name or address.')
    ],
    target: Annotated[str, typer.Argument(metavar="DST", help='A folder; for "onnx" a file.')],
    weights: Annotated[str | None, typer.Option(help="The weights, where SRC is the options of a pair.")] = None,
    format: Annotated[str, typer.Option("--format", help='"native", "allennlp" or "onnx".')] = "native",
    storage: Annotated[
        str, typer.Option(help='Of native weights: "float32" (exact), "float16" or "int8".')
    ] = "float32",
) -> None:
    """Read an ELMo of any format and write it in another.

    Read are: AllenNLP and bilm-tf (options.json with HDF5), bilm-tf's training checkpoints, TF-Hub modules,
    ELMoForManyLangs, models that AllenNLP trained, NLPL's zips, SeqVec, and elmokit's own folders.

    Example:  elmokit convert 212.zip norwegian/ --storage float16
    """
    from elmokit import checkpoints

    screen: Screen = ctx.obj
    if weights is None:
        screen.note(f"{source}: {checkpoints.detect(source).title}")
    checkpoint = checkpoints.load(source, weights=weights)
    if "verified" in checkpoint.metadata:
        screen.note(f"{source}: {checkpoint.metadata['verified']}")
    if format == "onnx":
        from elmokit.integrations.onnx import export_onnx

        export_onnx(checkpoint, target)
    else:
        checkpoints.save(checkpoint, target, format=format, storage=storage)  # type: ignore[arg-type]
    screen.done(f"{target}: {checkpoint.config.n_params:,} parameters")


def push(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(help='What elmokit convert or train wrote, or "default".')],
    repository: Annotated[str, typer.Argument(metavar="USER/MODEL", help="On the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Put a model on the Hugging Face hub, under your own account; load it with --model hf:USER/MODEL.

    Example:  elmokit push norwegian/ me/elmo-norwegian
    """
    from elmokit.checkpoints import EMBEDDED, fetching

    screen: Screen = ctx.obj
    screen.say(fetching.push(EMBEDDED if folder == "default" else Path(folder), repository, private=private))
