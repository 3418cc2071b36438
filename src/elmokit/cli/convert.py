"""`elmokit convert`, `push` and `examples`: models in another format or on a hub, and the sample files in a folder."""

from pathlib import Path

import elmokit
from elmokit.cli.app import argument, option
from elmokit.cli.screen import screen
from elmokit.errors import MissingFile
from elmokit.files import atomic_path, make_folder

SUFFIXES = (".csv", ".conll", ".ipynb", ".txt", ".py")


def convert(
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


def examples(*, folder: str = argument("FOLDER", "Folder to write to.", "examples")) -> None:
    """Copy the sample files of the documentation to a folder; existing files are not replaced.

    Example:  elmokit examples
    """
    package, target = Path(elmokit.__file__).parent, Path(folder)
    places = (package / "examples", package.parent.parent / "examples")  # in the package, or in a source checkout
    source = next((place for place in places if (place / "product_tweets.csv").is_file()), None)
    if source is None:
        raise MissingFile(f"{places[0]}: no sample files in this installation.")
    for path in sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES):
        copy = target / path.relative_to(source)
        if copy.exists():
            screen.note(f"{copy} exists already")
            continue
        make_folder(copy.parent)
        with atomic_path(copy) as temporary:
            temporary.write_bytes(path.read_bytes())
        screen.say(str(copy))
