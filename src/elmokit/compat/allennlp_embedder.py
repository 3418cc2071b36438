"""AllenNLP's `ElmoEmbedder` and the HDF5 file of `allennlp elmo`. PyTorch is needed for `batch_to_embeddings` alone.

The file has a dataset per line, named by its number from "0" (or by the sentence itself), and `sentence_to_index`, JSON
that maps each sentence, stripped, to its first line.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.compat.sentences import checked_sentences
from elmokit.elmo import Elmo as _Elmo
from elmokit.errors import InputError
from elmokit.features import Features
from elmokit.hdf5 import hdf5_file
from elmokit.runtime import State

Layers = NDArray[np.float32]
EmbedBatch = Callable[[list[list[str]]], list[Layers]]


class ElmoEmbedder:
    """AllenNLP's `ElmoEmbedder`: lists of words → NumPy arrays, on our NumPy runtime.

    Without `options_file` the original model is fetched; without `weight_file`, `options_file` is anything that
    `Elmo.load` reads. `cuda_device` is -1 for the CPU or the number of a GPU (PyTorch). `stateful` carries LSTM states
    from batch to batch, as the original.

    Example:
        ``ElmoEmbedder("options.json", "weights.hdf5").embed_sentence(["A", "word"]).shape``
    """

    def __init__(
        self,
        options_file: str | Path | None = None,
        weight_file: str | Path | None = None,
        cuda_device: int = -1,
        *,
        stateful: bool = False,
    ) -> None:
        device = "auto" if cuda_device < 0 else f"cuda:{cuda_device}"
        source = "original" if options_file is None else options_file
        self.elmo = _Elmo.load(source, weights=weight_file, device=device)
        self.stateful = stateful
        self._state: State | None = None

    def embed_sentence(self, sentence: Sequence[str]) -> NDArray[np.float32]:
        """Return the layers of one sentence of T words. Shape (L, T, 2P)."""
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """Return the layers of each sentence of a batch. Shapes (L, T, 2P)."""
        return [words.vectors for words in self._features(batch)]

    def _features(self, batch: Sequence[Sequence[str]]) -> Features:
        sentences = checked_sentences(batch, "batch")
        if not self.stateful:
            return self.elmo.encode_words(sentences, layers="each", show_progress=False)
        features, self._state = self.elmo.step(sentences, self._state)
        return features

    def embed_sentences(
        self, sentences: Iterable[Sequence[str]], batch_size: int = 64
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the layers of any number of sentences, in order. Shapes (L, T, 2P)."""
        for batch in blocks(sentences, batch_size):
            yield from self.embed_batch(batch)

    def batch_to_embeddings(self, batch: Sequence[Sequence[str]]) -> tuple[Any, Any]:
        """Return layers (B, L, T, 2P), zero behind each sentence, and the mask of real words (B, T), as tensors."""
        import torch

        vectors, mask = self._features(batch).to_padded()
        return torch.from_numpy(np.asarray(vectors, dtype=np.float32)), torch.from_numpy(mask)

    def embed_file(
        self,
        input_file: Iterable[str],
        output_file_path: str | Path,
        output_format: Literal["all", "top", "average"] = "all",
        batch_size: int = 64,
        forget_sentences: bool = False,
        use_sentence_keys: bool = False,
    ) -> None:
        """Write the vectors of lines, for instance of an open file, to HDF5 (see `write_allennlp_hdf5`)."""
        keys = {"forget_sentences": forget_sentences, "use_sentence_keys": use_sentence_keys}
        options: dict[str, Any] = {"output_format": output_format, "batch_size": batch_size, **keys}
        write_allennlp_hdf5(input_file, output_file_path, self.embed_batch, **options)


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
    choose = {"all": lambda layers: layers, "top": lambda layers: layers[-1], "average": lambda layers: layers.mean(0)}
    if output_format not in choose:
        raise InputError(f"output_format is {output_format!r}; expected 'all', 'top' or 'average'.")
    index: dict[str, str] = {}
    number = 0
    with hdf5_file(path) as file:
        for number, (line, layers) in enumerate(_embedded(lines, embed_batch, batch_size), start=1):
            key = line.replace("/", "\u2215") if use_sentence_keys else str(number - 1)
            if key in file:
                raise InputError(f"line {number}: the sentence {line!r} stands twice and can't be a key twice.")
            file.create_dataset(key, data=choose[output_format](layers), dtype="float32")
            index.setdefault(line, key)
        if not forget_sentences and not use_sentence_keys:
            file["sentence_to_index"] = [json.dumps(index)]
    return number


def _embedded(lines: Iterable[str], embed_batch: EmbedBatch, batch_size: int) -> Iterator[tuple[str, Layers]]:
    stripped = (line.strip() for line in lines)  # as AllenNLP does
    for k, batch in enumerate(blocks(stripped, batch_size)):
        if "" in batch:
            number = k * batch_size + batch.index("") + 1
            raise InputError(f"line {number} is blank; AllenNLP's layout has no place for it. Remove blank lines.")
        yield from zip(batch, embed_batch([line.split() for line in batch]), strict=True)
