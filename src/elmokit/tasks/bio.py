"""Tags of words ↔ spans of words: IOB1, IOB2 ("BIO") and BIOES, told apart, checked and mended.

All three mark spans with a letter and a label, as in "B-PER". IOB2 begins every span with B; IOB1 only one that
follows another of its label; BIOES also marks the last word (E) and spans of one word (S). What a sequence of tags
means, valid or not, is settled by `spans`: the rules of the CoNLL-2000 scorer, which seqeval follows (tested against
it). What is valid is settled by `may_follow`, one rule for checking, mending and the decoder's constraints. Mending
writes the spans found anew; it changes nothing that was valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from elmokit.errors import ConfigError, InputError

Scheme = Literal["IOB1", "IOB2", "BIOES"]

SCHEMES: tuple[Scheme, ...] = ("IOB2", "IOB1", "BIOES")
OUTSIDE = "O"
_NO_LABEL = "_"
_SPAN_TAG = re.compile(r"O|[BIES](-.+)?", re.DOTALL)
_LETTERS = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES"}


class Span(NamedTuple):
    """Words that belong together.

    Args:
        label: what they are; "_" where tags have no label.
        start: the first word.
        end: behind the last word.
    """

    label: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """A tag's letter and label.

    Args:
        tag: such as "B-PER", "B" or "O".

    Returns:
        letter and label; "_" for none.

    Example:
        >>> split_tag("B-PER"), split_tag("O")
        (('B', 'PER'), ('O', '_'))
    """
    return tag[:1], tag[1:].split("-", 1)[-1] or _NO_LABEL


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether these tags mark spans, rather than name each word's part of speech.

    Args:
        tags: all tags that occur.

    Returns:
        True if each is "O" or a letter of B, I, E, S with a label behind "-", or if they are bare letters with "O".

    Example:
        >>> marks_spans(["O", "B-PER"]), marks_spans(["NOUN", "I"]), marks_spans(["B", "I", "O"])
        (True, False, True)
    """
    distinct = set(tags)
    if not all(_SPAN_TAG.fullmatch(tag) for tag in distinct):
        return False
    return any("-" in tag for tag in distinct) or {OUTSIDE, "B"} <= distinct


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme mark, by the rules of the CoNLL-2000 scorer.

    A span begins at B and S, at I and E after "O", after E, after S or after another label; it ends before the next
    begins, before "O", and after E and S.

    Args:
        tags: of the T words.

    Returns:
        the spans, in order.

    Example:
        >>> spans(["I-PER", "I-PER", "O", "B-LOC", "B-LOC"])
        [Span(label='PER', start=0, end=2), Span(label='LOC', start=3, end=4), Span(label='LOC', start=4, end=5)]
    """
    found = []
    start, before, label = 0, OUTSIDE, _NO_LABEL
    for place, tag in enumerate([*tags, OUTSIDE]):
        letter, next_label = split_tag(tag)
        if _ends(before, label, letter, next_label):
            found.append(Span(label, start, place))
        if _begins(before, label, letter, next_label):
            start = place
        before, label = letter, next_label
    return found


def _ends(before: str, label: str, letter: str, next_label: str) -> bool:
    inside = before != OUTSIDE
    return inside and (before in "ES" or letter in "BSO" or label != next_label)


def _begins(before: str, label: str, letter: str, next_label: str) -> bool:
    inside = letter != OUTSIDE
    return inside and (letter in "BS" or before in "ESO" or label != next_label)


def write_tags(found: Iterable[Span], n_words: int, scheme: Scheme) -> list[str]:
    """Spans as tags.

    Args:
        found: spans that do not overlap.
        n_words: T.
        scheme: how to write them.

    Returns:
        T tags.

    Example:
        >>> write_tags([Span("PER", 0, 2), Span("PER", 2, 3)], 4, "IOB1")
        ['I-PER', 'I-PER', 'B-PER', 'O']
        >>> write_tags([Span("PER", 0, 2), Span("PER", 2, 3)], 4, "BIOES")
        ['B-PER', 'E-PER', 'S-PER', 'O']
    """
    tags = [OUTSIDE] * n_words
    before = Span("", -1, -1)
    for span in sorted(found, key=lambda span: span.start):
        letters = ["I"] * (span.end - span.start)
        follows = before.end == span.start and before.label == span.label
        if scheme != "IOB1" or follows:
            letters[0] = "B"
        if scheme == "BIOES":
            letters[-1] = "E" if len(letters) > 1 else "S"
        ending = "" if span.label == _NO_LABEL else f"-{span.label}"
        tags[span.start : span.end] = [letter + ending for letter in letters]
        before = span
    return tags


def may_follow(before: str | None, after: str | None, scheme: Scheme) -> bool:
    """Whether a tag may stand behind another.

    Args:
        before: a tag; None for the beginning of the sentence.
        after: a tag; None for its end.
        scheme: whose rules.

    Returns:
        True if the pair is valid.

    Example:
        >>> may_follow("O", "I-PER", "IOB2"), may_follow("O", "I-PER", "IOB1"), may_follow("B-PER", None, "BIOES")
        (False, True, False)
    """
    first, label = split_tag(before or OUTSIDE)
    second, next_label = split_tag(after or OUTSIDE)
    if any(letter not in _LETTERS[scheme] + OUTSIDE for letter in (first, second)):
        return False
    same = first != OUTSIDE and label == next_label
    if scheme == "IOB2":
        return second != "I" or same
    if scheme == "IOB1":
        return second != "B" or same
    inside = first in ("B", "I")
    return same and second in ("I", "E") if inside else second not in ("I", "E")


def mistakes(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """Places where tags break the scheme's rules.

    Args:
        tags: of the T words.
        scheme: whose rules.

    Returns:
        the places that do not fit what stands before them; T if the end does not.

    Example:
        >>> mistakes(["I-PER", "O", "B-LOC"], "IOB2"), mistakes(["O", "B-LOC"], "BIOES")
        ([0], [2])
    """
    pairs = zip([None, *tags], [*tags, None], strict=True)
    return [place for place, pair in enumerate(pairs) if not may_follow(*pair, scheme)]


def mend(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The spans that tags mark, written by the scheme's rules.

    Args:
        tags: of the T words, possibly of another scheme.
        scheme: to write.

    Returns:
        T valid tags; the same ones if they were valid.

    Example:
        >>> mend(["O", "I-PER", "I-PER"], "IOB2")
        ['O', 'B-PER', 'I-PER']
    """
    return write_tags(spans(tags), len(tags), scheme)


def find_scheme(sequences: Iterable[Sequence[str]]) -> Scheme | None:
    """The scheme that tags follow.

    Args:
        sequences: tags of sentences.

    Returns:
        the scheme whose rules are broken least often, IOB2 of equals; None for tags that mark no spans.

    Example:
        >>> find_scheme([["I-PER", "O"], ["I-LOC", "B-LOC"]]), find_scheme([["NOUN", "VERB"]])
        ('IOB1', None)
    """
    known = [list(tags) for tags in sequences]
    if not marks_spans(tag for tags in known for tag in tags):
        return None
    broken = {scheme: sum(len(mistakes(tags, scheme)) for tags in known) for scheme in SCHEMES}
    return min(SCHEMES, key=lambda scheme: broken[scheme])


@dataclass(frozen=True)
class CheckedTags:
    """Tags that follow one scheme.

    Args:
        scheme: theirs; None for tags that mark no spans, which are as they were.
        tags: of each sentence.
        remark: what had to be mended, for people; "" for nothing.
    """

    scheme: Scheme | None
    tags: list[list[str]]
    remark: str = ""


def check_tags(sequences: Iterable[Sequence[str]], scheme: Scheme | Literal["auto"] | None = "auto") -> CheckedTags:
    """Tags by one scheme's rules, mended where they break them.

    Args:
        sequences: tags of sentences.
        scheme: theirs; "auto" finds it, None says that they mark no spans.

    Returns:
        the tags, and what was mended.

    Raises:
        ConfigError: a scheme that is not known.
        InputError: tags that are none of such a scheme, such as "X-PER".

    Example:
        >>> check_tags([["O", "I-PER"], ["B-LOC", "I-LOC"], ["B-LOC", "B-LOC"]]).remark
        "1 of 3 sentences breaks the rules of IOB2 and was mended, first sentence 1, word 2: 'I-PER' after 'O'"
    """
    if scheme not in (*SCHEMES, "auto", None):
        raise ConfigError(f"scheme is {scheme!r}; expected 'auto', None, or one of {', '.join(map(repr, SCHEMES))}.")
    known = [list(tags) for tags in sequences]
    found = find_scheme(known) if scheme == "auto" else scheme
    if found is None:
        return CheckedTags(None, known)
    _refuse_strange_tags(known, found)
    broken = [(number, places) for number, tags in enumerate(known) if (places := mistakes(tags, found))]
    mended = [mend(tags, found) for tags in known]
    return CheckedTags(found, mended, _remark(known, broken, found) if broken else "")


def _refuse_strange_tags(sequences: Sequence[Sequence[str]], scheme: Scheme) -> None:
    for number, tags in enumerate(sequences, start=1):
        for place, tag in enumerate(tags, start=1):
            if not _SPAN_TAG.fullmatch(tag):
                raise InputError(
                    f"sentence {number}, word {place} has the tag {tag!r}, which is none of {scheme}'s: expected 'O',"
                    " or B, I, E or S, '-' and a label."
                )


def _remark(sequences: Sequence[Sequence[str]], broken: Sequence[tuple[int, list[int]]], scheme: Scheme) -> str:
    number, places = broken[0]
    tags = [*sequences[number], "the end"]
    place = places[0]
    where = f"sentence {number + 1}, word {place + 1}: {tags[place]!r}"
    after = f" after {tags[place - 1]!r}" if place else " at the beginning"
    verb = "breaks the rules of {} and was" if len(broken) == 1 else "break the rules of {} and were"
    return f"{len(broken)} of {len(sequences)} sentences {verb.format(scheme)} mended, first {where}{after}"
