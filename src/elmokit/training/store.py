"""Corpus → a store of word numbers on disk, made once and reused.

A corpus is read once, cut into words by the model's tokenizer in several processes, and written as numbers: every
distinct spelling gets one, and its bytes are kept in a table beside. Training then reads plain arrays: no text is
touched again, and nothing but the table of spellings grows with the corpus in memory. When that table passes
`max_spellings_in_memory`, spellings seen once are forgotten there (not on disk): should one come back, it gets a
second number, which costs a little space and changes no result. So a corpus of any size can be indexed.

Layout of the folder (all little-endian): `train.ids`, `heldout.ids` uint32 words of all texts · `train.ends`,
`heldout.ends` uint64 end of each text · `words.utf8`, `words.ends` the spellings · `words.counts` uint64, how often
each was seen · `store.json` sources, sizes, tokenizer; written last, so a folder without it is not a store.

A text is held out by the hash of its words: the choice survives re-ordering and repeats of the same text.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.text.char_ids import BOS, EOS, PADDING_ID, UNK, WORD_BEGIN_ID, WORD_END_ID, sentence_boundary_ids
from elmokit.text.tokens import get_tokenizer
from elmokit.text.vocab import Vocabulary

STORE_VERSION = 1
BOS_NUMBER, EOS_NUMBER = 0, 1
_CHUNK_LINES = 4096
_PARTS = ("train", "heldout")


@dataclass(frozen=True)
class Source:
    """One corpus file in a store: which texts are its own.

    Args:
        name: the file's name.
        train: first and last + 1 of its training texts.
        heldout: first and last + 1 of its held-out texts.
        n_words: words of all its texts.
    """

    name: str
    train: tuple[int, int]
    heldout: tuple[int, int]
    n_words: int


@dataclass(frozen=True)
class _Chunk:
    words: list[str]
    ids: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    heldout: NDArray[np.bool_]


def _cut_chunk(texts: Sequence[str], tokenizer: str, heldout_every: int) -> _Chunk:
    """Cut texts into words; numbers are places in the chunk's own list of words."""
    tokenize = get_tokenizer(tokenizer)
    numbers: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    heldout: list[bool] = []
    for text in texts:
        words = [token.word for token in tokenize(text)]
        if not words:
            continue
        ids.extend([numbers.setdefault(word, len(numbers)) for word in words])
        lengths.append(len(words))
        key = zlib.crc32(" ".join(words).encode("utf-8", "ignore"))
        heldout.append(bool(heldout_every) and key % heldout_every == 0)
    return _Chunk(
        list(numbers),
        np.array(ids, dtype=np.uint32),
        np.array(lengths, dtype=np.uint32),
        np.array(heldout, dtype=bool),
    )


def _chunks(lines: Iterable[str], n: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == n:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Writer:
    """Appends chunks to a store's files and keeps the table of spellings."""

    def __init__(self, folder: Path, max_spellings_in_memory: int) -> None:
        self._files: dict[str, BinaryIO] = {}
        for name in ("train.ids", "train.ends", "heldout.ids", "heldout.ends", "words.utf8", "words.ends"):
            self._files[name] = (folder / name).open("wb")
        self._folder = folder
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(1 << 16, dtype=np.uint64)
        self._max = max_spellings_in_memory
        self._bytes = 0
        self.n_spellings = 0
        self.n_words = dict.fromkeys(_PARTS, 0)
        self.n_texts = dict.fromkeys(_PARTS, 0)
        for special in (BOS, EOS):  # their rows are special, whatever is spelled in a text
            self._number_new(special)
        self._numbers.clear()

    def add(self, chunk: _Chunk) -> None:
        numbers = np.fromiter((self._number(w) for w in chunk.words), dtype=np.uint32, count=len(chunk.words))
        ids = numbers[chunk.ids]
        self._counts[: self.n_spellings] += np.bincount(ids, minlength=self.n_spellings).astype(np.uint64)
        of_text = np.repeat(chunk.heldout, chunk.lengths)
        for part, chosen in (("train", ~chunk.heldout), ("heldout", chunk.heldout)):
            ends = np.cumsum(chunk.lengths[chosen], dtype=np.uint64) + np.uint64(self.n_words[part])
            self._files[f"{part}.ids"].write(ids[of_text == (part == "heldout")].tobytes())
            self._files[f"{part}.ends"].write(ends.tobytes())
            self.n_texts[part] += len(ends)
            self.n_words[part] = int(ends[-1]) if len(ends) else self.n_words[part]
        if len(self._numbers) > self._max:
            self._numbers = {w: n for w, n in self._numbers.items() if self._counts[n] > 1}

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._counts[: self.n_spellings].tofile(self._folder / "words.counts")

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        return self._number_new(word) if number is None else number

    def _number_new(self, word: str) -> int:
        number = self._numbers[word] = self.n_spellings
        data = word.encode("utf-8", "surrogatepass")
        self._bytes += len(data)
        self._files["words.utf8"].write(data)
        self._files["words.ends"].write(np.uint64(self._bytes).tobytes())
        self.n_spellings += 1
        if self.n_spellings > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return number


def _in_order(
    pool: Executor, function: Callable[..., _Chunk], jobs: Iterable[tuple[Any, ...]], ahead: int
) -> Iterator[_Chunk]:
    """Results in order, with a bounded number of jobs under way."""
    waiting: deque[Future[_Chunk]] = deque()
    for job in jobs:
        waiting.append(pool.submit(function, *job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def build_store(
    sources: Sequence[tuple[str, Callable[[], Iterable[str]]]],
    folder: str | Path,
    *,
    tokenizer: str = "default",
    heldout_every: int = 500,
    n_processes: int = 2,
    fingerprint: str = "",
    max_spellings_in_memory: int = 4_000_000,
    on_progress: Callable[[str, int], None] | None = None,
) -> Store:
    """Index a corpus.

    Args:
        sources: (name, function that gives the texts) of each file.
        folder: where the store shall be; an existing one is replaced.
        tokenizer: name of the tokenizer that cuts texts into words.
        heldout_every: one text in so many is held out, by hash; 0 for none.
        n_processes: processes that cut; 1 works in this one.
        fingerprint: what `Store.fingerprint` shall be, to tell whether a store still fits.
        max_spellings_in_memory: see the module's docstring.
        on_progress: called with the source's name and the words so far, after each chunk.

    Returns:
        the store, opened.

    Raises:
        InputError: no text at all.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    pool = ProcessPoolExecutor(n_processes) if n_processes > 1 else None
    try:
        writer = _Writer(making, max_spellings_in_memory)
        made: list[Source] = []
        for name, texts in sources:
            before = (writer.n_texts["train"], writer.n_texts["heldout"], sum(writer.n_words.values()))
            jobs = ((chunk, tokenizer, heldout_every) for chunk in _chunks(texts(), _CHUNK_LINES))
            cut = (
                (_cut_chunk(*job) for job in jobs)
                if pool is None
                else _in_order(pool, _cut_chunk, jobs, 2 * n_processes)
            )
            for chunk in cut:
                writer.add(chunk)
                if on_progress is not None:
                    on_progress(name, sum(writer.n_words.values()))
            made.append(
                Source(
                    name,
                    (before[0], writer.n_texts["train"]),
                    (before[1], writer.n_texts["heldout"]),
                    sum(writer.n_words.values()) - before[2],
                )
            )
        writer.close()
        if not writer.n_words["train"]:
            raise InputError(
                f"the corpus has no text to train on ({', '.join(name for name, _ in sources) or 'no file'}): expected"
                " files with one text a line."
            )
        facts = {
            "version": STORE_VERSION,
            "fingerprint": fingerprint,
            "tokenizer": tokenizer,
            "heldout_every": heldout_every,
            "sources": [asdict(source) for source in made],
        }
        (making / "store.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        shutil.rmtree(making, ignore_errors=True)
    return Store(folder)


class Store:
    """An indexed corpus, opened. Words of texts are read when they are asked for, the table of spellings is mapped.

    Args:
        folder: what `build_store` made.

    Raises:
        InputError: not a store, or one of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            facts = json.loads((self.folder / "store.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{self.folder}: no corpus store (store.json can't be read: {error}).") from error
        if facts.get("version") != STORE_VERSION:
            raise InputError(
                f"{self.folder}: a corpus store of version {facts.get('version')}; this elmokit reads {STORE_VERSION}."
                " Delete the folder: it is made again from the corpus."
            )
        self.fingerprint: str = facts["fingerprint"]
        self.tokenizer: str = facts["tokenizer"]
        self.sources = [
            Source(s["name"], (s["train"][0], s["train"][1]), (s["heldout"][0], s["heldout"][1]), s["n_words"])
            for s in facts["sources"]
        ]
        self.counts = self._open("words.counts", np.uint64)
        self._spelling_ends = self._open("words.ends", np.uint64)
        self._spellings = self._open("words.utf8", np.uint8)
        self._sizes = {
            name: (self.folder / name).stat().st_size // np.dtype(dtype).itemsize
            for part in _PARTS
            for name, dtype in ((f"{part}.ids", np.uint32), (f"{part}.ends", np.uint64))
        }

    def _open(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        path = self.folder / name
        if path.stat().st_size == 0:
            return np.zeros(0, dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r")

    @property
    def n_spellings(self) -> int:
        """Numbers given out, the two boundaries included."""
        return len(self._spelling_ends)

    def n_texts(self, part: str) -> int:
        """Texts of "train" or "heldout"."""
        return self._sizes[f"{part}.ends"]

    def n_words(self, part: str) -> int:
        """Words of "train" or "heldout"."""
        return self._sizes[f"{part}.ids"]

    def ends(self, part: str, first: int, last: int) -> NDArray[np.int64]:
        """Where texts end, counted in words from the start of the part.

        Args:
            part: "train" or "heldout".
            first: first text.
            last: last text + 1.

        Returns:
            Shape (last - first,).
        """
        return self._read(f"{part}.ends", np.uint64, first, last).astype(np.int64)

    def span(self, part: str, first: int, last: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The words of consecutive texts.

        Args:
            part: "train" or "heldout".
            first: first text.
            last: last text + 1.

        Returns:
            the words' numbers, and where each text ends in them.
        """
        start = int(self.ends(part, first - 1, first)[0]) if first else 0
        rel = self.ends(part, first, last) - start
        return self._read(f"{part}.ids", np.uint32, start, start + int(rel[-1]) if len(rel) else start), rel

    def _read(self, name: str, dtype: type[np.generic], first: int, last: int) -> NDArray[Any]:
        """A part of a file. Read, not mapped: pages of a map would stay in memory and grow with the corpus."""
        size = np.dtype(dtype).itemsize
        return np.fromfile(self.folder / name, dtype=dtype, count=last - first, offset=first * size)

    def char_ids(self, numbers: NDArray[np.integer], max_characters: int) -> NDArray[np.int16]:
        """Character ids of spellings: the same rows as `elmokit.text.char_ids.words_to_char_ids` gives.

        Args:
            numbers: Shape (N,).
            max_characters: C.

        Returns:
            Shape (N, C).
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        ends = self._spelling_ends[numbers].astype(np.int64)
        starts = np.where(numbers > 0, self._spelling_ends[np.maximum(numbers - 1, 0)].astype(np.int64), 0)
        lengths = np.minimum(ends - starts, max_characters - 2)
        places = np.arange(max_characters - 2)
        real = places < lengths[:, None]
        data = self._spellings[np.where(real, starts[:, None] + places, 0)]
        ids = np.full((len(numbers), max_characters), PADDING_ID, dtype=np.int16)
        ids[:, 0] = WORD_BEGIN_ID
        ids[:, 1:-1] = np.where(real, data.astype(np.int16) + 1, PADDING_ID)
        ids[np.arange(len(numbers)), lengths + 1] = WORD_END_ID
        boundaries = sentence_boundary_ids(max_characters)
        for number, row in ((BOS_NUMBER, boundaries[0]), (EOS_NUMBER, boundaries[1])):
            ids[numbers == number] = row
        return ids

    def spellings(self) -> Iterator[str]:
        """Every spelling, in order of its number."""
        start = 0
        for end in self._spelling_ends.tolist():
            yield bytes(self._spellings[start:end]).decode("utf-8", "surrogatepass")
            start = end

    def vocabulary(self, *, max_size: int | None, min_count: int = 1) -> Vocabulary:
        """The most frequent words.

        Args:
            max_size: words at most, the special ones included; None for all.
            min_count: a word must be seen this often.

        Returns:
            the vocabulary with counts.
        """
        counts = np.asarray(self.counts)
        candidates = np.flatnonzero(counts >= max(min_count, 1))
        if max_size is not None and len(candidates) > 2 * max_size:  # some may be one word with two numbers
            candidates = candidates[np.argsort(counts[candidates], kind="stable")[-2 * max_size :]]
        found: dict[str, int] = {}
        for number in candidates.tolist():
            word = self.spelling(number)
            found[word] = found.get(word, 0) + int(counts[number])
        return Vocabulary.from_counts(found, total=int(counts.sum()), max_size=max_size, min_count=min_count)

    def spelling(self, number: int) -> str:
        """The word of that number."""
        start = int(self._spelling_ends[number - 1]) if number else 0
        return bytes(self._spellings[start : int(self._spelling_ends[number])]).decode("utf-8", "surrogatepass")

    def targets(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """The vocabulary id of every spelling number. Shape (n_spellings,)."""
        ids = np.fromiter((vocabulary.id_of(w) for w in self.spellings()), dtype=np.int32, count=self.n_spellings)
        ids[BOS_NUMBER], ids[EOS_NUMBER] = vocabulary.bos_id, vocabulary.eos_id
        return ids


def fingerprint_of(paths: Sequence[Path], *settings: object) -> str:
    """A short hash of files (by path, size and time) and settings, to tell whether a store still fits."""
    parts: list[object] = [STORE_VERSION, UNK, *settings]
    for path in paths:
        stat = path.stat()
        parts += [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]
