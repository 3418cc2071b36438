"""Write the HDF5 file of `allennlp elmo`, without PyTorch.

A dataset per line, named by its number from "0" (or by the sentence itself), and `sentence_to_index`, JSON that maps
each sentence, stripped, to its first line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.files import atomic_path, surviving_file

Layers = NDArray[np.float32]
EmbedBatch = Callable[[list[list[str]]], list[Layers]]
FORMATS = ("all", "top", "average")


def write_allennlp_hdf5(
    lines: Iterable[str],
    path: str | Path,
    embed_batch: EmbedBatch,
    *,
    output_format: str = "all",
    batch_size: int = 64,
    forget_sentences: bool = False,
    use_sentence_keys: bool = False,
) -> int:
    """Write "all" layers (L, T, 2P) of each line, the "top" one or the "average" (T, 2P); return how many."""
    import h5py

    if output_format not in FORMATS:
        raise InputError(f"output_format is {output_format!r}; expected 'all', 'top' or 'average'.")
    index: dict[str, str] = {}
    number = 0
    with atomic_path(path) as temporary, surviving_file(temporary) as disk, h5py.File(disk, "w") as file:
        for number, (line, layers) in enumerate(_embedded(lines, embed_batch, batch_size), start=1):
            key = line.replace("/", "\u2215") if use_sentence_keys else str(number - 1)
            if key in file:
                raise InputError(f"line {number}: the sentence {line!r} stands twice and can't be a key twice.")
            file.create_dataset(key, data=_formatted(layers, output_format), dtype="float32")
            index.setdefault(line, key)
        if not forget_sentences and not use_sentence_keys:
            file.create_dataset("sentence_to_index", (1,), dtype=h5py.string_dtype())[0] = json.dumps(index)
    return number


def _embedded(lines: Iterable[str], embed_batch: EmbedBatch, batch_size: int) -> Iterator[tuple[str, Layers]]:
    batch: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"line {number} is blank; AllenNLP's layout has no place for it. Remove blank lines.")
        batch.append(line.strip())  # as AllenNLP does
        if len(batch) == batch_size:
            yield from zip(batch, embed_batch([x.split() for x in batch]), strict=True)
            batch = []
    yield from zip(batch, embed_batch([x.split() for x in batch]), strict=True)


def _formatted(layers: Layers, output_format: str) -> Layers:
    if output_format == "all":
        return layers
    return np.asarray(layers[-1] if output_format == "top" else layers.mean(axis=0))
