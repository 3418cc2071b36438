"""Word ↔ id for the language model's softmax: the biLM itself reads characters and needs no vocabulary.

A vocabulary is a list of words whose place is their id, special words first (`<S>`, `</S>`, `<UNK>`), then by
falling count: the sampled softmax proposes words by their rank. Counts are kept where they are known, because
frequency-weighted pooling (SIF) needs them. bilm-tf's vocabulary files are read as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from elmokit.errors import InputError, MissingFile
from elmokit.text.char_ids import BOS, EOS

UNK = "<UNK>"
"""The word that stands for every word outside the vocabulary."""

_SKIPPED_LINE = "!!!MAXTERMID"


class Vocabulary:
    """Words with their ids and, where known, their counts.

    Args:
        words: the words; a word's place is its id. `<S>`, `</S>` and `<UNK>` must be among them.
        counts: for each word how often it was seen, or None.

    Raises:
        InputError: a special word is missing, a word stands twice, or the counts do not fit.

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
            seen: set[str] = set()
            twice = next(w for w in self.words if w in seen or seen.add(w))  # type: ignore[func-returns-value]
            raise InputError(f"the vocabulary has the word {twice!r} twice; each word may stand once.")
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
        """The most frequent words of a corpus.

        Args:
            counts: how often each word was seen.
            max_size: words at most, the three special ones included.
            min_count: a word must be seen this often.
            total: words of the corpus, where `counts` leaves rare ones out; None for the sum of counts.

        Returns:
            the vocabulary, words of equal count in alphabetical order; what is left out counts as `<UNK>`.
        """
        kept = [(w, n) for w, n in counts.items() if n >= min_count and w not in (BOS, EOS, UNK)]
        kept.sort(key=lambda pair: (-pair[1], pair[0]))
        if max_size is not None:
            kept = kept[: max(0, max_size - 3)]
        rest = (sum(counts.values()) if total is None else total) - sum(n for _, n in kept)
        return cls([BOS, EOS, UNK, *(w for w, _ in kept)], [0, 0, rest, *(n for _, n in kept)])

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """A vocabulary file: a word a line, optionally with its count after a tab.

        bilm-tf's files have no counts; a line `!!!MAXTERMID` is passed over without using an id.

        Args:
            path: the UTF-8 file.

        Returns:
            the vocabulary.

        Raises:
            MissingFile: no such file.
            InputError: not UTF-8, a special word missing, a word twice.
        """
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
        """The vocabulary as lines of a file: the word, and its count after a tab where counts are known."""
        if self.counts is None:
            yield from self.words
        else:
            for word, count in zip(self.words, self.counts, strict=True):
                yield f"{word}\t{count}"
