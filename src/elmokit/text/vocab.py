"""Word ↔ id for the softmax of the language model; the biLM itself reads characters and needs no vocabulary.

Special words come first (`<S>`, `</S>`, `<UNK>`), then words by decreasing count, as the sampled softmax needs.
Counts are kept where known, for frequency-weighted pooling (SIF). Reads the vocabulary files of bilm-tf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from elmokit.errors import InputError, MissingFile
from elmokit.text.char_ids import BOS, EOS, UNK

_SKIPPED_LINE = "!!!MAXTERMID"


class Vocabulary:
    """Words in the order of their ids, `<S>`, `</S>` and `<UNK>` among them, and where known their counts.

    Example:
        >>> vocabulary = Vocabulary.from_counts({"the": 5, "cat": 2, "rare": 1}, min_count=2)
        >>> vocabulary.words
        ('<S>', '</S>', '<UNK>', 'the', 'cat')
        >>> vocabulary.id_of("dog") == vocabulary.unk_id
        True
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int] | None = None) -> None:
        self.words = tuple(words)
        self.counts = None if counts is None else tuple(int(n) for n in counts)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self._ids[word] != i)
            raise InputError(f"the vocabulary has the word {twice!r} twice; each word must occur once.")
        if self.counts is not None and len(self.counts) != len(self.words):
            raise InputError(f"the vocabulary has {len(self.words)} words but {len(self.counts)} counts.")
        for special in (BOS, EOS, UNK):
            if special not in self._ids:
                raise InputError(
                    f"the vocabulary lacks the word {special!r}; put {BOS}, {EOS} and {UNK} on its first three lines."
                )
        self.bos_id, self.eos_id, self.unk_id = (self._ids[w] for w in (BOS, EOS, UNK))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def id_of(self, word: str) -> int:
        """The word's id, or that of `<UNK>`."""
        return self._ids.get(word, self.unk_id)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, max_size: int | None = None, min_count: int = 1, total: int | None = None
    ) -> Vocabulary:
        """Make a vocabulary of the most frequent words; words of equal count in alphabetical order.

        `max_size` includes the three special words; words rarer than `min_count` count as `<UNK>`; `total` is the
        number of words of the corpus, if `counts` lacks rare ones.
        """
        kept = [(w, n) for w, n in counts.items() if n >= min_count and w not in (BOS, EOS, UNK)]
        kept.sort(key=lambda pair: (-pair[1], pair[0]))
        if max_size is not None:
            kept = kept[: max(0, max_size - 3)]
        rest = (sum(counts.values()) if total is None else total) - sum(n for _, n in kept)
        return cls([BOS, EOS, UNK, *(w for w, _ in kept)], [0, 0, rest, *(n for _, n in kept)])

    def extended(self, words: Iterable[str]) -> Vocabulary:
        """Add words behind those that are there, with a count of 1; known words are passed over."""
        new = [word for word in dict.fromkeys(words) if word not in self]
        return Vocabulary([*self.words, *new], None if self.counts is None else [*self.counts, *[1] * len(new)])

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """Read a UTF-8 file: a word a line, maybe its count after a tab; bilm-tf's `!!!MAXTERMID` is skipped."""
        path = Path(path)
        if not path.exists():
            raise MissingFile(f"{path}: no such vocabulary file.")
        try:
            lines = path.read_bytes().decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start}).") from None
        rows = [line.rstrip("\r").split("\t") for line in lines if line.strip("\r\n") and line != _SKIPPED_LINE]
        with_counts = bool(rows) and all(len(row) == 2 and row[1].isdigit() for row in rows)
        try:
            return cls([row[0] for row in rows], [int(row[1]) for row in rows] if with_counts else None)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def lines(self) -> Iterable[str]:
        """The lines of a vocabulary file: each word, and its count after a tab if counts are known."""
        if self.counts is None:
            return self.words
        return [f"{word}\t{count}" for word, count in zip(self.words, self.counts, strict=True)]
