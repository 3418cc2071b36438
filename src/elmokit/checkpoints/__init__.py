"""Read and write ELMo checkpoints of every format, which is one entry of `FORMATS` and one file.

`detect` names the format, `load` reads it (and fetches published models by name), `save` writes it. Reading never runs
code from a file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from elmokit.checkpoints import allennlp, fetching, manylangs, native, tensorflow, torch_file
from elmokit.checkpoints.archives import is_archive, unpacked
from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format, Softmax, Storage, digest_of
from elmokit.checkpoints.native import EMBEDDED, recorded_sums
from elmokit.errors import CheckpointError, ConfigError, MissingFile
from elmokit.files import make_folder
from elmokit.reading import printable, reading

__all__ = ["EMBEDDED", "FORMATS", "Checkpoint", "Format", "Softmax", "detect", "digest_of", "load", "recorded_sums"]
__all__ += ["save"]

FORMATS: tuple[Format, ...] = (native.FORMAT, manylangs.FORMAT, tensorflow.HUB, tensorflow.TRAINING)
FORMATS += (allennlp.FORMAT, torch_file.FORMAT)
"""All formats, in the order in which they are tried."""


def detect(source: str | Path, *, weights: str | Path | None = None) -> Format:
    """Find out which format a file or folder is in; the arguments and errors are those of `load`."""
    with _opened(source, weights) as thing:
        return _detect(thing)


def load(source: str | Path, *, weights: str | Path | None = None, with_softmax: bool = True) -> Checkpoint:
    """Read a checkpoint of any format, as float32.

    Args:
        source: "default" (the model in the package), a folder, an archive, a file, or the options of a pair; where no
            file of that name exists, the name of a published model ("original", "nlpl:144"), an http(s) address, or
            "hf:user/model".
        weights: the weights of a pair.
        with_softmax: whether the language model's softmax is read where there is one; encoding needs none.

    Raises:
        MissingFile: no such file or folder.
        CheckpointError: no known format, damaged, weights that are NaN or infinite, or files that do not fit together.

    Example:
        >>> load("default").config.dim
        768
    """
    with _opened(source, weights) as thing:
        try:
            with reading(thing.path, what="checkpoint"):
                checkpoint = _check_finite(_detect(thing).read(replace(thing, with_softmax=with_softmax)))
        except (ConfigError, CheckpointError) as error:  # those of parts that do not fit name no file
            named = any(str(place) in str(error) for place in (thing.folder, thing.weights or thing.folder))
            raise CheckpointError(str(error) if named else f"{thing.path}: {error}") from error
    return fetching.described(checkpoint, str(source)) if _is_remote(source) else checkpoint


def save(checkpoint: Checkpoint, folder: str | Path, *, format: str = "native", storage: Storage = "float32") -> None:
    """Write a checkpoint into a folder, which is created where it is missing; files of other names stay.

    Args:
        checkpoint, folder: what to write where.
        format: "native" or "allennlp".
        storage: of the native format: "float32" (exact), "float16" or "int8".

    Raises:
        CheckpointError: unknown format, or one that can only be read; weights that are NaN or infinite.
        OutputError: the folder can't be created or written.
    """
    writers = {form.name: form.write for form in FORMATS if form.write is not None}
    _check_finite(checkpoint)
    if format not in writers:
        known = ", ".join(map(repr, writers))
        raise CheckpointError(f"format is {format!r}; a checkpoint can be written as {known}.")
    if storage != "float32" and format != "native":
        raise CheckpointError(f"storage {storage!r} belongs to the native format; {format!r} is always float32.")
    writers[format](checkpoint, make_folder(folder), storage)


@contextmanager
def _opened(source: str | Path, weights: str | Path | None) -> Iterator[CheckpointFiles]:
    """Find the files of a source; unpack an archive."""
    path = _local(source)
    if not path.exists() and path.with_name(path.name + ".index").is_file():
        path = path.with_name(path.name + ".index")  # TensorFlow's users name a checkpoint without the ending
    second = None if weights is None else _local(weights)
    for place in (path, second):
        if place is not None and not place.exists():
            known = ", ".join(model.name for model in fetching.CATALOGUE)
            hint = "" if place.parent != Path() else f" Published models are known as {known} and nlpl:NUMBER."
            raise MissingFile(f"{printable(str(place))}: no such file or folder.{hint}")
    if path.is_file() and second is None and is_archive(path):
        with unpacked(path) as folder:
            yield CheckpointFiles(folder)
    else:
        yield CheckpointFiles(path, second)


def _check_finite(checkpoint: Checkpoint) -> Checkpoint:
    arrays = dict(checkpoint.arrays)
    if checkpoint.softmax is not None:
        arrays |= {"softmax.weight": checkpoint.softmax.weight, "softmax.bias": checkpoint.softmax.bias}
    with np.errstate(over="ignore", invalid="ignore"):
        for name, array in arrays.items():
            # one NaN or infinity shows in the sum, which takes half the time of looking at each number
            if not np.isfinite(array.sum(dtype=np.float32)) and not np.isfinite(array).all():
                raise CheckpointError(f"{name} holds NaN or infinite numbers; the file is damaged or diverged.")
    return checkpoint


def _local(source: str | Path) -> Path:
    if source == "default":
        if not EMBEDDED.is_dir():
            raise MissingFile(
                f"{EMBEDDED}: this installation of elmokit came without its embedded model. Install a released wheel,"
                " or name a model of your own."
            )
        return EMBEDDED
    with reading(str(source), what="path"):
        return fetching.fetch(str(source)) if _is_remote(source) else Path(source).expanduser()


def _is_remote(source: str | Path) -> bool:
    """Tell whether a source is a name or address, and no file has that name."""
    with reading(str(source), what="path"):
        is_name = isinstance(source, str) and source != "default" and not Path(source).exists()
        return is_name and fetching.is_remote(str(source))


def _detect(source: CheckpointFiles) -> Format:
    for form in FORMATS:
        if form.recognise(source):
            return form
    if source.path.is_file():
        raise CheckpointError(f"{source.path}: not a checkpoint of any known format.")
    names = sorted(path.name for path in source.path.iterdir())
    listed = ", ".join(map(printable, names[:8])) + (" …" if len(names) > 8 else "") if names else "nothing"
    raise CheckpointError(f"{source.path}: no checkpoint of a known format lies in this folder (it has: {listed}).")
