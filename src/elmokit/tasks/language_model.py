"""A biLM as the language model it was trained to be: which word stands here, told from the left and from the right.

The forward direction has read all words before a place, the backward direction all words after it, and one softmax
turns either into chances of every word of the vocabulary. Runs in NumPy on the runtime that `Elmo.encode` uses, so no
PyTorch is needed; texts start from a zero state, as everywhere in this package. The cost is the softmax: 2·V·P
operations per word and direction (19 million for 30,000 words of width 320), in blocks of rows, so that memory does
not grow with the text. Source: Peters et al. 2018, §3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.elmo import EMBEDDED
from elmokit.errors import CheckpointError
from elmokit.runtime import make_runtime
from elmokit.runtime.pooling import mix_layers
from elmokit.runtime.threads import Workers
from elmokit.text.inputs import Text, checked_words
from elmokit.text.tokens import get_tokenizer
from elmokit.text.vocab import Vocabulary

Array = NDArray[Any]

_BLOCK_ROWS = 64
"""Places whose chances one thread computes at a time: with 30,000 words 8 MB."""


@dataclass(frozen=True, eq=False)
class Contexts:
    """What both directions know at each of the T + 1 gaps of a text of T words: before, between and after them.

    Args:
        forward: at gap i, all words before it are read: tells word i, and at the last gap the end. Shape (T + 1, P).
        backward: at gap i, all words after it are read: tells word i − 1, and at gap 0 the begin. Shape (T + 1, P).
    """

    forward: Array
    backward: Array


class LanguageModel:
    """Chances of words, from a checkpoint that kept its softmax.

    Args:
        checkpoint: a model with softmax and words, as training writes it.
        n_threads: threads to compute on; None for one per core.

    Raises:
        CheckpointError: a model without softmax (published weights come without it) or without its words.

    Example:
        >>> from elmokit.checkpoints import Softmax
        >>> from elmokit.config import BiLSTMConfig, ElmoConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=5, bilstm=BiLSTMConfig(cell_width=8))
        >>> tensors = {name: np.full(shape, 0.1, np.float32) for name, shape in config.tensor_shapes().items()}
        >>> softmax = Softmax(np.zeros((4, 4)), np.log([0.1, 0.2, 0.3, 0.4]))
        >>> model = LanguageModel(Checkpoint(config, tensors, words=("<S>", "</S>", "<UNK>", "cat"), softmax=softmax))
        >>> contexts = next(model.contexts([["a", "cat"]]))
        >>> contexts.forward.shape
        (3, 4)
        >>> np.exp(model.log_probabilities(contexts.forward[:1])).round(2).tolist()
        [[0.1, 0.2, 0.3, 0.4]]
    """

    def __init__(self, checkpoint: Checkpoint, *, n_threads: int | None = None) -> None:
        if checkpoint.softmax is None or checkpoint.words is None:
            raise CheckpointError(
                f"{checkpoint.name or 'this model'} has no softmax with its words, so it predicts nothing; expected a"
                " checkpoint as training writes it (published ones come without)."
            )
        self.config, self.name = checkpoint.config, checkpoint.name
        self.layer_mix = checkpoint.layer_mix
        self.vocabulary = Vocabulary(checkpoint.words, checkpoint.word_counts)
        self._tokenize = get_tokenizer(checkpoint.config.tokenizer)
        self._runtime = make_runtime(checkpoint.config, checkpoint.tensors, words=checkpoint.words, n_threads=n_threads)
        self._weight = np.ascontiguousarray(np.asarray(checkpoint.softmax.weight, np.float32).T)
        self._bias = np.asarray(checkpoint.softmax.bias, np.float32)
        self._workers = Workers(n_threads)

    @classmethod
    def load(cls, source: str | Path = "default", *, n_threads: int | None = None) -> LanguageModel:
        """Read a model with its softmax.

        Args:
            source: "default" for the model in the package, else a checkpoint of any format.
            n_threads: see `LanguageModel`.

        Returns:
            the model.

        Raises:
            MissingFile: no such file or folder.
            CheckpointError: not a checkpoint, or one without softmax.
        """
        place = EMBEDDED if source == "default" else source
        return cls(checkpoints.load(place), n_threads=n_threads)

    def words_of(self, text: Text, place: int = 0) -> list[str]:
        """A text as the model reads it.

        Args:
            text: a string, which the model's tokenizer cuts, or a list of words.
            place: its index among the texts, for the error.

        Returns:
            its words.

        Raises:
            TextError: neither a string nor a list of words.
        """
        if isinstance(text, str):
            return [token.word for token in self._tokenize(text)]
        return checked_words(text, place)

    def contexts(self, sentences: Sequence[Sequence[str]]) -> Iterator[Contexts]:
        """What both directions know at every gap.

        Args:
            sentences: lists of words; held in memory together.

        Yields:
            the contexts of each, in order.
        """
        begin, end = self._boundary_outputs()
        P = self.config.projection_width
        found: dict[int, Contexts] = {}
        for i, layers in self._runtime.layers(sentences):
            top = layers[-1]
            found[i] = Contexts(np.vstack([begin, top[:, :P]]), np.vstack([top[:, P:], end]))
        for i in range(len(sentences)):
            yield found.pop(i)

    def word_vectors(self, sentences: Sequence[Sequence[str]]) -> list[Array]:
        """The model's mix of its layers for each word.

        Args:
            sentences: lists of words.

        Returns:
            of each, its vectors. Shape (T, 2P).
        """
        found = {i: mix_layers(layers, self.layer_mix) for i, layers in self._runtime.layers(sentences)}
        return [np.array(found[i]) for i in range(len(sentences))]

    def log_probabilities(self, contexts: Array) -> Array:
        """Chances of all words; for a few places at a time, since a row is as long as the vocabulary.

        Args:
            contexts: rows of one direction. Shape (n, P).

        Returns:
            natural logarithms. Shape (n, V).
        """
        logits = contexts @ self._weight + self._bias
        return np.asarray(logits - _log_sum_exp(logits)[:, None])

    def log_likelihoods(self, contexts: Array, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """The chance of one word at each place, in bounded memory.

        Args:
            contexts: rows of one direction. Shape (n, P).
            ids: the vocabulary id of the word at each. Shape (n,).

        Returns:
            natural logarithms. Shape (n,).
        """
        found = np.empty(len(ids))

        def fill(start: int) -> None:
            block = slice(start, start + _BLOCK_ROWS)
            logits = contexts[block] @ self._weight + self._bias
            of_word = logits[np.arange(len(logits)), ids[block]]
            found[block] = of_word - _log_sum_exp(logits)

        self._workers.run([partial(fill, start) for start in range(0, len(ids), _BLOCK_ROWS)])
        return found

    def _boundary_outputs(self) -> tuple[Array, Array]:
        """The top layer's output at begin (forward) and end (backward) of a text, the same for all texts."""
        hidden = self._runtime.after_boundary(None).hidden[:, :, 0]
        skips = self.config.bilstm.skip_connections
        forward, backward = hidden.sum(1) if skips else hidden[:, -1]
        return forward, backward


def _log_sum_exp(logits: Array) -> NDArray[np.float64]:
    """Of each row; overwrites nothing. Shape (n, V) → (n,)."""
    largest = logits.max(1, keepdims=True)
    total = np.exp(logits - largest).sum(1, dtype=np.float64)
    return np.asarray(largest[:, 0] + np.log(total))
