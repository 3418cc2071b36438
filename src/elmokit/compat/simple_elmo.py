"""simple_elmo's `ElmoModel`: `load`, `get_elmo_vectors`, `get_elmo_vector_average`, `get_elmo_substitutes`.

Change `from simple_elmo import ElmoModel` to `from elmokit.compat.simple_elmo import ElmoModel`. On purpose different:

- A text's vectors depend on that text alone. `warmup=True` starts each from one settled state (`state="warm"`) instead
  of whatever was read before; `warmup=False` from zeros, which is what the original gives for its first batch.
- Behind a text's end there are zeros, and averages are over its own words (the original averages the padding in, and
  with layers="all" mixes up layers and words).
- Substitutes are predicted from the whole left and the whole right context (the original feeds no state back, so it
  sees one neighbour), `logp` is a log-probability, and delimiters are left out, not set to zero.
- Arrays are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.compat.sentences import checked_sentences, checked_strings
from elmokit.elmo import Elmo
from elmokit.errors import CheckpointError, InputError
from elmokit.runtime import Engine

_DELIMITERS = ("<S>", "</S>")


class ElmoModel:
    """simple_elmo's model; load one before anything else.

    Example:
        ``model = ElmoModel(); model.load("212.zip"); model.get_elmo_vector_average([["a", "text"]])``
    """

    def __init__(self) -> None:
        self._elmo: Elmo | None = None
        self._checkpoint: Checkpoint | None = None
        self.batch_size = 32

    @property
    def vector_size(self) -> int:
        """Width of a word's vector: 2P."""
        return self._loaded().dim

    @property
    def n_layers(self) -> int:
        """Number of layers, the token layer included."""
        return self._loaded().n_layers

    @property
    def max_chars(self) -> int:
        """Characters per word, boundaries included."""
        cnn = self._loaded().config.char_cnn
        return 0 if cnn is None else cnn.max_characters

    def load(self, directory: str | Path, max_batch_size: int = 32, limit: int = 100, full: bool = False) -> str:  # noqa: ARG002
        """Read a folder, a zip, or any other model that `Elmo.load` reads; return the original's message.

        `max_batch_size` and `limit` are accepted for old code. full=True raises `CheckpointError` where the softmax
        that substitutes need is missing.
        """
        checkpoint = checkpoints.load(directory)
        if full and (checkpoint.softmax is None or checkpoint.words is None):
            raise CheckpointError(
                f"{directory}: no softmax with its vocabulary, so no substitutes; load a training checkpoint"
                " (model.ckpt-…) or put softmax weights (softmax/W, softmax/b) and vocab.txt beside the model."
            )
        self._checkpoint, self._elmo, self.batch_size = checkpoint, Elmo(checkpoint), max_batch_size
        return "The model is now loaded."

    def get_elmo_vectors(
        self,
        texts: Sequence[Sequence[str]],
        warmup: bool = True,
        layers: str = "average",
        session: object = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return vectors of N lists of words, (N, T, 2P), or (N, L, T, 2P) for layers="all".

        T is the longest text's, with zeros behind shorter ones. `layers` is "average", "top" or "all"; `warmup` starts
        texts from a settled state; `session` is accepted for old code.
        """
        arrays = self._layers(texts, warmup, layers)
        longest = max((x.shape[-2] for x in arrays), default=0)
        vectors = np.zeros((len(arrays), *self._leading(layers), longest, self._loaded().dim), np.float32)
        for row, x in zip(vectors, arrays, strict=True):
            row[..., : x.shape[-2], :] = x
        return vectors

    def get_elmo_vector_average(
        self,
        texts: Sequence[Sequence[str]],
        warmup: bool = True,
        layers: str = "average",
        session: object = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return mean vectors of N lists of words, scaled to length 1, (N, 2P), or (N, L, 2P) for layers="all".

        All layers of a text are scaled together. Texts without words get zeros. See `get_elmo_vectors`.
        """
        arrays = self._layers(texts, warmup, layers)
        vectors = np.zeros((len(arrays), *self._leading(layers), self._loaded().dim), np.float32)
        for row, x in zip(vectors, arrays, strict=True):
            if x.shape[-2]:
                mean = x.mean(axis=-2)
                row[...] = mean / max(float(np.linalg.norm(mean)), 1e-30)
        return vectors

    def get_elmo_substitutes(
        self, raw_texts: Sequence[str], topn: int = 3, nodelimiters: bool = True
    ) -> list[list[dict[str, Any]]]:
        """Predict each word from its left and from its right context.

        Args:
            raw_texts: texts; white space separates words.
            topn: candidates per word and direction.
            nodelimiters: whether "<S>" and "</S>" are left out.

        Returns:
            for each text, for each word: "word", "forward" and "backward", each with "candidates" (ids),
            "candidate_words" and "logp", the likeliest first.
        """
        checkpoint = self._loaded_checkpoint()
        softmax, words = checkpoint.softmax, checkpoint.words
        if softmax is None or words is None:
            raise CheckpointError("this model has no softmax; load it with full=True to see what is missing.")
        barred = [i for i, word in enumerate(words) if word in _DELIMITERS] if nodelimiters else []
        results = []
        texts = checked_strings(raw_texts, "raw_texts")
        for text, (left, right) in zip(texts, self._contexts(texts), strict=True):
            predictions = []
            for contexts in (left, right):
                logits = contexts @ softmax.weight.T + softmax.bias
                logits = logits - logits.max(axis=1, keepdims=True)
                logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
                logits[:, barred] = -np.inf
                predictions.append([_best(row, topn, words) for row in logits])
            pairs = zip(text.split(), *predictions, strict=True)
            results.append([{"word": word, "forward": f, "backward": b} for word, f, b in pairs])
        return results

    def _contexts(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each text what the forward tower knows before each word, and the backward one after it; (T, P) each."""
        elmo = self._loaded()
        P = elmo.config.projection_width
        sentences = [text.split() for text in texts]
        features = elmo.encode_words(sentences, layers=elmo.n_layers - 1, show_progress=False)
        before, after = self._edges()
        contexts = []
        for words in features:
            top = np.asarray(words.vectors)
            left = np.concatenate([before, top[:-1, :P]])[: len(top)]
            right = np.concatenate([top[1:, P:], after])[-len(top) :] if len(top) else top[:, P:]
            contexts.append((left, right))
        return contexts

    def _edges(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Top outputs of both towers when they have read a boundary alone, (1, P) each."""
        model = self._loaded_checkpoint()
        state = Engine(model.config, model.tensors, words=model.words).after_boundary(None)
        # with skip connections a layer puts out the sum of all hidden states up to it
        top = state.hidden.sum(axis=1) if model.config.bilstm.skip_connections else state.hidden[:, -1]
        return top[0], top[1]

    def _layers(self, texts: Sequence[Sequence[str]], warmup: bool, layers: str) -> list[NDArray[np.float32]]:
        if layers not in ("average", "top", "all"):
            raise InputError(f"layers is {layers!r}; expected 'average', 'top' or 'all'.")
        features = self._loaded().encode_words(
            checked_sentences(texts, "texts"), layers="each", show_progress=False, state="warm" if warmup else None
        )
        arrays = [np.asarray(words.vectors) for words in features]
        if layers == "all":
            return arrays
        return [np.asarray(x.mean(axis=0) if layers == "average" else x[-1]) for x in arrays]

    def _leading(self, layers: str) -> tuple[int, ...]:
        return (self._loaded().n_layers,) if layers == "all" else ()

    def _loaded(self) -> Elmo:
        if self._elmo is None:
            raise InputError("no model is loaded yet; call load(directory) first.")
        return self._elmo

    def _loaded_checkpoint(self) -> Checkpoint:
        self._loaded()
        assert self._checkpoint is not None
        return self._checkpoint


def _best(logp: NDArray[Any], topn: int, words: Sequence[str]) -> dict[str, Any]:
    """The likeliest words of one row of log-probabilities."""
    topn = min(topn, int(np.isfinite(logp).sum()))
    chosen = np.argpartition(-logp, topn - 1)[:topn] if topn else np.zeros(0, dtype=np.intp)
    chosen = chosen[np.argsort(-logp[chosen], kind="stable")]
    return {
        "candidates": chosen.tolist(),
        "candidate_words": [words[i] for i in chosen],
        "logp": [round(float(x), 4) for x in logp[chosen]],
    }
