"""simple_elmo's `ElmoModel`: `load`, `get_elmo_vectors`, `get_elmo_vector_average`.

Change `from simple_elmo import ElmoModel` to `from elmokit.compat.simple_elmo import ElmoModel`. Different on purpose:
texts start from one settled state (`warmup`) or from zeros, not from what was read before; behind a text's end there
are zeros, and averages are over its own words; arrays are float32. `LanguageModel` has substitutes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.compat.sentences import checked_sentences, padded_layers
from elmokit.elmo import Elmo
from elmokit.errors import InputError


class ElmoModel:
    """simple_elmo's model; load one before anything else.

    Example:
        ``model = ElmoModel(); model.load("212.zip"); model.get_elmo_vector_average([["a", "text"]])``
    """

    def __init__(self) -> None:
        self._elmo: Elmo | None = None
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

        `max_batch_size`, `limit` and `full` are accepted for old code.
        """
        self._elmo, self.batch_size = Elmo.load(directory), max_batch_size
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
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray((flat / np.maximum(lengths, 1e-30)).reshape(sums.shape), dtype=np.float32)

    def _loaded(self) -> Elmo:
        if self._elmo is None:
            raise InputError("no model is loaded yet; call load(directory) first.")
        return self._elmo
