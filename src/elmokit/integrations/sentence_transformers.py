"""sentence-transformers: an object with its interface, for the many tools that call `model.encode(sentences, …)`.

It needs neither that library nor, unless tensors are asked for, PyTorch. Arguments that mean nothing here are refused,
except two that change no vector anyway: `batch_size` and `device`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.encoding import Encoding
from elmokit.errors import ConfigError, TextError, needing
from elmokit.tasks.similar import directions

OutputValue = Literal["sentence_embedding", "token_embeddings"]


class _NoCard:
    """Stands for a model's card, on which sentence-transformers' evaluators write figures that they give back too."""

    def set_evaluation_metrics(self, *figures: Any) -> None:
        """Do nothing."""


class ElmoSentenceEncoder:
    """ELMo vectors behind the methods of a `SentenceTransformer`; the arguments are those of `Elmo.encode`.

    Example:
        >>> model = ElmoSentenceEncoder(pooling="mean+max")
        >>> vectors = model.encode(["The battery died.", "It rains."], normalize_embeddings=True)
        >>> vectors.shape == (2, model.get_sentence_embedding_dimension())
        True
        >>> model.similarity(vectors, vectors).shape
        (2, 2)
    """

    similarity_fn_name = "cosine"
    max_seq_length = None
    device = "cpu"

    def __init__(self, elmo: Elmo | str | Path = "default", *, pooling: str = "mean", layers: Layers = "mix") -> None:
        self.elmo = elmo if isinstance(elmo, Elmo) else Elmo.load(elmo)
        self.pooling, self.layers = pooling, layers
        self.model_card_data = _NoCard()
        self._width = self.elmo.width(Encoding(pooling, layers))

    def get_sentence_embedding_dimension(self) -> int:
        """Width of a text's vector."""
        return self._width

    get_embedding_dimension = get_sentence_embedding_dimension

    def encode(
        self,
        sentences: str | Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue = "sentence_embedding",
        precision: Literal["float32"] | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Encode N texts, or one, with the arguments of `SentenceTransformer.encode`.

        A `prompt` is put before every text; `prompt_name`, `truncate_dim` and another precision than "float32" raise
        `ConfigError`, as this model has no such thing.

        Returns a matrix (N, d), for one text its vector (d,); with output_value="token_embeddings" a list of N matrices
        (T, 2P), or one. Tensors with convert_to_tensor=True (one) or convert_to_numpy=False (a list).
        """
        for name, value, known in (
            ("prompt_name", prompt_name, [None]),
            ("truncate_dim", truncate_dim, [None]),
            ("precision", precision, ["float32", None]),
            ("output_value", output_value, ["sentence_embedding", "token_embeddings"]),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; expected {' or '.join(map(repr, known))} with this model.")
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        if prompt:
            if wrong := [i for i, text in enumerate(texts) if not isinstance(text, str)]:
                raise TextError(f"texts[{wrong[0]}] is no string; a prompt goes before strings only.")
            texts = [prompt + text for text in texts]
        tensors = convert_to_tensor or not convert_to_numpy
        vectors: Any
        if output_value == "token_embeddings":
            words = self.elmo.encode_words(texts, layers=self.layers, show_progress=show_progress_bar)
            vectors = [_tensor(text.vectors) if tensors else text.vectors for text in words]
        else:
            encoding = Encoding(self.pooling, self.layers, normalize_embeddings)
            vectors = self.elmo.encode(texts, encoding, show_progress=show_progress_bar)
            vectors = _tensor(vectors) if tensors else vectors
            vectors = vectors if convert_to_numpy or convert_to_tensor else list(vectors)
        return vectors[0] if isinstance(sentences, str) else vectors

    encode_query = encode
    encode_document = encode

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines of all pairs, (N, d) × (M, d) → (N, M): a tensor where one was given, else an array."""
        return _like(_unit(embeddings1) @ _unit(embeddings2).T, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines of corresponding rows, (N, d) × (N, d) → (N,)."""
        return _like((_unit(embeddings1) * _unit(embeddings2)).sum(axis=1), embeddings1, embeddings2)


def _unit(vectors: Any) -> NDArray[np.float32]:
    """Rows of length 1; zeros stay zeros."""
    return directions(np.atleast_2d(np.asarray(vectors.detach().cpu() if _is_tensor(vectors) else vectors)))


def _is_tensor(vectors: Any) -> bool:
    return type(vectors).__module__.split(".")[0] == "torch"


def _like(array: NDArray[np.float32], *given: Any) -> Any:
    return _tensor(array) if any(map(_is_tensor, given)) else array


def _tensor(array: NDArray[np.float32]) -> Any:
    with needing("PyTorch", "torch", "vectors as tensors"):
        import torch
    return torch.from_numpy(array)
