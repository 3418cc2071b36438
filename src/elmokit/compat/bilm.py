"""bilm-tf: its batchers, `BidirectionalLanguageModel`, `weight_layers`, `dump_bilm_embeddings`, on PyTorch and NumPy.

Change `from bilm import …` to `from elmokit.compat.bilm import …`. What took placeholders takes and gives arrays. LSTM
states start from zeros with every call. Files are UTF-8.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.compat.sentences import checked_sentences
from elmokit.errors import CheckpointError, InputError, needing
from elmokit.hdf5 import hdf5_file
from elmokit.runtime import Engine
from elmokit.text.vocab import MAXTERMID, read_words

with needing("PyTorch", "torch", "bilm-tf's calls"):
    import torch

from elmokit.compat.allennlp import ScalarMix, batch_to_ids, with_boundaries
from elmokit.nn.bilm import BiLM


class Batcher:
    """Sentences → character ids with boundary rows; the vocabulary is accepted for old code, None will do.

    Example:
        >>> Batcher(None, 50).batch_sentences([["a", "b"], ["c"]]).shape
        (2, 4, 50)
    """

    def __init__(self, lm_vocab_file: str | Path | None, max_token_length: int) -> None:
        self.max_token_length = max_token_length

    def batch_sentences(self, sentences: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Return character ids, shifted by one, zeros behind each sentence. Shape (B, T + 2, C)."""
        return np.asarray(with_boundaries(batch_to_ids(sentences, max_characters=self.max_token_length)))


class TokenBatcher:
    """Sentences → word ids with boundaries, for models of words.

    The vocabulary has a word a line; without "<S>", "</S>" and "<UNK>" it raises `InputError`.
    """

    def __init__(self, lm_vocab_file: str | Path) -> None:
        words, _ = read_words(Path(lm_vocab_file), skip=(MAXTERMID,))
        self._ids = {word: i for i, word in enumerate(words, start=1)}
        for mark in ("<S>", "</S>", "<UNK>"):
            if mark not in self._ids:
                raise InputError(f"{lm_vocab_file}: lacks {mark!r}; word ids need <S>, </S> and <UNK>.")

    def batch_sentences(self, sentences: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """Return word ids, shifted by one, zeros behind each sentence. Shape (B, T + 2)."""
        checked = checked_sentences(sentences)
        rows = np.zeros((len(checked), max(map(len, checked), default=0) + 2), dtype=np.int64)
        unknown = self._ids["<UNK>"]
        for row, words in zip(rows, checked, strict=True):
            ids = [self._ids.get(word, unknown) for word in words]
            row[: len(ids) + 2] = [self._ids["<S>"], *ids, self._ids["</S>"]]
        return rows


class BidirectionalLanguageModel:
    """The biLM: ids → layers.

    Without `weight_file`, `options_file` is anything that `elmokit.checkpoints.load` reads. use_character_inputs=False
    is for word ids and a model of words; `max_batch_size` is accepted for old code.
    """

    def __init__(
        self,
        options_file: str | Path,
        weight_file: str | Path | None = None,
        use_character_inputs: bool = True,
        *,
        max_batch_size: int = 128,
    ) -> None:
        checkpoint = checkpoints.load(options_file, weights=weight_file)
        if (checkpoint.config.char_cnn is not None) != use_character_inputs:
            kind = "characters" if checkpoint.config.char_cnn else "words"
            raise CheckpointError(
                f"{options_file}: use_character_inputs={use_character_inputs}, but the model reads {kind}."
            )
        self.bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors).eval()

    def __call__(self, ids: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Return the layers of ids that `Batcher` or `TokenBatcher` gives.

        `lm_embeddings` (B, L, T, 2P), zero behind each sentence; `lengths` (B,); `mask` (B, T); `token_embeddings` (B,
        T + 2, P).
        """
        rows = torch.as_tensor(np.asarray(ids, dtype=np.int64))
        with torch.no_grad():
            layers, tokens = self.bilm(rows), self.bilm.embed(rows)
        return {
            "lm_embeddings": layers.vectors.permute(1, 0, 2, 3).numpy(),
            "lengths": layers.mask.sum(dim=1).numpy(),
            "mask": layers.mask.numpy(),
            "token_embeddings": tokens.numpy(),
        }


def weight_layers(
    name: str,
    bilm_ops: Mapping[str, NDArray[Any]],
    l2_coef: float | None = None,
    use_top_only: bool = False,
    do_layer_norm: bool = False,
    *,
    weights: Sequence[float] | None = None,
    gamma: float = 1.0,
) -> dict[str, Any]:
    """Return a weighted sum of layers, `weighted_op` (B, T, 2P), and `regularization_op`, a number.

    `weights`, one per layer before the softmax, are zeros by default; to learn them, use
    `elmokit.compat.allennlp.Elmo`. `do_layer_norm` normalises each layer over all real words of the batch.
    """
    layers, mask = np.asarray(bilm_ops["lm_embeddings"]), np.asarray(bilm_ops["mask"], dtype=bool)
    if use_top_only:
        return {"weighted_op": gamma * layers[:, -1], "regularization_op": 0.0}
    mix = ScalarMix(layers.shape[1], do_layer_norm=do_layer_norm, initial=weights)
    with torch.no_grad():
        mixed = gamma * mix(torch.from_numpy(layers.swapaxes(0, 1)), torch.from_numpy(mask))
    penalty = (l2_coef or 0.0) * float(np.square(weights or 0.0).sum())
    return {"weighted_op": mixed.numpy(), "regularization_op": penalty}


def dump_bilm_embeddings(
    vocab_file: str | Path | None,
    dataset_file: str | Path,
    options_file: str | Path,
    weight_file: str | Path | None,
    outfile: str | Path,
) -> None:
    """Write all layers of a file's sentences to HDF5: dataset "0", "1", … of shape (L, T, 2P).

    The file has a sentence a line, white space between words, UTF-8; `vocab_file` is accepted for old code.
    """
    checkpoint = checkpoints.load(options_file, weights=weight_file)
    engine = Engine(checkpoint.config, checkpoint.tensors, words=checkpoint.words)
    with Path(dataset_file).open(encoding="utf-8") as lines:  # not str.splitlines, which splits at U+2028 and others
        sentences = [line.split() for line in lines]
    with hdf5_file(outfile) as file:
        for i, layers in engine.layers(sentences):
            file.create_dataset(str(i), data=layers, dtype="float32")
