"""What an index answers, as plain values: each prints as a line and shows as a table in a notebook.

Similarities are cosines of centred vectors (`elmokit.index.centering`): 1 for the same vector, 0 for unrelated ones.
A value holds text and numbers only, so it can be kept, sent and compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXAMPLES_SHOWN = 3


@dataclass(frozen=True)
class Occurrence:
    """One word in one sentence.

    Args:
        word: the word as it is looked up: in lower case.
        text: the sentence.
        start: where the word begins in it, in characters.
        end: where it ends.
        document: the document that the sentence belongs to.
        row: the sentence's place in its source, from 1.
        sentence_id: its number in the index.
        similarity: to what was asked for; 1.0 where nothing was.
        sense: the number of the word's sense, from 1; None where its senses are not known.

    Example:
        >>> occurrence = Occurrence("bank", "The Bank closed.", 4, 8, "news.txt", 7, 0)
        >>> occurrence.surface, occurrence.marked()
        ('Bank', 'The [Bank] closed.')
    """

    word: str
    text: str
    start: int
    end: int
    document: str
    row: int
    sentence_id: int
    similarity: float = 1.0
    sense: int | None = None

    @property
    def surface(self) -> str:
        """The word as it is written in the sentence."""
        return self.text[self.start : self.end]

    def marked(self, before: str = "[", after: str = "]") -> str:
        """The sentence with the word marked.

        Args:
            before: put before the word.
            after: put after it.

        Returns:
            the marked sentence.
        """
        return f"{self.text[: self.start]}{before}{self.surface}{after}{self.text[self.end :]}"

    def _repr_html_(self) -> str:
        return f"<span>{_marked_html(self)}</span>"


@dataclass(frozen=True)
class Neighbour:
    """A word (in one of its senses) that is used alike.

    Args:
        word: the word, in lower case.
        similarity: of its nearest occurrence; of its mean vector where no context was asked for.
        sense: the number of its sense, from 1; None where its senses are not known.
        sense_name: that sense's name; "" where it is not known.
        count: occurrences found (with context), or in the whole index (without).
        occurrences: the nearest of them, best first; none without context.
    """

    word: str
    similarity: float
    sense: int | None = None
    sense_name: str = ""
    count: int = 0
    occurrences: tuple[Occurrence, ...] = ()


@dataclass(frozen=True)
class Neighbours:
    """What is used like a word, best first: a sequence of `Neighbour`.

    Args:
        query: what was asked for, in words.
        neighbours: the answers, one per word and sense.

    Example:
        >>> Neighbours("cat", (Neighbour("dog", 0.8125),))
        Neighbours('cat': dog 0.81)
    """

    query: str
    neighbours: tuple[Neighbour, ...]

    def __len__(self) -> int:
        return len(self.neighbours)

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(self.neighbours)

    def __getitem__(self, place: int) -> Neighbour:
        return self.neighbours[place]

    @property
    def words(self) -> tuple[str, ...]:
        """The neighbours' words, best first."""
        return tuple(neighbour.word for neighbour in self.neighbours)

    def __repr__(self) -> str:
        shown = ", ".join(f"{near.word} {near.similarity:.2f}" for near in self.neighbours)
        return f"Neighbours({self.query!r}: {shown})"

    def _repr_html_(self) -> str:
        rows = [
            (near.word, near.sense_name, f"{near.similarity:.3f}", f"{near.count:,}", near.occurrences[:1])
            for near in self.neighbours
        ]
        return _table(f"used like {self.query}", ("word", "sense", "similarity", "count", "example"), rows)

    def pairs(self) -> list[tuple[str, float]]:
        """Words and similarities, as gensim's `most_similar` gives them."""
        return [(neighbour.word, neighbour.similarity) for neighbour in self.neighbours]


@dataclass(frozen=True)
class Sentence:
    """A sentence of the index.

    Args:
        text: the sentence.
        document: the document that it belongs to.
        row: its place in its source, from 1.
        sentence_id: its number in the index.
        similarity: to what was asked for.
    """

    text: str
    document: str
    row: int
    sentence_id: int
    similarity: float = 1.0


@dataclass(frozen=True, eq=False)
class Sense:
    """One sense of a word: occurrences that are alike.

    Args:
        number: from 1, the most frequent first.
        name: typical neighbours, with commas: what people read.
        share: of the word's occurrences that have it, 0 to 1.
        count: occurrences that were looked at and have it.
        neighbours: other words used like it and not like the other senses, the most typical first.
        collocates: words that stand in its sentences and not in the other senses', the most typical first.
        examples: its most typical occurrences.
        centre: the mean of its vectors, scaled to length 1. Shape (d,).
    """

    number: int
    name: str
    share: float
    count: int
    neighbours: tuple[str, ...]
    collocates: tuple[str, ...]
    examples: tuple[Occurrence, ...]
    centre: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Senses:
    """The senses of a word, the most frequent first: a sequence of `Sense`.

    Args:
        word: the word.
        senses: its senses, at least one.
        count: occurrences in the index.
        looked_at: occurrences that were clustered, a sample of them.
        silhouette: how well the clusters are apart, -1 to 1; None for a single sense.
    """

    word: str
    senses: tuple[Sense, ...]
    count: int
    looked_at: int
    silhouette: float | None

    def __len__(self) -> int:
        return len(self.senses)

    def __iter__(self) -> Iterator[Sense]:
        return iter(self.senses)

    def __getitem__(self, place: int) -> Sense:
        return self.senses[place]

    def __repr__(self) -> str:
        shown = "; ".join(f"{sense.number} {sense.name} ({sense.share:.0%})" for sense in self.senses)
        return f"Senses({self.word!r}: {shown})"

    def _repr_html_(self) -> str:
        rows = [
            (f"{sense.number} {sense.name}", f"{sense.share:.0%}", ", ".join(sense.collocates[:5]), sense.examples[:3])
            for sense in self.senses
        ]
        return _table(f"{self.word}: {self.count:,} occurrences", ("sense", "share", "beside it", "examples"), rows)

    def to_dict(self) -> dict[str, Any]:
        """The senses as JSON types, without vectors.

        Returns:
            word, count, looked_at, silhouette and senses with name, share, count, neighbours, collocates, examples.
        """
        kept = ("number", "name", "share", "count", "neighbours", "collocates")
        senses = [
            {**{name: getattr(sense, name) for name in kept}, "examples": [asdict(found) for found in sense.examples]}
            for sense in self.senses
        ]
        facts = {"word": self.word, "count": self.count, "looked_at": self.looked_at, "silhouette": self.silhouette}
        return {**facts, "senses": senses}

    def nearest(self, vector: NDArray[np.float32]) -> Sense:
        """The sense whose centre is nearest.

        Args:
            vector: of an occurrence (`WordIndex.vector`). Shape (d,).

        Returns:
            the sense.
        """
        return max(self.senses, key=lambda sense: float(sense.centre @ vector))


@dataclass(frozen=True)
class MapPoint:
    """An occurrence on a map.

    Args:
        x: to the right.
        y: upwards.
        occurrence: the word in its sentence, with its sense.
    """

    x: float
    y: float
    occurrence: Occurrence


@dataclass(frozen=True, eq=False)
class WordMap:
    """A word's occurrences as points in the plane.

    Args:
        word: the word.
        senses: its senses, for colours and the legend.
        points: an occurrence each; near where the word is used alike.
        explained: the share of the vectors' variance that the two axes show, 0 to 1.
    """

    word: str
    senses: Senses
    points: tuple[MapPoint, ...]
    explained: float


@dataclass(frozen=True, eq=False)
class WordMeans:
    """A vector per word: the mean of its occurrences.

    Args:
        words: V words, by falling count.
        counts: occurrences of each. Shape (V,).
        vectors: means, scaled to length 1. Shape (V, d).
    """

    words: tuple[str, ...]
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Shift:
    """How differently two corpora use a word.

    Args:
        word: the word.
        count_a: its occurrences in the first index.
        count_b: its occurrences in the second.
        apd: average pairwise distance: the mean cosine distance of an occurrence in A from one in B, 0 to 2.
        prt: prototype distance: the cosine distance of its mean vectors in A and B, 0 to 2.
        within_a: the average pairwise distance inside A: how varied its use is there.
        within_b: the same inside B.
    """

    word: str
    count_a: int
    count_b: int
    apd: float
    prt: float
    within_a: float
    within_b: float

    @property
    def excess(self) -> float:
        """APD beyond the variety that the word has inside each corpus: near 0 for a word that did not change."""
        return self.apd - (self.within_a + self.within_b) / 2


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str | tuple[Occurrence, ...]]]) -> str:
    """A table for notebooks; occurrences show as sentences with the word in bold."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: str | tuple[Occurrence, ...]) -> str:
    return escape(value) if isinstance(value, str) else "<br>".join(map(_marked_html, value))


def _marked_html(occurrence: Occurrence) -> str:
    text, start, end = occurrence.text, occurrence.start, occurrence.end
    return f"{escape(text[:start])}<b>{escape(text[start:end])}</b>{escape(text[end:])}"
