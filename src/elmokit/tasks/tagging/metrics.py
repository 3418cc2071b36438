"""How well tags are predicted: accuracy, and precision, recall and F1 of whole spans as seqeval defines them.

A predicted span is right if its label, first word and last word are right (tested against seqeval's default mode).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from elmokit.errors import InputError
from elmokit.tasks.tagging.bioes import canonical, check_tags, spans

Tags = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class SpanMetrics:
    """How well the spans of a label are predicted.

    Args:
        label: the label; "all" for all labels together (micro average).
        precision: share of the predicted spans that are right; 0 if there are none.
        recall: share of the true spans that are predicted; 0 if there are none.
        f1: harmonic mean of precision and recall.
        support: number of true spans.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class TagMetrics:
    """How well the tags of sentences are predicted.

    Args:
        accuracy: share of the words whose tag is right.
        spans: metrics of all spans together; None for tags that mark no spans, such as parts of speech.
        labels: metrics of each label, sorted by name.
        n_words: number of words.
    """

    accuracy: float
    spans: SpanMetrics | None
    labels: tuple[SpanMetrics, ...]
    n_words: int

    @property
    def main(self) -> float:
        """F1 of all spans, or the accuracy where tags mark none."""
        return self.accuracy if self.spans is None else self.spans.f1


def tag_metrics(truth: Tags, predicted: Tags, *, mark_spans: bool | None = None) -> TagMetrics:
    """Compare predicted tags with the truth.

    Args:
        truth: tags of n sentences.
        predicted: predicted tags, as many for each sentence.
        mark_spans: whether tags mark spans; None tells it from the true tags.

    Returns:
        the metrics.

    Raises:
        InputError: different lengths, or no words.

    Example:
        >>> metrics = tag_metrics([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]])
        >>> metrics.accuracy, metrics.spans.f1
        (0.75, 0.5)
    """
    _check_lengths(truth, predicted)
    if mark_spans is None:
        mark_spans = check_tags([*truth, *predicted]).scheme is not None
    if mark_spans:
        truth, predicted = ([[canonical(tag) for tag in tags] for tags in given] for given in (truth, predicted))
    n_words = sum(map(len, truth))
    n_right = sum(
        a == b for true, guess in zip(truth, predicted, strict=True) for a, b in zip(true, guess, strict=True)
    )
    if not mark_spans:
        return TagMetrics(accuracy=n_right / n_words, spans=None, labels=(), n_words=n_words)
    true, guess, right = Counter[str](), Counter[str](), Counter[str]()
    for true_tags, guessed_tags in zip(truth, predicted, strict=True):
        a, b = set(spans(true_tags)), set(spans(guessed_tags))
        for counter, part in ((true, a), (guess, b), (right, a & b)):
            counter.update(span.label for span in part)
    return TagMetrics(
        accuracy=n_right / n_words,
        spans=_span_metrics("all", right.total(), guess.total(), true.total()),
        labels=tuple(_span_metrics(x, right[x], guess[x], true[x]) for x in sorted({*true, *guess})),
        n_words=n_words,
    )


def _check_lengths(truth: Tags, predicted: Tags) -> None:
    if len(truth) != len(predicted):
        raise InputError(f"tags of {len(truth)} sentences but predictions of {len(predicted)}; expected as many.")
    for i, (true, guess) in enumerate(zip(truth, predicted, strict=True)):
        if len(true) != len(guess):
            raise InputError(f"sentence {i} has {len(true)} tags but {len(guess)} predicted ones.")
    if not any(truth):
        raise InputError("there are no words to evaluate.")


def _span_metrics(label: str, n_right: int, n_predicted: int, n_true: int) -> SpanMetrics:
    return SpanMetrics(
        label=label,
        precision=n_right / n_predicted if n_predicted else 0.0,
        recall=n_right / n_true if n_true else 0.0,
        f1=2 * n_right / (n_predicted + n_true) if n_predicted + n_true else 0.0,
        support=n_true,
    )
