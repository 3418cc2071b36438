"""How well tags are predicted: accuracy, and precision, recall and F1 of whole spans as seqeval defines them.

A predicted span is right if its label, first word and last word are right (tested against seqeval's default mode).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from elmokit.errors import InputError
from elmokit.tasks.tagging.bioes import canonical, check_tags, spans

Tags = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class SpanMetrics:
    """Precision, recall, F1 (0 where undefined) and number of true spans of a label; "all" for all (micro average)."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class TagMetrics:
    """Accuracy of tags, metrics of all spans together (None for tags that mark none), and of each label by name."""

    accuracy: float
    spans: SpanMetrics | None
    labels: tuple[SpanMetrics, ...]
    n_words: int

    @property
    def main(self) -> float:
        """F1 of all spans, or the accuracy where tags mark none."""
        return self.accuracy if self.spans is None else self.spans.f1


def tag_metrics(truth: Tags, predicted: Tags, *, mark_spans: bool | None = None) -> TagMetrics:
    """Compare the predicted tags of n sentences with the true ones.

    `mark_spans` says whether tags mark spans; None tells it from the tags.

    Raises:
        InputError: different lengths, or no words.

    Example:
        >>> metrics = tag_metrics([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]])
        >>> metrics.accuracy, metrics.spans.f1
        (0.75, 0.5)
    """
    if len(truth) != len(predicted):
        raise InputError(f"tags of {len(truth)} sentences but predictions of {len(predicted)}; expected as many.")
    for i, (true, guess) in enumerate(zip(truth, predicted, strict=True)):
        if len(true) != len(guess):
            raise InputError(f"sentence {i} has {len(true)} tags but {len(guess)} predicted ones.")
    n_words = sum(map(len, truth))
    if not n_words:
        raise InputError("there are no words to evaluate.")
    if mark_spans is None:
        mark_spans = check_tags([*truth, *predicted]).scheme is not None
    if mark_spans:
        truth, predicted = ([[canonical(tag) for tag in tags] for tags in given] for given in (truth, predicted))
    right_words = map(str.__eq__, chain.from_iterable(truth), chain.from_iterable(predicted))
    accuracy = sum(right_words) / n_words
    if not mark_spans:
        return TagMetrics(accuracy=accuracy, spans=None, labels=(), n_words=n_words)
    n_true, n_predicted, n_right = Counter[str](), Counter[str](), Counter[str]()
    for true_tags, guessed_tags in zip(truth, predicted, strict=True):
        a, b = set(spans(true_tags)), set(spans(guessed_tags))
        for counter, part in ((n_true, a), (n_predicted, b), (n_right, a & b)):
            counter.update(span.label for span in part)

    def metrics(label: str, right: int, predicted: int, true: int) -> SpanMetrics:
        return SpanMetrics(
            label=label,
            precision=right / predicted if predicted else 0.0,
            recall=right / true if true else 0.0,
            f1=2 * right / (predicted + true) if predicted + true else 0.0,
            support=true,
        )

    return TagMetrics(
        accuracy=accuracy,
        spans=metrics("all", n_right.total(), n_predicted.total(), n_true.total()),
        labels=tuple(metrics(x, n_right[x], n_predicted[x], n_true[x]) for x in sorted({*n_true, *n_predicted})),
        n_words=n_words,
    )
