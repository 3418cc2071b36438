"""bilm-tf: `Batcher`, `TokenBatcher`, `BidirectionalLanguageModel`, `weight_layers`, `dump_…`, on PyTorch and NumPy.

Change `from bilm import …` to `from elmokit.compat.bilm import …`. What took placeholders takes and gives arrays. LSTM
states start from zeros with every call unless `stateful=True`, which carries them as the original did. A vocabulary
without "<S>" and "</S>" is refused where they are needed. Files are UTF-8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.compat.sentences import checked_sentences
from elmokit.errors import CheckpointError, InputError, needing
from elmokit.hdf5 import hdf5_file, read_arrays
from elmokit.runtime import Engine
from elmokit.text.vocab import MAXTERMID, read_words

with needing("PyTorch", "torch", "bilm-tf's calls"):
    import torch

from elmokit.compat.allennlp import ScalarMix, batch_to_ids, with_boundaries
from elmokit.nn.bilm import BiLM, TowerState


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
    """Sentences → word ids with boundaries, for models of words or cached token embeddings.

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

    `options_file` and `weight_file` are a pair, or the first is anything that `elmokit.checkpoints.load` reads.
    use_character_inputs=False is for word ids, with the `embedding_weight_file` that `dump_token_embeddings` wrote or a
    model of words. `stateful` carries LSTM states from call to call; `max_batch_size` is accepted for old code.
    """

    def __init__(
        self,
        options_file: str | Path,
        weight_file: str | Path | None = None,
        use_character_inputs: bool = True,
        embedding_weight_file: str | Path | None = None,
        max_batch_size: int = 128,
        *,
        stateful: bool = False,
    ) -> None:
        checkpoint = checkpoints.load(options_file, weights=weight_file)
        if embedding_weight_file is not None and not use_character_inputs:
            checkpoint = _with_token_embeddings(checkpoint, Path(embedding_weight_file))
        if (checkpoint.config.char_cnn is not None) != use_character_inputs:
            raise CheckpointError(
                f"{options_file}: use_character_inputs={use_character_inputs}, but the model reads"
                f" {'characters' if checkpoint.config.char_cnn else 'words'}; for word ids give embedding_weight_file."
            )
        self.bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors).eval()
        self.stateful = stateful
        self._states: tuple[TowerState, TowerState] | None = None

    def __call__(self, ids: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Return the layers of ids that `Batcher` or `TokenBatcher` gives.

        `lm_embeddings` (B, L, T, 2P), zero behind each sentence; `lengths` (B,); `mask` (B, T); `token_embeddings` (B,
        T + 2, P).
        """
        rows = torch.as_tensor(np.asarray(ids, dtype=np.int64))
        if self._states is not None and (n_rows := self._states[0].hidden.shape[1]) != len(rows):
            raise InputError(f"stateful: batches must stay of one size ({n_rows} so far).")
        with torch.no_grad():
            layers = self.bilm(rows, self._states)
            tokens = self.bilm.embed(rows)
        if self.stateful:
            self._states = layers.states
        return {
            "lm_embeddings": layers.vectors.permute(1, 0, 2, 3).numpy(),
            "lengths": layers.mask.sum(dim=1).numpy(),
            "mask": layers.mask.numpy(),
            "token_embeddings": tokens.numpy(),
        }


def _with_token_embeddings(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """The model with the token vectors that `dump_token_embeddings` wrote in place of its character CNN."""
    arrays, P = read_arrays(path, dtype="f4"), checkpoint.config.projection_width
    table = arrays.get("embedding")
    if table is None or len(arrays) > 1 or table.ndim != 2 or table.shape[1] != P:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise CheckpointError(
            f"{path}: expected one dataset, embedding (words, {P}), made with this model; got {shapes}."
        )
    config = replace(checkpoint.config, char_cnn=None, n_words=len(table) + 1, word_width=0, word_table=0)
    own = dict(checkpoint.tensors) | {"word_embedding.weight": np.pad(table, ((1, 0), (0, 0)))}
    tensors = {name: own[name] for name in config.tensor_shapes()}
    return replace(checkpoint, config=config, tensors=tensors, words=None, word_counts=None, softmax=None)


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

    Example:
        >>> ops = {"lm_embeddings": np.ones((1, 3, 2, 4)), "mask": np.ones((1, 2), bool)}
        >>> weight_layers("input", ops, l2_coef=0.5, weights=[1.0, 0.0, 1.0])["regularization_op"]
        1.0
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


def dump_token_embeddings(
    vocab_file: str | Path, options_file: str | Path, weight_file: str | Path | None, outfile: str | Path
) -> None:
    """Write the token vectors of a vocabulary, a word a line, to HDF5: dataset "embedding" of shape (V, P)."""
    words, _ = read_words(Path(vocab_file), skip=(MAXTERMID,))
    checkpoint = checkpoints.load(options_file, weights=weight_file)
    if checkpoint.config.char_cnn is None:
        raise CheckpointError(f"{options_file}: a model of words has its token vectors in its own table.")
    bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors).eval()
    C = checkpoint.config.char_cnn.max_characters
    vectors = np.zeros((len(words), checkpoint.config.projection_width), np.float32)
    with torch.no_grad():
        for start in range(0, len(words), 1024):
            ids = batch_to_ids([[word] for word in words[start : start + 1024]], max_characters=C)[:, 0]
            vectors[start : start + 1024] = bilm.embed(ids).numpy()
    with hdf5_file(outfile) as file:
        file.create_dataset("embedding", data=vectors)
