"""Build what is inside a `TextClassifier`: the transformer from texts to features, and the heads of PyTorch."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from elmokit.encoding import Encoder
from elmokit.errors import MissingExtra
from elmokit.tasks.classify.features import joined_features, scaled_vectors, start_of, tfidf, word_layers, word_tokens


def make_features(classifier: Any) -> Any:
    """The unfitted scikit-learn transformer of a classifier whose model is loaded: texts → what the head takes."""
    c = classifier
    if c.head_name == "finetune":
        return word_tokens(c.elmo_.config.tokenizer)
    if c.head_name == "bilstm":
        return word_layers(c.elmo_, show_progress=c.show_progress)
    vectors = scaled_vectors(c.elmo_, c.encoding, show_progress=c.show_progress)
    return vectors if c.join is None else joined_features(vectors, tfidf("characters"), c.elmo_.width(c.encoding))


def make_torch_head(classifier: Any, class_weight: Any) -> Any:
    """An unfitted `BiLSTMHead` or `FinetuneHead` with the settings of a classifier whose model is loaded.

    Args:
        classifier: a `TextClassifier`.
        class_weight: by number of the class.

    Raises:
        MissingExtra: PyTorch is not installed.
        ConfigError: a model that can't be fine-tuned.
    """
    c = classifier
    head = new_head(c.head) if isinstance(c.head, str) else clone(c.head)
    head.set_params(class_weight=class_weight, seed=c.seed, show_progress=c.show_progress)
    if c.epochs is not None:
        head.set_params(epochs=c.epochs)
    return head.set_params(start=start_of(c.elmo_)) if c.head_name == "finetune" else head


def new_head(name: str, **options: Any) -> Any:
    """An unfitted `BiLSTMHead` ("bilstm") or `FinetuneHead` ("finetune"); MissingExtra without PyTorch."""
    try:
        from elmokit.tasks.classify.bilstm_head import BiLSTMHead
        from elmokit.tasks.classify.finetune_head import FinetuneHead
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", f"the head {name!r}") from error
    return BiLSTMHead(**options) if name == "bilstm" else FinetuneHead(**options)


def encode_ahead(classifier: Any, texts: list[str]) -> None:
    """Encode all texts in one go, for an unfitted classifier whose model is an `EncodeOnce`."""
    c = classifier
    if c.head_name == "logistic":
        c.elmo.encode(c.clean(texts), c.encoding, show_progress=c.show_progress)
    elif c.head_name == "bilstm":
        word_layers(c.elmo, show_progress=c.show_progress).fit_transform(c.clean(texts))


def attach(classifier: Any, elmo: Encoder) -> None:
    """Let a fitted classifier use another object of the same model, one without a cache around it for instance."""
    c, features = classifier, classifier.pipeline_["features"]
    c.elmo_ = elmo
    if c.head_name == "logistic":
        vectors = features.transformer_list[0][1] if c.join else features
        vectors["elmo"].model = elmo
    elif c.head_name == "bilstm":
        features.kw_args["elmo"] = elmo
    else:
        c.pipeline_["head"].start = start_of(elmo)
