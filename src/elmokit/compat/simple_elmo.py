"""simple_elmo's `ElmoModel`: `load`, `get_elmo_vectors`, `get_elmo_vector_average`, `get_elmo_substitutes`.

Change `from simple_elmo import ElmoModel` to `from elmokit.compat.simple_elmo import ElmoModel`. Different on purpose:
texts start from one settled state (`warmup`) or from zeros, not from what was read before; behind a text's end there
are zeros, and averages are over its own words; substitutes are predicted from the whole left and right context, `logp`
is a log-probability, and delimiters are left out; arrays are float32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.compat.sentences import checked_sentences, checked_strings, padded_layers
from elmokit.elmo import Elmo
from elmokit.errors import CheckpointError, InputError
from elmokit.tasks.language_model import LanguageModel
from elmokit.tasks.similar import directions


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

    def load(self, directory: str | Path, max_batch_size: int = 32, limit: int = 100, full: bool = False) -> str:
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
        self, texts: Sequence[Sequence[str]], warmup: bool = True, layers: str = "average", session: object = None
    ) -> NDArray[np.float32]:
        """Return vectors of N lists of words, (N, T, 2P), or (N, L, T, 2P) for layers="all".

        T is the longest text's, with zeros behind shorter ones. `layers` is "average", "top" or "all"; `warmup` starts
        texts from a settled state; `session` is accepted for old code.
        """
        if layers not in ("average", "top", "all"):
            raise InputError(f"layers is {layers!r}; expected 'average', 'top' or 'all'.")
        sentences = checked_sentences(texts, "texts")
        each = padded_layers(self._loaded(), sentences, state="warm" if warmup else None)  # (N, L, T, 2P)
        return each if layers == "all" else np.asarray(each.mean(axis=1) if layers == "average" else each[:, -1])

    def get_elmo_vector_average(
        self, texts: Sequence[Sequence[str]], warmup: bool = True, layers: str = "average", session: object = None
    ) -> NDArray[np.float32]:
        """Return mean vectors of N lists of words, scaled to length 1, (N, 2P), or (N, L, 2P) for layers="all".

        All layers of a text are scaled together. Texts without words get zeros. See `get_elmo_vectors`.
        """
        sums = self.get_elmo_vectors(texts, warmup, layers).sum(axis=-2)  # zeros behind a text add nothing
        flat = sums.reshape(len(sums), sums[0].size if len(sums) else 0)
        return np.asarray(directions(flat).reshape(sums.shape))

    def get_elmo_substitutes(
        self, raw_texts: Sequence[str], topn: int = 3, nodelimiters: bool = True
    ) -> list[list[dict[str, Any]]]:
        """Predict each word from its left and from its right context; white space separates the words of a text.

        Returns for each text, for each word: "word", "forward" and "backward", each with the `topn` likeliest
        "candidates" (ids), "candidate_words" and "logp". `nodelimiters` leaves out "<S>" and "</S>".
        """
        self._loaded()
        assert self._checkpoint is not None
        model, texts = LanguageModel(self._checkpoint), checked_strings(raw_texts, "raw_texts")
        words = model.vocabulary.words
        barred = [i for i, word in enumerate(words) if word in ("<S>", "</S>")] if nodelimiters else []
        results = []
        for text, (ahead, behind) in zip(texts, model.contexts([text.split() for text in texts]), strict=True):
            sides = [_best(model.log_probabilities(rows), barred, topn, words) for rows in (ahead[:-1], behind[1:])]
            pairs = zip(text.split(), *sides, strict=True)
            results.append([{"word": word, "forward": f, "backward": b} for word, f, b in pairs])
        return results

    def _loaded(self) -> Elmo:
        if self._elmo is None:
            raise InputError("no model is loaded yet; call load(directory) first.")
        return self._elmo


def _best(logp: NDArray[Any], barred: list[int], topn: int, words: Sequence[str]) -> list[dict[str, Any]]:
    """The likeliest words of each row of log-probabilities (T, V)."""
    logp[:, barred] = -np.inf
    best = np.argsort(-logp, axis=1, kind="stable")[:, : max(0, min(topn, len(words) - len(barred)))]
    return [
        {
            "candidates": chosen.tolist(),
            "candidate_words": [words[i] for i in chosen],
            "logp": [round(float(x), 4) for x in row[chosen]],
        }
        for row, chosen in zip(logp, best, strict=True)
    ]
