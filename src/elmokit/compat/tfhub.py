"""TF-Hub's ELMo module: `Module(source)(inputs, signature=…, as_dict=…)` with NumPy arrays, without TensorFlow.

Replace `hub.Module("https://tfhub.dev/google/elmo/3")` by `elmokit.compat.tfhub.Module("tfhub")`, or give the folder or
archive you have. `default` is the mean over a text's own words of the layer mix, γ included. Unlike the module, a
text's vectors do not depend on the other texts of the batch, and everything behind a text's end is zero.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.compat.sentences import checked_sentences, checked_strings, padded_layers
from elmokit.elmo import Elmo
from elmokit.errors import InputError
from elmokit.runtime.pooling import mix_layers

_ADDRESSES = ("https://tfhub.dev/google/elmo", "http://tfhub.dev/google/elmo")


class Module:
    """A loaded module: "tfhub" or its old address (fetched), a SavedModel folder or archive, or what `Elmo.load` reads.

    `trainable`, `name` and `tags` are accepted for old code; to train, use `elmokit.compat.allennlp.Elmo`.

    Example:
        ``Module("tfhub")(["the cat is on the mat", "dogs are in the fog"], as_dict=True)["elmo"].shape``
    """

    def __init__(
        self,
        spec: str | Path = "tfhub",
        trainable: bool = False,
        name: str = "module",
        tags: Collection[str] | None = None,
    ) -> None:
        self.elmo = Elmo.load("tfhub" if str(spec).startswith(_ADDRESSES) else spec)

    def __call__(
        self, inputs: Sequence[str] | Mapping[str, Any], signature: str | None = None, as_dict: bool | None = None
    ) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
        """Return `default` (B, 2P), or all outputs with as_dict=True.

        Inputs of the signature "default" are B texts, cut at spaces only; of "tokens" a dict of `tokens`, B rows of
        words filled up with "", and `sequence_len`, how many words of each row count. The dict of outputs also has
        `word_emb` (B, T, P), `lstm_outputs1` … and `elmo` (B, T, 2P), and `sequence_len` (B,).
        """
        sentences = _sentences(inputs, signature or "default")
        layers = padded_layers(self.elmo, sentences)  # (B, L, T, 2P)
        mixed = np.zeros_like(layers[:, 0])
        default = np.zeros((len(sentences), self.elmo.dim), np.float32)
        for row, words in enumerate(sentences):
            if T := len(words):
                mixed[row, :T] = mix_layers(layers[row, :, :T], self.elmo.layer_mix)
                default[row] = mixed[row, :T].mean(axis=0)
        if not as_dict:
            return default
        outputs = {f"lstm_outputs{k}": layers[:, k] for k in range(1, self.elmo.n_layers)}
        outputs |= {"word_emb": layers[:, 0, :, : self.elmo.config.projection_width], "elmo": mixed, "default": default}
        return outputs | {"sequence_len": np.array([len(words) for words in sentences], dtype=np.int32)}


def _sentences(inputs: Sequence[str] | Mapping[str, Any], signature: str) -> list[list[str]]:
    if signature == "default" and not isinstance(inputs, (str, Mapping)):
        return [[word for word in text.split(" ") if word] for text in checked_strings(inputs)]
    if signature == "tokens" and isinstance(inputs, Mapping) and {"tokens", "sequence_len"} <= set(inputs):
        rows, lengths = inputs["tokens"], inputs["sequence_len"]
        if len(rows) != len(lengths) or any(not 0 <= n <= len(row) for row, n in zip(rows, lengths, strict=True)):
            raise InputError("sequence_len must say for each row of tokens how many of its words count.")
        cut = [row if isinstance(row, str) else list(row[: int(n)]) for row, n in zip(rows, lengths, strict=True)]
        return checked_sentences(cut, "tokens")
    raise InputError(
        f"signature {signature!r} with {type(inputs).__name__}; expected 'default' with a list of texts, or 'tokens'"
        " with a dict of tokens and sequence_len."
    )
