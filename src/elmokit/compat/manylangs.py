"""ELMoForManyLangs' `Embedder`: `Embedder(folder).sents2elmo(sents, output_layer=-1)`.

Change `from elmoformanylangs import Embedder` to `from elmokit.compat.manylangs import Embedder`. Unlike the original,
which shuffles batches and carries LSTM states between them, each sentence starts from zeros.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.compat.sentences import checked_sentences
from elmokit.elmo import Elmo
from elmokit.errors import InputError


class Embedder:
    """A loaded model: a folder or zip, "nlpl:144" and the like, or any other model that `Elmo.load` reads.

    `batch_size` is accepted for old code; it changes no vector.

    Example:
        ``Embedder("zhs.model").sents2elmo([["今", "天", "天气", "真", "好", "阿"]])``
    """

    def __init__(self, model_dir: str | Path, batch_size: int = 64) -> None:
        self.elmo = Elmo.load(model_dir)

    def sents2elmo(self, sents: Sequence[Sequence[str]], output_layer: int = -1) -> list[NDArray[np.float32]]:
        """Return vectors of lists of words, (T, 2P) each, or (L, T, 2P) with output_layer=-2.

        `output_layer` is 0, 1, 2 for one layer, -1 for the mean of all, -2 for all; another one raises `InputError`.
        """
        if not -2 <= output_layer < self.elmo.n_layers:
            raise InputError(
                f"output_layer is {output_layer}; expected -2 (all), -1 (their mean) or 0 to {self.elmo.n_layers - 1}."
            )
        features = self.elmo.encode_words(checked_sentences(sents, "sents"), layers="each", show_progress=False)
        layers = [np.asarray(words.vectors) for words in features]
        if output_layer == -2:
            return layers
        return [np.asarray(x.mean(axis=0) if output_layer == -1 else x[output_layer]) for x in layers]
