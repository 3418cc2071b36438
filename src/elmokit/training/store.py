"""Corpus → a store of word numbers on disk, made once and reused.

Every distinct spelling gets a number. When the table of spellings passes `max_spellings_in_memory`, those seen once are
forgotten there (not on disk); should one come back, it gets a second number, which changes no result. Files (little
endian): `{train,heldout}.ids` uint32 words · `.ends` uint64 end of each text · `.rows` uint32 number of each text in
the corpus · `words.{utf8,ends,counts}` spellings · `store.json`, written last.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count, islice, starmap
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.errors import InputError
from elmokit.files import write_json
from elmokit.reading import read_json, reading
from elmokit.text.char_ids import BOS, EOS, PADDING_ID, WORD_BEGIN_ID, WORD_END_ID, sentence_boundary_ids
from elmokit.text.tokens import get_tokenizer
from elmokit.text.vocab import Vocabulary

STORE_VERSION = 2
BOS_NUMBER, EOS_NUMBER = 0, 1
_CHUNK_LINES = 4096
_PARTS = ("train", "heldout")
_TYPES = {"ids": np.uint32, "ends": np.uint64, "rows": np.uint32}

OnProgress = Callable[[str, int, "int | None"], None]
"""Called with the name of the stage, the number of steps done, and the number of all steps (None if unknown)."""


@dataclass(frozen=True)
class CorpusSource:
    """One corpus file in a store: first and last + 1 of its texts in both parts, and its number of words."""

    name: str
    train: Sequence[int]
    heldout: Sequence[int]
    n_words: int


class _Chunk(NamedTuple):
    """Texts cut into words; ids are places in the chunk's own list of words."""

    n_rows: int
    words: list[str]
    ids: NDArray[np.uint32]
    lengths: NDArray[np.uint32]  # of the texts that have words
    heldout: NDArray[np.bool_]
    rows: NDArray[np.uint32]


def _cut_chunk(texts: Sequence[str], first_row: int, tokenizer: str, heldout_every: int) -> _Chunk:
    tokenize = get_tokenizer(tokenizer)
    numbers: dict[str, int] = {}
    ids: list[int] = []
    kept: list[tuple[int, bool, int]] = []
    for row, text in enumerate(texts, first_row):
        words = [token.word for token in tokenize(text)]
        if words:
            ids += [numbers.setdefault(word, len(numbers)) for word in words]
            key = zlib.crc32(" ".join(words).encode("utf-8", "ignore"))
            kept.append((len(words), bool(heldout_every) and key % heldout_every == 0, row))
    lengths, heldout, rows = np.array(kept, dtype=np.uint32).reshape(-1, 3).T
    return _Chunk(len(texts), list(numbers), np.array(ids, np.uint32), lengths, heldout.astype(bool), rows)


class _Writer:
    """Appends chunks to a store's files and keeps the table of spellings."""

    def __init__(self, folder: Path, max_spellings_in_memory: int) -> None:
        names = [f"{part}.{kind}" for part in _PARTS for kind in _TYPES]
        self._files: dict[str, BinaryIO] = {n: (folder / n).open("wb") for n in (*names, "words.utf8", "words.ends")}
        self._folder, self._max = folder, max_spellings_in_memory
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(1 << 16, dtype=np.uint64)
        self._bytes = self.n_spellings = 0
        self.n_words, self.n_texts = dict.fromkeys(_PARTS, 0), dict.fromkeys(_PARTS, 0)
        for special in (BOS, EOS):  # their rows are special, whatever is spelled in a text
            self._number_new(special)
        self._numbers.clear()

    def add(self, chunk: _Chunk) -> None:
        numbers = np.array([self._numbers.get(w, -1) for w in chunk.words], dtype=np.int64)
        for place in np.flatnonzero(numbers < 0):
            numbers[place] = self._number_new(chunk.words[place])
        ids = numbers[chunk.ids].astype(np.uint32)
        self._counts[: self.n_spellings] += np.bincount(ids, minlength=self.n_spellings).astype(np.uint64)
        for part, chosen in (("train", ~chunk.heldout), ("heldout", chunk.heldout)):
            ends = np.cumsum(chunk.lengths[chosen], dtype=np.uint64) + np.uint64(self.n_words[part])
            self._files[f"{part}.ids"].write(ids[np.repeat(chosen, chunk.lengths)].tobytes())
            self._files[f"{part}.ends"].write(ends.tobytes())
            self._files[f"{part}.rows"].write(chunk.rows[chosen].tobytes())
            self.n_texts[part] += len(ends)
            self.n_words[part] = int(ends[-1]) if len(ends) else self.n_words[part]
        if len(self._numbers) > self._max:
            self._numbers = {w: n for w, n in self._numbers.items() if self._counts[n] > 1}

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._counts[: self.n_spellings].tofile(self._folder / "words.counts")

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


def _chunks(texts: Iterable[str], first_row: int, settings: tuple[str, int], n_processes: int) -> Iterator[_Chunk]:
    """Texts cut in order, by several processes with a bounded number of chunks under way."""
    jobs = ((*job, *settings) for job in zip(blocks(texts, _CHUNK_LINES), count(first_row, _CHUNK_LINES)))
    if n_processes < 2:
        yield from starmap(_cut_chunk, jobs)
        return
    with ProcessPoolExecutor(n_processes) as pool:
        try:
            waiting = deque(pool.submit(_cut_chunk, *job) for job in islice(jobs, 2 * n_processes))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_cut_chunk, *job) for job in islice(jobs, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def build_store(
    sources: Sequence[tuple[str, Callable[[], Iterable[str]]]],
    folder: str | Path,
    *,
    tokenizer: str = "default",
    heldout_every: int = 500,
    n_processes: int = 2,
    fingerprint: str = "",
    max_spellings_in_memory: int = 4_000_000,
    on_progress: OnProgress | None = None,
) -> CorpusStore:
    """Index a corpus into a folder; an existing store is replaced. InputError if there is no text at all.

    `sources` are the name of each file and a function that returns its texts; one text in `heldout_every` is held out
    (0: none); `max_spellings_in_memory`: see the module's docstring.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        writer = _Writer(making, max_spellings_in_memory)
        made: list[CorpusSource] = []
        n_rows = 0
        for name, texts in sources:
            train, heldout, n_words = *writer.n_texts.values(), sum(writer.n_words.values())
            for chunk in _chunks(texts(), n_rows, (tokenizer, heldout_every), n_processes):
                writer.add(chunk)
                n_rows += chunk.n_rows
                if on_progress is not None:
                    on_progress(f"indexing {name}", sum(writer.n_words.values()), None)
            ends, n_words = writer.n_texts, sum(writer.n_words.values()) - n_words
            made.append(CorpusSource(name, (train, ends["train"]), (heldout, ends["heldout"]), n_words))
        writer.close()
        if not writer.n_words["train"]:
            raise InputError(
                f"the corpus has no text to train on ({', '.join(name for name, _ in sources) or 'no file'}): expected"
                " files with one text a line."
            )
        metadata = {"version": STORE_VERSION, "fingerprint": fingerprint, "n_rows": n_rows}
        write_json(making / "store.json", metadata | {"sources": [asdict(source) for source in made]}, indent=1)
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return CorpusStore(folder)


class CorpusStore:
    """An indexed corpus, made by `build_store`. Texts are read when asked for; spellings are memory-mapped.

    MissingFile, InputError: not a store, a damaged one, or one of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        with reading(self.folder, what="corpus store; delete it, it is made again from the corpus", error=InputError):
            metadata = read_json(self.folder / "store.json", what="corpus store", error=InputError)
            if metadata.get("version") != STORE_VERSION:
                raise ValueError(f"it has version {metadata.get('version')}; this elmokit reads {STORE_VERSION}")
            self.fingerprint, self.n_rows = str(metadata["fingerprint"]), int(metadata["n_rows"])
            self.sources = [CorpusSource(**source) for source in metadata["sources"]]
            self.counts = self._open("words.counts", np.uint64)  # of each spelling, the two boundaries included
            self._spelling_ends = self._open("words.ends", np.uint64)
            self._spellings = self._open("words.utf8", np.uint8)
            self.n_spellings = len(self._spelling_ends)
            names = [(f"{part}.{kind}", np.dtype(dtype)) for part in _PARTS for kind, dtype in _TYPES.items()]
            self._sizes = {name: (self.folder / name).stat().st_size // dtype.itemsize for name, dtype in names}
            ends = {part: max((getattr(source, part)[1] for source in self.sources), default=0) for part in _PARTS}
            if any(self._sizes[f"{part}.{kind}"] != ends[part] for part in _PARTS for kind in ("ends", "rows")):
                raise ValueError("files of other sizes")
            if len(self.counts) != self.n_spellings:
                raise ValueError("counts of other words")

    def _open(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        path = self.folder / name
        return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)

    def n_texts(self, part: str) -> int:
        """Number of texts in "train" or "heldout"."""
        return self._sizes[f"{part}.ends"]

    def n_words(self, part: str) -> int:
        """Number of words in "train" or "heldout"."""
        return self._sizes[f"{part}.ids"]

    def ends(self, part: str, first: int, last: int) -> NDArray[np.int64]:
        """Where the texts from `first` to `last` - 1 end, in words of the part. Shape (last - first,)."""
        return self._read(f"{part}.ends", np.uint64, first, last).astype(np.int64)

    def rows(self, part: str) -> NDArray[np.int64]:
        """Number of each text in the corpus, as its files were read. Shape (n_texts,)."""
        return self._read(f"{part}.rows", np.uint32, 0, self.n_texts(part)).astype(np.int64)

    def span(self, part: str, first: int, last: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The word numbers of the texts from `first` to `last` - 1, and where each text ends in them."""
        start = int(self.ends(part, first - 1, first)[0]) if first else 0
        ends = self.ends(part, first, last) - start
        return self._read(f"{part}.ids", np.uint32, start, start + int(ends[-1]) if len(ends) else start), ends

    def _read(self, name: str, dtype: type[np.generic], first: int, last: int) -> NDArray[Any]:
        """A part of a file. Read, not mapped: pages of a map would stay in memory and grow with the corpus."""
        size = np.dtype(dtype).itemsize
        return np.fromfile(self.folder / name, dtype=dtype, count=last - first, offset=first * size)

    def text(self, part: str, number: int) -> str:
        """The words of a text with blanks between them."""
        return " ".join(map(self.spelling, self.span(part, number, number + 1)[0].tolist()))

    def char_ids(self, numbers: NDArray[np.integer], max_characters: int) -> NDArray[np.int16]:
        """Character ids of spellings, as `elmokit.text.char_ids.words_to_char_ids` makes them. Shape (N,) → (N, C)."""
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

    def spelling(self, number: int) -> str:
        """The word of that number."""
        start = int(self._spelling_ends[number - 1]) if number else 0
        return bytes(self._spellings[start : int(self._spelling_ends[number])]).decode("utf-8", "surrogatepass")

    def vocabulary(self, *, max_size: int) -> Vocabulary:
        """The most frequent words with their counts; `max_size` includes the special words."""
        counts = np.asarray(self.counts)
        candidates = np.flatnonzero(counts)
        if len(candidates) > 2 * max_size:  # some may be one word with two numbers
            candidates = candidates[np.argsort(counts[candidates], kind="stable")[-2 * max_size :]]
        by_word: dict[str, int] = {}
        for number in candidates.tolist():
            word = self.spelling(number)
            by_word[word] = by_word.get(word, 0) + int(counts[number])
        return Vocabulary.from_counts(by_word, total=int(counts.sum()), max_size=max_size)

    def targets(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """The vocabulary id of every spelling. Shape (n_spellings,)."""
        words = map(self.spelling, range(self.n_spellings))
        ids = np.fromiter(map(vocabulary.id_of, words), dtype=np.int32, count=self.n_spellings)
        ids[BOS_NUMBER], ids[EOS_NUMBER] = vocabulary.bos_id, vocabulary.eos_id
        return ids
