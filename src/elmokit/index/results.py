"""What an index answers, as plain values that can be kept, sent and compared; `pandas.DataFrame` makes tables of them.

Similarities are cosines of centred vectors (`elmokit.index.description`): 1 for the same vector, 0 for unrelated ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_EXAMPLES = 3


@dataclass(frozen=True)
class Occurrence:
    """One word in one sentence.

    Example:
        >>> occurrence = Occurrence("bank", "The Bank closed.", 4, 8, "news.txt", 7, 0)
        >>> occurrence.surface, occurrence.marked()
        ('Bank', 'The [Bank] closed.')
    """

    word: str  # in lower case
    text: str  # the sentence
    start: int  # of the word in the sentence, in characters
    end: int
    document: str
    row: int  # the sentence's place in its source, from 1
    sentence_id: int  # the sentence's number in the index
    similarity: float = 1.0  # to the query, if there is one
    sense: int | None = None  # number of the word's sense, from 1; None if its senses are not known

    @property
    def surface(self) -> str:
        """The word as it is written in the sentence."""
        return self.text[self.start : self.end]

    def marked(self, before: str = "[", after: str = "]") -> str:
        """The sentence with the word between two marks."""
        return f"{self.text[: self.start]}{before}{self.surface}{after}{self.text[self.end :]}"


@dataclass(frozen=True)
class Neighbour:
    """A word, in one of its senses, that is used alike."""

    word: str  # in lower case
    similarity: float  # of its nearest occurrence; without a context, of its mean vector
    sense: int | None = None  # number of its sense, from 1; None if its senses are not known
    sense_name: str = ""
    count: int = 0  # occurrences among the nearest ones; without a context, in the whole index
    occurrences: tuple[Occurrence, ...] = ()  # the nearest ones, best first; none without a context


class Neighbours(tuple[Neighbour, ...]):
    """A tuple of `Neighbour`, best first.

    Example:
        >>> Neighbours([Neighbour("dog", 0.8125)])
        Neighbours(dog 0.81)
    """

    __slots__ = ()

    def pairs(self) -> list[tuple[str, float]]:
        """Words and similarities, as gensim's `most_similar` returns them."""
        return [(near.word, near.similarity) for near in self]

    def __repr__(self) -> str:
        return f"Neighbours({', '.join(f'{near.word} {near.similarity:.2f}' for near in self)})"


@dataclass(frozen=True)
class Sentence:
    """A sentence of the index; see `Occurrence` for its fields."""

    text: str
    document: str
    row: int
    sentence_id: int
    similarity: float = 1.0


@dataclass(frozen=True, eq=False)
class Sense:
    """One sense of a word: a group of similar occurrences."""

    number: int  # from 1, the most frequent sense first
    name: str  # its most typical neighbours, separated by commas
    share: float  # of the word's occurrences, 0 to 1
    count: int  # occurrences in the sample that have this sense
    neighbours: tuple[str, ...]  # words used like this sense and not like the others, most typical first
    collocates: tuple[str, ...]  # words in its sentences that are rare in the others', most typical first
    examples: tuple[Occurrence, ...]  # its most typical occurrences
    centre: NDArray[np.float32]  # the mean of its vectors, scaled to length 1, (d,)


@dataclass(frozen=True, eq=False)
class Senses:
    """The senses of a word: a sequence of `Sense`, the most frequent first."""

    word: str
    senses: tuple[Sense, ...]  # at least one
    count: int  # occurrences in the index
    looked_at: int  # occurrences in the sample that was clustered
    silhouette: float | None  # separation of the clusters, -1 to 1; None for a single sense

    def __len__(self) -> int:
        return len(self.senses)

    def __iter__(self) -> Iterator[Sense]:
        return iter(self.senses)

    def __getitem__(self, place: int) -> Sense:
        return self.senses[place]

    def __repr__(self) -> str:
        shown = "; ".join(f"{sense.number} {sense.name} ({sense.share:.0%})" for sense in self.senses)
        return f"Senses({self.word!r}: {shown})"

    def to_dict(self) -> dict[str, Any]:
        """The senses as JSON types, without vectors."""
        values = asdict(self)
        for sense in values["senses"]:
            del sense["centre"]
        return values

    def nearest(self, vector: NDArray[np.float32]) -> Sense:
        """The sense whose centre is nearest to the vector of an occurrence (`WordIndex.vector`). Shape (d,)."""
        return max(self.senses, key=lambda sense: float(sense.centre @ vector))


class MapPoint(NamedTuple):
    """An occurrence on a map, at x and y."""

    x: float
    y: float
    occurrence: Occurrence


@dataclass(frozen=True, eq=False)
class WordMap:
    """A word's occurrences in the plane: points are near each other where the word is used alike."""

    word: str
    senses: Senses  # for colours and the legend
    points: tuple[MapPoint, ...]  # one per occurrence
    explained: float  # the share of the vectors' variance that the two axes show, 0 to 1


class WordMeans(NamedTuple):
    """A vector per word: the mean of its occurrences."""

    words: tuple[str, ...]  # V words, by falling count
    counts: NDArray[np.int64]  # occurrences of each, (V,)
    vectors: NDArray[np.float32]  # means, scaled to length 1, (V, d)


@dataclass(frozen=True)
class Shift:
    """How differently two corpora use a word; distances are cosine distances, 0 to 2."""

    word: str
    count_a: int  # occurrences in the first index
    count_b: int  # and in the second
    apd: float  # average pairwise distance: mean distance of an occurrence in A from one in B
    prt: float  # prototype distance: distance of its mean vectors in A and B
    within_a: float  # the average pairwise distance inside A: how varied its use is there
    within_b: float

    @property
    def excess(self) -> float:
        """APD beyond the variety within each corpus: near 0 for a word that did not change."""
        return self.apd - (self.within_a + self.within_b) / 2


def grouped(
    hits: Sequence[Occurrence], units: NDArray[np.float32], senses: Mapping[str, Senses], k: int
) -> list[Neighbour]:
    """Occurrences, best first, grouped by word (and by sense where senses are known): at most k groups."""
    groups: dict[tuple[str, int | None], list[Occurrence]] = {}
    for hit, vector in zip(hits, units, strict=True):
        sense = senses[hit.word].nearest(vector).number if hit.word in senses else None
        groups.setdefault((hit.word, sense), []).append(replace(hit, sense=sense))
    neighbours = []
    for (word, sense), group in list(groups.items())[:k]:
        name = "" if sense is None else senses[word][sense - 1].name
        neighbours.append(Neighbour(word, group[0].similarity, sense, name, len(group), tuple(group[:_EXAMPLES])))
    return neighbours
