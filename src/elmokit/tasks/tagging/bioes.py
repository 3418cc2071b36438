"""Tags of words ↔ spans of words: IOB1, IOB2 (BIO) and BIOES; recognise, check, repair and score them.

`spans` reads any sequence of tags by the rules of the CoNLL-2000 scorer, as seqeval does; `may_follow` says which
sequences are valid. Taggers learn BIOES, which marks the last word of a span and single words (Ratinov & Roth 2009).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError

Scheme = Literal["IOB1", "IOB2", "BIOES"]
Tags = Sequence[Sequence[str]]

SCHEMES: tuple[Scheme, ...] = ("IOB2", "IOB1", "BIOES")
OUTSIDE = "O"
_NO_LABEL = "_"
_LETTERS = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES"}
_SPELLINGS = {"L": "E", "U": "S", "M": "I", "W": "S", "0": "O"}  # BILOU, BMES, BMEWO, and a digit for a letter
_SPAN_TAG = re.compile(r"[O0]|[BIESLUMW](-.+)?", re.DOTALL | re.IGNORECASE)
_LETTER_AND_LABEL = re.compile(r"\w-", re.UNICODE)


class Span(NamedTuple):
    """Words `start` to `end` - 1 of a sentence, and their label; "_" where tags have none."""

    label: str
    start: int
    end: int


def canonical(tag: str) -> str:
    """A tag of IOB, BIOES, BILOU (BIOUL), BMES or BMEWO, in any case, with one of the letters B, I, O, E, S."""
    letter = tag[:1].upper()
    return _SPELLINGS.get(letter, letter) + tag[1:]


def _split(tag: str) -> tuple[str, str]:
    tag = canonical(tag)
    return tag[:1], tag[1:].split("-", 1)[-1] or _NO_LABEL


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme mark, valid or not.

    A span begins at B and S, and at I and E after "O", after E or S, or after another label. It ends before the next
    one begins, before "O", and after E and S.

    Example:
        >>> spans(["I-PER", "I-PER", "O", "B-LOC", "B-LOC"])
        [Span(label='PER', start=0, end=2), Span(label='LOC', start=3, end=4), Span(label='LOC', start=4, end=5)]
    """
    result = []
    start, before, label = 0, OUTSIDE, _NO_LABEL
    for i, (letter, next_label) in enumerate(map(_split, [*tags, OUTSIDE])):
        new_label = label != next_label
        if before != OUTSIDE and (before in "ES" or letter in "BSO" or new_label):
            result.append(Span(label, start, i))
        if letter != OUTSIDE and (letter in "BS" or before in "ESO" or new_label):
            start = i
        before, label = letter, next_label
    return result


def write_tags(spans: Iterable[Span], n_words: int, scheme: Scheme) -> list[str]:
    """Write spans that do not overlap as the tags of `n_words` words."""
    tags = [OUTSIDE] * n_words
    before = Span("", -1, -1)
    for span in sorted(spans, key=lambda span: span.start):
        letters = ["I"] * (span.end - span.start)
        if scheme != "IOB1" or (before.end == span.start and before.label == span.label):
            letters[0] = "B"
        if scheme == "BIOES":
            letters[-1] = "E" if len(letters) > 1 else "S"
        ending = "" if span.label == _NO_LABEL else f"-{span.label}"
        tags[span.start : span.end] = [letter + ending for letter in letters]
        before = span
    return tags


def rewrite(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The spans of tags of any scheme, written as valid tags of one scheme."""
    return write_tags(spans(tags), len(tags), scheme)


def may_follow(before: str | None, after: str | None, scheme: Scheme) -> bool:
    """Whether a tag may follow another; None stands for the beginning and for the end of the sentence."""
    (first, label), (second, next_label) = _split(before or OUTSIDE), _split(after or OUTSIDE)
    if not {first, second} <= {*_LETTERS[scheme], OUTSIDE}:
        return False
    same = first != OUTSIDE and label == next_label
    if scheme == "BIOES":
        return same and second in "IE" if first in "BI" else second not in "IE"
    return same or second != ("I" if scheme == "IOB2" else "B")


def mistakes(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Indices of tags that may not follow the tag before them; T if the sentence may not end after its T words."""
    pairs = zip([None, *tags], [*tags, None], strict=True)
    return [i for i, pair in enumerate(pairs) if not may_follow(*pair, scheme)]


@dataclass(frozen=True)
class CheckedTags:
    """Tags that follow one scheme (None: they mark no spans), and what was changed, "" for nothing."""

    scheme: Scheme | None
    tags: list[list[str]]
    remark: str = ""


def check_tags(sequences: Iterable[Sequence[str]], scheme: Scheme | Literal["auto"] | None = "auto") -> CheckedTags:
    """Convert tags to one scheme and repair them where they break its rules.

    BILOU (BIOUL), BMES and lower-case letters become BIOES, "0" becomes "O"; the remark says so. The scheme "auto" is
    found, None says that tags mark no spans, such as parts of speech. InputError for a tag that is no string, or no tag
    of a scheme among tags that mark spans.

    Example:
        >>> check_tags([["O", "I-PER"], ["B-LOC", "I-LOC"], ["B-LOC", "B-LOC"]]).remark
        "1 of 3 sentences breaks the rules of IOB2 and was repaired, first sentence 1, word 2: 'I-PER' after 'O'"
        >>> check_tags([["B-PER", "L-PER", "0"]])
        CheckedTags(scheme='BIOES', tags=[['B-PER', 'E-PER', 'O']], remark='tags were converted: 0 → O, L → E')
    """
    if scheme not in (*SCHEMES, "auto", None):
        raise ConfigError(f"scheme is {scheme!r}; expected 'auto', None, or one of {', '.join(map(repr, SCHEMES))}.")
    given = [list(tags) for tags in sequences]
    _check_each(given, lambda tag: isinstance(tag, str) and tag.strip(), "expected a string that is not empty")
    distinct = {tag for tags in given for tag in tags}
    if scheme is None or (scheme == "auto" and not _mark_spans(distinct)):
        return CheckedTags(None, given)
    _check_each(
        given,
        _SPAN_TAG.fullmatch,
        'expected "O", or B, I, E or S, "-" and a label, as other tags have; give scheme=None (--scheme none) if tags'
        " mark no spans",
    )
    letters = sorted({tag[0] for tag in distinct if canonical(tag) != tag})
    remarks = [f"tags were converted: {', '.join(f'{x} → {canonical(x)}' for x in letters)}"] if letters else []
    tags = [[canonical(tag) for tag in of_one] for of_one in given]
    target = _likeliest(tags) if scheme == "auto" else scheme
    broken = [(number, places) for number, of_one in enumerate(tags) if (places := mistakes(of_one, target))]
    if broken:
        number, (place, *_) = broken[0]
        shown = [*tags[number], "the end"]
        after = f" after {shown[place - 1]!r}" if place else " at the beginning"
        verb = "breaks the rules of {} and was" if len(broken) == 1 else "break the rules of {} and were"
        remarks.append(
            f"{len(broken)} of {len(tags)} sentences {verb.format(target)} repaired, first sentence {number + 1}, word"
            f" {place + 1}: {shown[place]!r}{after}"
        )
    return CheckedTags(target, [rewrite(of_one, target) for of_one in tags], "; ".join(remarks))


def _mark_spans(distinct: set[str]) -> bool:
    """Whether tags mark spans: some have a letter, "-" and a label, or all are bare letters of a scheme with "O"."""
    if any(_LETTER_AND_LABEL.match(tag) for tag in distinct):
        return True
    letters = {canonical(tag) for tag in distinct}
    return OUTSIDE in letters and bool(letters & {"B", "I"}) and letters <= set("BIOES")


def _likeliest(sequences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme whose rules are broken least often, the first of equals."""
    pairs = Counter(pair for tags in sequences for pair in zip([None, *tags], [*tags, None], strict=True))
    return min(SCHEMES, key=lambda scheme: sum(n for pair, n in pairs.items() if not may_follow(*pair, scheme)))


def _check_each(sequences: Sequence[Sequence[Any]], right: Callable[[Any], Any], expected: str) -> None:
    for number, tags in enumerate(sequences, start=1):
        for place, tag in enumerate(tags, start=1):
            if not right(tag):
                raise InputError(f"sentence {number}, word {place} has the tag {tag!r}; {expected}.")


@dataclass(frozen=True)
class TagSet:
    """Tags (`names`) ↔ their numbers, which a network predicts; spans are numbered as BIOES, decoded as `scheme`."""

    names: tuple[str, ...]
    scheme: Scheme | None

    @classmethod
    def of(cls, sequences: Sequence[Sequence[str]], scheme: Scheme | None) -> TagSet:
        """The tag set of checked tags; InputError for a single tag, from which there is nothing to learn."""
        if scheme is None:
            names: tuple[str, ...] = tuple(sorted({tag for tags in sequences for tag in tags}))
        else:
            labels = sorted({span.label for tags in sequences for span in spans(tags)})
            names = (OUTSIDE, *(f"{letter}-{label}" for label in labels for letter in "BIES"))
        if len(names) < 2:
            raise InputError(f"all words have the tag {''.join(names)!r}; it takes two different tags to learn.")
        return cls(names, scheme)

    def encode(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """Tags as numbers. Shape (T,)."""
        numbers = {name: number for number, name in enumerate(self.names)}
        if self.scheme is not None:
            bioes = rewrite(tags, "BIOES")
            tags = [tag if len(tag) > 1 or tag == OUTSIDE else f"{tag}-{_NO_LABEL}" for tag in bioes]
        return np.array([numbers[tag] for tag in tags], dtype=np.int64)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Numbers as tags of the scheme."""
        tags = [self.names[number] for number in numbers]
        return tags if self.scheme is None else rewrite(tags, self.scheme)

    def allowed(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Tags that may come first (K,), may follow each other (K, K) and may come last (K,); None for any."""
        if self.scheme is None:
            return None
        ends = [None, *self.names]
        rules = np.array([[may_follow(before, after, "BIOES") for after in ends] for before in ends])
        return rules[0, 1:], rules[1:, 1:], rules[1:, 0]


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """Precision, recall, F1 (0 where undefined) and number of true rows or spans of a class, label or kind of span."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class TagMetrics:
    """Accuracy of tags, metrics of all spans together (None for tags that mark none), and of each label by name."""

    accuracy: float
    spans: LabelMetrics | None
    labels: tuple[LabelMetrics, ...]
    n_words: int

    @property
    def main(self) -> float:
        """F1 of all spans, or the accuracy where tags mark none."""
        return self.accuracy if self.spans is None else self.spans.f1

    def __str__(self) -> str:
        accuracy = f"accuracy {self.accuracy:.4f} of {self.n_words:,} words"
        if self.spans is None:
            return accuracy
        head = f"{'spans':32}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}"
        row = "{0.label:32.32}{0.precision:10.3f}{0.recall:10.3f}{0.f1:10.3f}{0.support:10,}".format
        return "\n".join([head, *map(row, (*self.labels, self.spans)), accuracy])


def tag_metrics(truth: Tags, predicted: Tags, *, mark_spans: bool | None = None) -> TagMetrics:
    """Compare the predicted tags of n sentences with the true ones; InputError for different lengths.

    `mark_spans` says whether tags mark spans; None tells it from the tags.
    """
    if list(map(len, truth)) != list(map(len, predicted)):
        raise InputError(f"{len(truth)} sentences of tags and {len(predicted)} of predictions differ in their lengths.")
    if not (n_words := sum(map(len, truth))):
        raise InputError("there are no words to evaluate.")
    if mark_spans is None:
        mark_spans = check_tags([*truth, *predicted]).scheme is not None
    if mark_spans:
        truth, predicted = ([[canonical(tag) for tag in tags] for tags in given] for given in (truth, predicted))
    right_words = map(str.__eq__, chain.from_iterable(truth), chain.from_iterable(predicted))
    accuracy = sum(right_words) / n_words
    if not mark_spans:
        return TagMetrics(accuracy=accuracy, spans=None, labels=(), n_words=n_words)
    true_spans, guessed_spans = (
        {(i, span) for i, tags in enumerate(of_all) for span in spans(tags)} for of_all in (truth, predicted)
    )
    n_right, n_predicted, n_true = (
        Counter(span.label for _, span in part) for part in (true_spans & guessed_spans, guessed_spans, true_spans)
    )

    def metrics(label: str, right: int, guessed: int, true: int) -> LabelMetrics:
        precision, recall, f1 = right / max(guessed, 1), right / max(true, 1), 2 * right / max(guessed + true, 1)
        return LabelMetrics(label=label, precision=precision, recall=recall, f1=f1, support=true)

    return TagMetrics(
        accuracy=accuracy,
        spans=metrics("all", n_right.total(), n_predicted.total(), n_true.total()),
        labels=tuple(metrics(x, n_right[x], n_predicted[x], n_true[x]) for x in sorted({*n_true, *n_predicted})),
        n_words=n_words,
    )
