"""Word ↔ id for the softmax of the language model, and vocabulary files; the biLM itself reads characters.

Special words come first (`<S>`, `</S>`, `<UNK>`), then words by decreasing count, as the sampled softmax needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from elmokit.errors import CheckpointError, ElmoKitError, InputError, MissingFile
from elmokit.reading import read_bytes
from elmokit.text.char_ids import BOS, EOS, UNK

MAXTERMID = "!!!MAXTERMID"  # a line of some vocabularies of bilm-tf that is no word

_MAX_BYTES, _MAX_WORDS = 128 << 20, 4_000_000


def read_words(
    path: Path, *, skip: Collection[str] = (), error: type[ElmoKitError] = CheckpointError
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Read a vocabulary file: a word a line, with its count after a tab where every line that is not skipped has one.

    `error` is raised for other files; its cause is a UnicodeDecodeError for one in another encoding than UTF-8.
    """
    if not path.is_file():
        raise MissingFile(f"{path}: no such vocabulary file.")
    data = read_bytes(path, max_bytes=_MAX_BYTES, error=error)
    if not data:
        return (), None
    if data.count(b"\n") > _MAX_WORDS:
        raise error(f"{path}: more than {_MAX_WORDS:,} lines are too many for a vocabulary.")
    try:
        text = data.decode("utf-8-sig").removesuffix("\n")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not a UTF-8 text file ({problem.reason} at byte {problem.start}).") from problem
    text = text.replace("\r\n", "\n").removesuffix("\r")
    if skip:
        text = "\n".join(line for line in text.split("\n") if line not in skip)
    return _with_counts(text) or (tuple(text.split("\n")), None)


def _with_counts(text: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Words and counts, where every line ends in a tab and a number."""
    lines = text.split("\n")
    fields = [part for line in lines for part in line.rsplit("\t", 1)] if all("\t" in line for line in lines) else []
    words, counts = fields[::2], fields[1::2]
    digits = "".join(counts)
    if not (digits.isascii() and digits.isdigit() and all(counts) and max(map(len, counts)) < 19):
        return None
    return tuple(words), tuple(map(int, counts))


def write_words(path: Path, words: Iterable[str], counts: Iterable[int] | None) -> None:
    """Write a vocabulary file that `read_words` reads back as it was."""
    words = list(words)
    for word in words:
        if any(mark in word for mark in "\n\r\t"):
            raise CheckpointError(f"{path}: the word {word!r} holds a tab or line end; no line can hold it.")
    lines = words if counts is None else [f"{w}\t{n}" for w, n in zip(words, counts, strict=True)]
    try:
        path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{path}: the vocabulary has half a surrogate pair ({error.reason}).") from None


class Vocabulary:
    """Words in the order of their ids, `<S>`, `</S>` and `<UNK>` among them, and where known their counts."""

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
        cls, counts: Mapping[str, int], *, max_size: int | None = None, total: int | None = None
    ) -> Vocabulary:
        """Make a vocabulary of the most frequent words; words of equal count in alphabetical order.

        `max_size` includes the three special words; `total` is the corpus's number of words, if `counts` lacks some.
        """
        kept = [(w, n) for w, n in counts.items() if w not in (BOS, EOS, UNK)]
        kept = sorted(kept, key=lambda pair: (-pair[1], pair[0]))[: None if max_size is None else max(0, max_size - 3)]
        rest = (sum(counts.values()) if total is None else total) - sum(n for _, n in kept)
        return cls([BOS, EOS, UNK, *(w for w, _ in kept)], [0, 0, rest, *(n for _, n in kept)])

    def extended(self, words: Iterable[str]) -> Vocabulary:
        """Add words behind those that are there, with a count of 1; known words are passed over."""
        new = [word for word in dict.fromkeys(words) if word not in self]
        return Vocabulary([*self.words, *new], None if self.counts is None else [*self.counts, *[1] * len(new)])

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """Read a UTF-8 file: a word a line, maybe its count after a tab; bilm-tf's `!!!MAXTERMID` is skipped."""
        words = read_words(Path(path), skip=(MAXTERMID, ""), error=InputError)
        try:
            return cls(*words)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
