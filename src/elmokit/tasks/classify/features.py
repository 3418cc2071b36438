"""What a classifier's head sees of a text (vectors, n-grams, word vectors or words), and the heads of PyTorch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from elmokit.encoding import Encoder, Encoding
from elmokit.errors import needing
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
    vectorizer = ElmoVectorizer(c.elmo_, **c.encoding.to_dict(), show_progress=c.show_progress)
    vectors = Pipeline([("elmo", vectorizer), ("scale", StandardScaler())])
    if c.join is None:
        return vectors
    # rows of TF-IDF have length 1, standardised vectors sqrt(width): one penalty is fair to blocks of equal length
    weights = {"vectors": c.elmo_.width(c.encoding) ** -0.5}
    return FeatureUnion([("vectors", vectors), ("tfidf", tfidf("characters"))], transformer_weights=weights)


def restore_scaler(scale: StandardScaler, saved: SavedHead, width: int) -> StandardScaler:
    """Set what a scaler had learned when it was saved."""
    scale.mean_, scale.scale_ = saved.array("mean", width), saved.array("scale", width)
    if not (scale.scale_ > 0).all():
        raise ValueError("the scales of the features are not positive")
    scale.var_, scale.n_features_in_, scale.n_samples_seen_ = scale.scale_**2, width, 1
    return scale


def tfidf(analyzer: Literal["words", "characters"]) -> TfidfVectorizer:
    """TF-IDF with logarithmic counts of words, or of character n-grams within words (1 to 5 characters)."""
    counted: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 5)} if analyzer == "characters" else {}
    return TfidfVectorizer(sublinear_tf=True, **counted)


def _word_layers(texts: Sequence[str], elmo: Encoder, show_progress: bool | None) -> list[NDArray[np.float16]]:
    """The vectors of the words of each text in all layers, shape (L, T, 2P)."""
    words = elmo.encode_words_stream(texts, layers="each", show_progress=show_progress)
    return [text.vectors.astype(np.float16) for text in words]


def _word_tokens(texts: Sequence[str], tokenizer: str) -> list[tuple[str, ...]]:
    tokenize = get_tokenizer(tokenizer)
    return [tuple(token.word for token in tokenize(text)) for text in texts]


def make_torch_head(classifier: Any, class_weight: Any) -> Any:
    """An unfitted head with the settings of a classifier whose model is loaded; MissingExtra without PyTorch."""
    c = classifier
    head = new_head(c.head) if isinstance(c.head, str) else clone(c.head)
    head.set_params(class_weight=class_weight, seed=c.seed, show_progress=c.show_progress)
    if c.head_name == "finetune":
        head.set_params(start=getattr(c.elmo_, "checkpoint", None))
    return head


def new_head(name: str, **options: Any) -> Any:
    """An unfitted `BiLSTMHead` ("bilstm") or `FinetuneHead` ("finetune"); MissingExtra without PyTorch."""
    with needing("torch", "torch", f"the head {name!r}"):
        from elmokit.tasks.classify.finetune_head import FinetuneHead
        from elmokit.tasks.classify.torch_head import BiLSTMHead
    return BiLSTMHead(**options) if name == "bilstm" else FinetuneHead(**options)


class EncodeOnce:
    """An encoder that remembers the vector of every text, for repeated fits on parts of the same rows.

    Example (`elmo` is any loaded model):
        ``cross_validate(TextClassifier(EncodeOnce(elmo)), texts, labels)``
    """

    def __init__(self, elmo: Encoder) -> None:
        self.elmo = elmo
        self.name, self.config, self.fingerprint, self.width = elmo.name, elmo.config, elmo.fingerprint, elmo.width
        self.checkpoint = getattr(elmo, "checkpoint", None)
        self._known: dict[tuple[str, Encoding], NDArray[Any]] = {}

    def encode(
        self, texts: Iterable[Any], encoding: Encoding | None = None, *, show_progress: bool | None = None
    ) -> NDArray[Any]:
        """See `Elmo.encode`; only new texts are encoded."""
        encoding, texts = encoding or Encoding(), list(texts)
        new = list(dict.fromkeys(text for text in texts if (text, encoding) not in self._known))
        if new:
            vectors = self.elmo.encode(new, encoding, show_progress=show_progress)
            self._known.update(((text, encoding), row) for text, row in zip(new, vectors, strict=True))
        rows = [self._known[text, encoding] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.width(encoding)), np.float32)

    def encode_words_stream(self, texts: Iterable[Any], **options: Any) -> Iterator[WordVectors]:
        """See `Elmo.encode_words_stream`; nothing is remembered."""
        return self.elmo.encode_words_stream(texts, **options)
