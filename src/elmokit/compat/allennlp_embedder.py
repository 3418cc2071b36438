"""AllenNLP's `ElmoEmbedder`, on our own runtimes. PyTorch is needed for `batch_to_embeddings` alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.compat.allennlp_file import write_allennlp_hdf5
from elmokit.compat.sentences import checked_sentences
from elmokit.elmo import Elmo as _Elmo
from elmokit.runtime import State


class ElmoEmbedder:
    """AllenNLP's `ElmoEmbedder`: lists of words → NumPy arrays, on our NumPy runtime.

    Args:
        options_file: options, or anything else that `elmokit.Elmo.load` reads; None for the original model, which is
            fetched.
        weight_file: the weights that belong to the options.
        cuda_device: -1 for the CPU, else the number of a GPU (PyTorch).
        stateful: whether LSTM states go from batch to batch, as in the original.

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
        if weight_file is None:
            self.elmo = _Elmo.load(source, device=device)
        else:
            self.elmo = _Elmo.load(options=source, weights=weight_file, device=device)
        self.stateful = stateful
        self._state: State | None = None

    def embed_sentence(self, sentence: Sequence[str]) -> NDArray[np.float32]:
        """Return the layers of one sentence of T words. Shape (L, T, 2P)."""
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """Return the layers of each sentence of a batch. Shapes (L, T, 2P)."""
        sentences = checked_sentences(batch, "batch")
        if self.stateful:
            features, self._state = self.elmo.step(sentences, self._state)
        else:
            features = self.elmo.encode_words(sentences, layers="each", show_progress=False)
        return [words.vectors for words in features]

    def embed_sentences(
        self, sentences: Iterable[Sequence[str]], batch_size: int = 64
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the layers of any number of sentences, in order. Shapes (L, T, 2P)."""
        batch: list[Sequence[str]] = []
        for sentence in sentences:
            batch.append(sentence)
            if len(batch) == batch_size:
                yield from self.embed_batch(batch)
                batch = []
        if batch:
            yield from self.embed_batch(batch)

    def batch_to_embeddings(self, batch: Sequence[Sequence[str]]) -> tuple[Any, Any]:
        """Return layers (B, L, T, 2P), zero behind each sentence, and the mask of real words (B, T), as tensors."""
        import torch

        vectors_of_batch = self.embed_batch(batch)
        longest = max(map(len, batch), default=0)
        layers = torch.zeros(len(batch), self.elmo.n_layers, longest, self.elmo.dim)
        mask = torch.zeros(len(batch), longest, dtype=torch.bool)
        for row, vectors in enumerate(vectors_of_batch):
            layers[row, :, : vectors.shape[1]] = torch.from_numpy(np.asarray(vectors, dtype=np.float32))
            mask[row, : vectors.shape[1]] = True
        return layers, mask

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
        write_allennlp_hdf5(
            input_file,
            output_file_path,
            self.embed_batch,
            output_format=output_format,
            batch_size=batch_size,
            forget_sentences=forget_sentences,
            use_sentence_keys=use_sentence_keys,
        )
