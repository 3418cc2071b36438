"""`elmokit convert` and `elmokit push`: a checkpoint of any format → our format, AllenNLP's, ONNX, or a hub."""

from __future__ import annotations

from pathlib import Path

from elmokit.cli.commands import argument, option
from elmokit.cli.screen import Screen


def convert(
    screen: Screen,
    *,
    source: str = argument("SRC", '"default", a folder, file, archive, published name or address.'),
    target: str = argument("DST", 'A folder; for "onnx" a file.'),
    weights: str | None = option(None, "The weights, where SRC is the options of a pair."),
    format: str = option("native", '"native", "allennlp" or "onnx".'),
    storage: str = option("float32", 'Of native weights: "float32" (exact), "float16" or "int8".'),
) -> None:
    """Read an ELMo of any format and write it in another.

    Read are: AllenNLP and bilm-tf (options.json with HDF5), bilm-tf's training checkpoints, TF-Hub modules,
    ELMoForManyLangs, models that AllenNLP trained, NLPL's zips, SeqVec, and elmokit's own folders.

    Example:  elmokit convert 212.zip norwegian/ --storage float16
    """
    from elmokit import checkpoints

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
    screen: Screen,
    *,
    folder: str = argument("FOLDER", 'What elmokit convert or train wrote, or "default".'),
    repository: str = argument("USER/MODEL", "On the Hugging Face hub."),
    private: bool = option(False, "Make a new repository private.", "--private"),
) -> None:
    """Put a model on the Hugging Face hub, under your own account; load it with --model hf:USER/MODEL.

    Example:  elmokit push norwegian/ me/elmo-norwegian
    """
    from elmokit.checkpoints import EMBEDDED, fetching

    screen.say(fetching.push(EMBEDDED if folder == "default" else Path(folder), repository, private=private))
