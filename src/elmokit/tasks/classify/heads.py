"""The heads of PyTorch in a `TextClassifier`: made with its settings, or named as missing."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from elmokit.errors import ConfigError, MissingExtra


def make_torch_head(classifier: Any, class_weight: Any) -> Any:
    """An unfitted `BiLSTMHead` or `FinetuneHead` with the settings of a classifier whose model is loaded.

    `class_weight` is by number of the class. Raises MissingExtra without PyTorch, and ConfigError for a model that
    can't be fine-tuned.
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
        from elmokit.tasks.classify.finetune_head import FinetuneHead
        from elmokit.tasks.classify.torch_head import BiLSTMHead
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", f"the head {name!r}") from error
    return BiLSTMHead(**options) if name == "bilstm" else FinetuneHead(**options)


def start_of(elmo: Any) -> Any:
    """Where fine-tuning of a model starts: its `checkpoint` method; a ConfigError for encoders without one."""
    start = getattr(elmo, "checkpoint", None)
    if start is None:
        raise ConfigError(f"the head 'finetune' needs the model's own arrays; {elmo.name!r} does not give them.")
    return start
