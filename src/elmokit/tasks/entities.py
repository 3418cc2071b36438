"""How well tags of words are predicted: accuracy, and F1 of whole spans by seqeval's definition.

A span counts as found only if its label, first and last word are all right. What the spans are, in valid and invalid
tags alike, `elmokit.tasks.bio.spans` says, by the CoNLL-2000 scorer's rules; so figures equal seqeval's in its default
mode, and conlleval's (tested against seqeval).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from elmokit.errors import InputError
from elmokit.tasks.bio import marks_spans, spans

Tags = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class SpanScore:
    """How well spans are found.

    Args:
        label: theirs; "all" for spans of every label together (micro average).
        precision: share of the spans predicted that are right; 0 if there are none.
        recall: share of the true spans that are found; 0 if there are none.
        f1: harmonic mean of the two.
        support: true spans.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class TagScores:
    """How well a tagger does on sentences whose tags are known.

    Args:
        accuracy: share of the words whose tag is right.
        spans: of all labels together; None for tags that mark no spans, such as parts of speech.
        labels: of each label, sorted by name.
        n_words: words judged.
    """

    accuracy: float
    spans: SpanScore | None
    labels: tuple[SpanScore, ...]
    n_words: int

    @property
    def figure(self) -> float:
        """The one number to look at: F1 of spans where there are any, else accuracy."""
        return self.accuracy if self.spans is None else self.spans.f1


def score_tags(truth: Tags, predicted: Tags, *, mark_spans: bool | None = None) -> TagScores:
    """Compare predicted tags with the truth.

    Args:
        truth: tags of n sentences.
        predicted: as many tags for each.
        mark_spans: whether they mark spans; None tells it from the tags.

    Returns:
        the scores.

    Raises:
        InputError: two lengths, or no words at all.

    Example:
        >>> scores = score_tags([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]])
        >>> scores.accuracy, scores.spans.f1
        (0.75, 0.5)
    """
    _check_lengths(truth, predicted)
    pairs = [pair for true, guess in zip(truth, predicted, strict=True) for pair in zip(true, guess, strict=True)]
    accuracy = sum(true == guess for true, guess in pairs) / len(pairs)
    if not (marks_spans(tag for pair in pairs for tag in pair) if mark_spans is None else mark_spans):
        return TagScores(accuracy=accuracy, spans=None, labels=(), n_words=len(pairs))
    true_counts, guess_counts, right_counts = _span_counts(truth, predicted)
    labels = sorted({*true_counts, *guess_counts})
    by_label = (_span_score(x, right_counts[x], guess_counts[x], true_counts[x]) for x in labels)
    whole = _span_score("all", right_counts.total(), guess_counts.total(), true_counts.total())
    return TagScores(accuracy=accuracy, spans=whole, labels=tuple(by_label), n_words=len(pairs))


def _check_lengths(truth: Tags, predicted: Tags) -> None:
    if len(truth) != len(predicted):
        raise InputError(f"tags of {len(truth)} sentences and predictions of {len(predicted)}; expected as many.")
    for place, (true, guess) in enumerate(zip(truth, predicted, strict=True)):
        if len(true) != len(guess):
            raise InputError(f"sentence {place} has {len(true)} tags and {len(guess)} predicted ones.")
    if not any(truth):
        raise InputError("there are no words to judge.")


def _span_counts(truth: Tags, predicted: Tags) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """True, predicted and right spans by label."""
    counts: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for true, guess in zip(truth, predicted, strict=True):
        real, said = set(spans(true)), set(spans(guess))
        for counter, found in zip(counts, (real, said, real & said), strict=True):
            counter.update(span.label for span in found)
    return counts


def _span_score(label: str, n_right: int, n_predicted: int, n_true: int) -> SpanScore:
    return SpanScore(
        label=label,
        precision=n_right / n_predicted if n_predicted else 0.0,
        recall=n_right / n_true if n_true else 0.0,
        f1=2 * n_right / (n_predicted + n_true) if n_predicted + n_true else 0.0,
        support=n_true,
    )
