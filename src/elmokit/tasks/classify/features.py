"""What a classifier's head sees of a text: vectors, vectors beside counted n-grams, word vectors, or words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from elmokit.config import ElmoConfig
from elmokit.encoding import Encoder, Encoding
from elmokit.errors import ConfigError
from elmokit.features import WordVectors
from elmokit.tasks.vectorizer import ElmoVectorizer
from elmokit.text.tokens import get_tokenizer

Analyzer = Literal["words", "characters"]


def scaled_vectors(elmo: Encoder, encoding: Encoding, *, show_progress: bool | None = False) -> Pipeline:
    """Texts → vectors with mean 0 and standard deviation 1 in each dimension.

    Args:
        elmo: the model.
        encoding: which vectors.
        show_progress: see `Elmo.encode`.

    Returns:
        an unfitted pipeline with the steps "elmo" and "scale".
    """
    vectorizer = ElmoVectorizer(
        elmo,
        pooling=encoding.pooling,
        layers=encoding.layers,
        normalize=encoding.normalize,
        layer_weights=encoding.layer_weights,
        show_progress=show_progress,
    )
    return Pipeline([("elmo", vectorizer), ("scale", StandardScaler())])


def tfidf(analyzer: Analyzer, **options: Any) -> TfidfVectorizer:
    """TF-IDF with logarithmic counts of words, or of character n-grams within words (1 to 5 characters).

    Args:
        analyzer: what is counted.
        options: further arguments of scikit-learn's `TfidfVectorizer`.

    Returns:
        an unfitted vectorizer.
    """
    counted: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 5)} if analyzer == "characters" else {}
    return TfidfVectorizer(sublinear_tf=True, **counted, **options)


def joined_features(vectors: Pipeline, counts: TfidfVectorizer, width: int) -> FeatureUnion:
    """Vectors beside TF-IDF of character n-grams.

    Rows of TF-IDF have length 1; standardised vectors have the expected length sqrt(width). The weight makes both
    blocks equally long, so that one penalty is fair to both.

    Args:
        vectors: see `scaled_vectors`.
        counts: see `tfidf`.
        width: of the vectors.

    Returns:
        an unfitted union with the parts "vectors" and "tfidf".
    """
    return FeatureUnion([("vectors", vectors), ("tfidf", counts)], transformer_weights={"vectors": width**-0.5})


class WordLayers(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Texts → the vectors of their words in all layers, float16: what `BiLSTMHead` takes.

    Args:
        elmo: the model.
        show_progress: see `Elmo.encode`.
    """

    def __init__(self, elmo: Encoder, *, show_progress: bool | None = False) -> None:
        self.elmo = elmo
        self.show_progress = show_progress

    def fit(self, X: object, y: object = None) -> WordLayers:  # noqa: ARG002
        """Nothing to fit."""
        return self

    def transform(self, X: Sequence[str]) -> list[NDArray[np.float16]]:
        """An array of shape (L, T, 2P) per text."""
        words = self.elmo.encode_words_stream(X, layers="each", show_progress=self.show_progress)
        return [text.vectors.astype(np.float16) for text in words]


class WordTokens(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Texts → their words: what `FinetuneHead` takes.

    Args:
        tokenizer: name of the tokenizer (`ElmoConfig.tokenizer`).
    """

    def __init__(self, tokenizer: str) -> None:
        self.tokenizer = tokenizer

    def fit(self, X: object, y: object = None) -> WordTokens:  # noqa: ARG002
        """Nothing to fit."""
        return self

    def transform(self, X: Sequence[str]) -> list[tuple[str, ...]]:
        """The words of each text."""
        tokenize = get_tokenizer(self.tokenizer)
        return [tuple(token.word for token in tokenize(text)) for text in X]


class EncodeOnce:
    """An encoder that remembers the vectors of every text, for repeated fits on parts of the same rows.

    Args:
        elmo: the model. All calls must ask for the same encoding.

    Example (`elmo` is any loaded model):
        ``cross_validate(TextClassifier(EncodeOnce(elmo)), texts, labels)``
    """

    def __init__(self, elmo: Encoder) -> None:
        self.elmo = elmo
        self._vectors: dict[tuple[str, Encoding], NDArray[Any]] = {}
        self._words: dict[str, WordVectors] = {}

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.elmo.name

    @property
    def config(self) -> ElmoConfig:
        """Configuration of the model."""
        return self.elmo.config

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model."""
        return self.elmo.fingerprint

    def width(self, encoding: Encoding | None = None) -> int:
        """See `Elmo.width`."""
        return self.elmo.width(encoding)

    def checkpoint(self) -> Any:
        """See `Elmo.checkpoint`."""
        return start_of(self.elmo)()

    def encode(
        self, texts: Iterable[Any], encoding: Encoding | None = None, *, show_progress: bool | None = None
    ) -> NDArray[Any]:
        """See `Elmo.encode`; only texts that are new are encoded."""
        texts, encoding = list(texts), encoding or Encoding()
        new = list(dict.fromkeys(text for text in texts if (text, encoding) not in self._vectors))
        if new:
            vectors = self.elmo.encode(new, encoding, show_progress=show_progress)
            self._vectors.update(((text, encoding), row) for text, row in zip(new, vectors, strict=True))
        rows = [self._vectors[text, encoding] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.width(encoding)), np.float32)

    def encode_words_stream(
        self, texts: Iterable[Any], *, layers: Any = "mix", show_progress: bool | None = None
    ) -> Iterator[WordVectors]:
        """See `Elmo.encode_words_stream`; only texts that are new are encoded, and kept as float16."""
        texts = list(texts)
        new = list(dict.fromkeys(text for text in texts if text not in self._words))
        if new:
            stream = self.elmo.encode_words_stream(new, layers=layers, show_progress=show_progress)
            for text, words in zip(new, stream, strict=True):
                self._words[text] = WordVectors(words.words, words.offsets, words.vectors.astype(np.float16))
        yield from (self._words[text] for text in texts)


def start_of(elmo: Any) -> Any:
    """Where fine-tuning of a model starts: its `checkpoint` method.

    Args:
        elmo: the model.

    Returns:
        a function that returns the checkpoint.

    Raises:
        ConfigError: an encoder without a checkpoint.
    """
    start = getattr(elmo, "checkpoint", None)
    if start is None:
        raise ConfigError(f"the head 'finetune' needs the model's own arrays; {elmo.name!r} does not give them.")
    return start
