"""Flair: its `ELMoEmbeddings`, which needs AllenNLP 0.9 and no longer runs, as embeddings on our own biLM.

Change `from flair.embeddings import ELMoEmbeddings` to `from elmokit.integrations.flair import ELMoEmbeddings`. The
biLM is frozen, as it was; Flair's files hold the model's name and mark, no weights, and refuse another model. A
sentence's vectors do not depend on the sentences before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, needing
from elmokit.tasks.saved import check_record, model_record

with needing("Flair", "flair", "ELMoEmbeddings"):
    import flair
    import torch
    from flair.data import Sentence
    from flair.embeddings.base import TokenEmbeddings, register_embeddings


@register_embeddings("elmokit.ELMoEmbeddings")
class ELMoEmbeddings(TokenEmbeddings):  # type: ignore[misc]  # Flair may be missing where types are checked
    """A vector per token of Flair's sentences.

    `model` is "default", or anything that `Elmo.load` reads; `options_file` and `weight_file` are a pair in its
    place. `embedding_mode` is "all" layers end to end, the "top" one, the "average" (Flair's three), or "mix", the
    model's own weighted sum. `name` None is made of the model's name and the mode.

    Example:
        ``tagger = SequenceTagger(embeddings=ELMoEmbeddings(), tag_dictionary=tags, tag_type="ner")``
    """

    def __init__(
        self,
        model: str | Path = "default",
        options_file: str | Path | None = None,
        weight_file: str | Path | None = None,
        embedding_mode: str = "all",
        *,
        precision: str = "float32",
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.elmo = Elmo.load(options_file or model, weights=weight_file, precision=precision)
        modes: dict[str, dict[str, Any]] = {
            "all": {"layers": "all"},
            "top": {"layers": -1},
            "average": {"layer_weights": [1 / self.elmo.n_layers] * self.elmo.n_layers},
            "mix": {"layers": "mix"},
        }
        if embedding_mode not in modes:
            raise ConfigError(f"embedding_mode is {embedding_mode!r}; expected one of {', '.join(map(repr, modes))}.")
        self.layers = modes[embedding_mode]
        self.name = name or f"elmo-{self.elmo.name}-{embedding_mode}"
        self.static_embeddings = True  # frozen: a sentence is embedded once
        self._length = self.elmo.width(Encoding(**self.layers))
        paths = {"model": model, "options_file": options_file, "weight_file": weight_file}
        self._made = {name: None if path is None else str(path) for name, path in paths.items()}
        self._made |= {"embedding_mode": embedding_mode, "precision": self.elmo.precision, "name": self.name}
        self.eval()

    @property
    def embedding_length(self) -> int:
        """Width of a token's vector."""
        return self._length

    def _add_embeddings_internal(self, sentences: list[Sentence]) -> list[Sentence]:
        words = [[token.text for token in sentence] for sentence in sentences]
        features = self.elmo.encode_words(words, **self.layers, show_progress=False)
        for sentence, text in zip(sentences, features, strict=True):
            vectors = torch.from_numpy(text.vectors.astype(np.float32, copy=False)).to(flair.device)
            for token, vector in zip(sentence, vectors, strict=True):
                token.set_embedding(self.name, vector)
        return sentences

    def to_params(self) -> dict[str, Any]:
        """What Flair keeps in its files: its arguments and the model's fingerprint; no weights."""
        return {"made": self._made, "model": model_record(self.elmo)}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ELMoEmbeddings:
        """Make the embeddings of a file that Flair reads; raises `CheckpointError` if the model is another one now."""
        embeddings = cls(**params["made"])
        check_record(params["model"], embeddings.elmo, embeddings.name)
        return embeddings

    def __str__(self) -> str:
        return self.name
