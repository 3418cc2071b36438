"""What a classifier's head sees of a text: vectors, vectors beside counted n-grams, word vectors, or words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from elmokit.encoding import Encoder, Encoding
from elmokit.errors import ConfigError
from elmokit.features import WordVectors
from elmokit.tasks.saved import SavedHead
from elmokit.tasks.vectorizer import ElmoVectorizer
from elmokit.text.tokens import get_tokenizer


def make_features(classifier: Any) -> Any:
    """The unfitted scikit-learn transformer of a classifier whose model is loaded: texts → what the head takes."""
    c = classifier
    if c.features is not None:
        return clone(c.features)
    if c.head_name == "finetune":
        return FunctionTransformer(_word_tokens, kw_args={"tokenizer": c.elmo_.config.tokenizer})
    if c.head_name == "bilstm":
        return FunctionTransformer(_word_layers, kw_args={"elmo": c.elmo_, "show_progress": c.show_progress})
    vectors = scaled_vectors(c.elmo_, c.encoding, show_progress=c.show_progress)
    return vectors if c.join is None else joined_features(vectors, tfidf("characters"), c.elmo_.width(c.encoding))


def scaled_vectors(elmo: Encoder, encoding: Encoding, *, show_progress: bool | None = False) -> Pipeline:
    """Texts → vectors with mean 0 and standard deviation 1 in each dimension: the steps "elmo" and "scale"."""
    vectorizer = ElmoVectorizer(elmo, **encoding.to_dict(), show_progress=show_progress)
    return Pipeline([("elmo", vectorizer), ("scale", StandardScaler())])


def restore_scaler(scale: StandardScaler, saved: SavedHead, width: int) -> StandardScaler:
    """Set what a scaler had learned when it was saved."""
    scale.mean_, scale.scale_ = saved.array("mean", width), saved.array("scale", width)
    if not (scale.scale_ > 0).all():
        raise ValueError("the scales of the features are not positive")
    scale.var_, scale.n_features_in_, scale.n_samples_seen_ = scale.scale_**2, width, 1
    return scale


def tfidf(analyzer: Literal["words", "characters"], **options: Any) -> TfidfVectorizer:
    """TF-IDF with logarithmic counts of words, or of character n-grams within words (1 to 5 characters)."""
    counted: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 5)} if analyzer == "characters" else {}
    return TfidfVectorizer(sublinear_tf=True, **counted, **options)


def joined_features(vectors: Pipeline, counts: TfidfVectorizer, width: int) -> FeatureUnion:
    """Vectors of a width (the part "vectors") beside TF-IDF of character n-grams (the part "tfidf").

    Rows of TF-IDF have length 1; standardised vectors have the expected length sqrt(width). The weight makes both
    blocks equally long, so that one penalty is fair to both.
    """
    return FeatureUnion([("vectors", vectors), ("tfidf", counts)], transformer_weights={"vectors": width**-0.5})


def _word_layers(texts: Sequence[str], elmo: Encoder, show_progress: bool | None) -> list[NDArray[np.float16]]:
    """The vectors of the words of each text in all layers, shape (L, T, 2P)."""
    words = elmo.encode_words_stream(texts, layers="each", show_progress=show_progress)
    return [text.vectors.astype(np.float16) for text in words]


def _word_tokens(texts: Sequence[str], tokenizer: str) -> list[tuple[str, ...]]:
    tokenize = get_tokenizer(tokenizer)
    return [tuple(token.word for token in tokenize(text)) for text in texts]


class EncodeOnce:
    """An encoder that remembers the vectors of every text, for repeated fits on parts of the same rows.

    `elmo` is the model; all calls must ask for the same encoding.

    Example (`elmo` is any loaded model):
        ``cross_validate(TextClassifier(EncodeOnce(elmo)), texts, labels)``
    """

    def __init__(self, elmo: Encoder) -> None:
        self.elmo = elmo
        self.name, self.config, self.fingerprint, self.width = elmo.name, elmo.config, elmo.fingerprint, elmo.width
        self._vectors: dict[tuple[str, Encoding], NDArray[Any]] = {}
        self._words: dict[str, WordVectors] = {}

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

    def encode_ahead(self, classifier: Any, texts: list[str]) -> None:
        """Encode all texts of an unfitted classifier in one go."""
        c = classifier
        if c.features is None and c.head_name == "logistic":
            self.encode(c.clean(texts), c.encoding, show_progress=c.show_progress)
        elif c.features is None and c.head_name == "bilstm":
            list(self.encode_words_stream(c.clean(texts), layers="each", show_progress=c.show_progress))


def start_of(elmo: Any) -> Any:
    """Where fine-tuning of a model starts: its `checkpoint` method; a ConfigError for encoders without one."""
    start = getattr(elmo, "checkpoint", None)
    if start is None:
        raise ConfigError(f"the head 'finetune' needs the model's own arrays; {elmo.name!r} does not give them.")
    return start
