"""The vectors of a teacher: computed once, reduced, and kept on disk for training.

A teacher knows vectors of texts, of words, or both. They are projected on principal components, their variances evened
half out (λ^-1/4), scaled to unit length and stored as int8. Texts are encoded in a random order, block by block, so an
interrupted run continues, and one that runs out of time has vectors of a fair sample.
"""

import gzip
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile, TrainingError, needing
from elmokit.files import atomic_path, write_json
from elmokit.reading import read_json, reading
from elmokit.runtime.whitening import principal_components
from elmokit.text.vocab import read_words
from elmokit.training.store import CorpusStore, OnProgress

Vectors = NDArray[np.float32]

TEXT_WIDTH = 256
_BLOCK, _SAMPLE, _MAX_HELDOUT = 1024, 8192, 4096
_MAX_WORDS = 100_000  # of a file of word vectors


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """Where vectors come from."""

    identity: str  # name and contents, to tell whether a run continues with the same teacher
    encode: Callable[[Sequence[str]], Vectors] | None = None  # texts → vectors, for a teacher that reads texts
    texts: NDArray[Any] | None = None  # (n_texts, D) of the corpus's texts, in the order in which its files are read
    word_list: tuple[str, ...] = ()  # words with vectors, most frequent first
    words: NDArray[Any] | None = None  # (n_words, D') their vectors


def open_teacher(path: str | Path, *, device: str = "cpu") -> Teacher:
    """Open a teacher; InputError for files of another kind, shape or type.

    `path` is a folder of sentence-transformers (extra `compare`), which runs on `device`; a folder with `texts.npy`, or
    `words.npy` and `words.txt` (a word a line), or all three; one `.npy` file of text vectors, a row per text of the
    corpus; or word vectors in word2vec's text form (`.vec`, `.txt`, `.gz`).
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile(f"{path}: no such teacher.")
    identity = f"{path.name} {_digest(path)}"
    if path.is_dir() and (path / "modules.json").exists():
        return Teacher(identity=identity, encode=_sentence_encoder(path, device))
    if path.suffix == ".npy":
        return Teacher(identity=identity, texts=_array(path))
    if not path.is_dir():
        known, vectors = read_word_vectors(path)
        return Teacher(identity=identity, word_list=known, words=vectors)
    texts, words = (_array(file) if (file := path / name).exists() else None for name in ("texts.npy", "words.npy"))
    if texts is None and words is None:
        raise InputError(
            f"{path}: expected modules.json (sentence-transformers), texts.npy, or words.npy and words.txt."
        )
    word_list, _ = ((), None) if words is None else read_words(path / "words.txt", error=InputError)
    if words is not None and len(words) != len(word_list):
        raise InputError(f"{path}: words.npy has {len(words)} rows, words.txt {len(word_list)} lines.")
    return Teacher(identity=identity, texts=texts, word_list=word_list, words=words)


def read_word_vectors(path: Path) -> tuple[tuple[str, ...], Vectors]:
    """Words, each once, and vectors (n, D) of a word2vec or fastText file in text form (".vec", ".txt", also ".gz").

    InputError names a line of another form by its number.
    """
    rows: dict[str, Vectors] = {}
    with (
        reading(path, what="file of word vectors", error=InputError),
        (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="\n") as file,
    ):
        first = file.readline(1000).split()
        if len(first) != 2 or not all(part.isdigit() for part in first) or int(first[1]) > 1 << 16:
            raise InputError(f"{path}: line 1 should hold the number of words and the width, as word2vec writes them.")
        width = int(first[1])
        for number, line in enumerate(iter(lambda: file.readline(64 * width + 10_000), ""), 2):
            if len(rows) == _MAX_WORDS:
                break
            word, _, rest = line.rstrip("\n ").partition(" ")
            row = np.empty(0, dtype=np.float32)
            with suppress(ValueError):
                row = np.array(rest.split(" "), dtype=np.float32)
            if len(row) != width or not np.isfinite(row).all():
                raise InputError(f"{path}, line {number}: expected a word and {width} numbers, got {line[:40]!r}…")
            rows.setdefault(word, row)
    if not rows:
        raise InputError(f"{path}: no word vectors in it.")
    return tuple(rows), np.stack(list(rows.values()))


def _sentence_encoder(folder: Path, device: str) -> Callable[[Sequence[str]], Vectors]:
    """A function that encodes texts with a sentence-transformers model; CheckpointError if the folder holds none."""
    with needing("sentence-transformers", "compare", "teachers in its format"):
        from sentence_transformers import SentenceTransformer
    try:
        model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    except Exception as error:
        raise CheckpointError(f"{folder}: not a sentence-transformers model ({error}).") from error

    def encode(texts: Sequence[str]) -> Vectors:
        return np.asarray(model.encode(list(texts), batch_size=64, show_progress_bar=False), dtype=np.float32)

    return encode


def _array(path: Path) -> NDArray[Any]:
    with reading(path, what="NumPy array", error=InputError):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise InputError(
            f"{path}: expected floating-point numbers of shape (rows, width); got {array.shape} {array.dtype}."
        )
    return np.asarray(array) if array.size < 1 << 16 else array


def _digest(path: Path) -> str:
    """A hash of the files' names, sizes and first megabytes."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        digest.update(f"{file.name} {file.stat().st_size} ".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()[:16]


class TeacherTargets:
    """A teacher's reduced vectors, from `build_targets`; unit length, or zero where there is none."""

    def __init__(self, folder: Path, store: CorpusStore) -> None:
        state = read_json(folder / "teacher.json", what="state of a teacher", error=TrainingError)
        with reading(folder, what="store of teacher vectors", error=TrainingError):
            shape = int(state["n_texts"]), int(state["text_width"])
            empty = np.zeros((0, 0), np.int8)
            self._texts = np.memmap(folder / "texts.i8", np.int8, "r", shape=shape) if shape[1] else empty
            with np.load(folder / "words.npz", allow_pickle=False) as file:
                self._words, self._word_rows = file["vectors"], file["rows"]
        self._first = {"train": 0, "heldout": store.n_texts("train")}
        self._row_of = np.full(store.n_spellings, -1, dtype=np.int64)
        self._row_of[self._word_rows] = np.arange(len(self._word_rows))
        self.identity, self.seconds = str(state["identity"]), float(state["seconds"])

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the vectors of texts and words; 0 where there are none."""
        return self._texts.shape[1], self._words.shape[1]

    def texts(self, part: str, numbers: NDArray[np.integer]) -> Vectors:
        """Vectors of texts; zero for −1 and for texts without one. Shape (B,) → (B, D)."""
        rows = np.where(numbers >= 0, numbers + self._first[part], -1)
        return _chosen(self._texts, np.where(rows < len(self._texts), rows, -1))

    def words(self, numbers: NDArray[np.integer]) -> Vectors:
        """Vectors of spellings; zero for those without one. Shape (N,) → (N, D')."""
        return _chosen(self._words, self._row_of[numbers])

    def word_list(self, store: CorpusStore) -> tuple[tuple[str, ...], Vectors]:
        """The words that have vectors, and these."""
        return tuple(map(store.spelling, self._word_rows.tolist())), _unit(self._words)


def build_targets(
    teacher: Teacher,
    store: CorpusStore,
    folder: Path,
    *,
    max_words: int,
    max_word_width: int,
    seed: int,
    seconds: float | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Compute a teacher's vectors into a folder, or continue there, in `seconds` for all texts.

    ConfigError: the folder holds vectors of another teacher, or the teacher's arrays do not fit the corpus.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_train, n_heldout = store.n_texts("train"), min(store.n_texts("heldout"), _MAX_HELDOUT)
    state: dict[str, Any] = {"identity": teacher.identity, "n_texts": n_train + n_heldout, "text_width": 0}
    state |= {"n_done": 0, "seconds": 0.0, "complete": False}
    path = folder / "teacher.json"
    if path.exists():
        before = read_json(path, what="state of a teacher", error=TrainingError)
        if any(before.get(key) != state[key] for key in ("identity", "n_texts")):
            raise ConfigError(f"{folder}: holds the vectors of another teacher or corpus ({before.get('identity')!r}).")
        state = before
    if state["complete"]:
        return
    if teacher.texts is not None and len(teacher.texts) != store.n_rows:
        raise ConfigError(
            f"the teacher has {len(teacher.texts):,} vectors of texts, but the corpus has {store.n_rows:,} texts that"
            " are not blank; expected one vector per text, in the order of the files."
        )
    started = time.monotonic() - state["seconds"]
    if not (folder / "words.npz").exists():
        _build_words(teacher, store, folder / "words.npz", max_words, max_word_width)
    if teacher.encode is not None or teacher.texts is not None:
        order = np.random.default_rng(seed).permutation(n_train)
        order = np.concatenate([order[:_SAMPLE], n_train + np.arange(n_heldout), order[_SAMPLE:]])
        raw = _text_vectors(teacher, store, n_heldout)
        if not (folder / "components.npz").exists():
            mean, axes = principal_components(raw(order[: min(_SAMPLE, n_train)]), TEXT_WIDTH)
            with atomic_path(folder / "components.npz") as temporary:
                np.savez(temporary, mean=mean, axes=axes)
        with np.load(folder / "components.npz", allow_pickle=False) as file:
            mean, axes = file["mean"], file["axes"]
        state["text_width"] = axes.shape[1]
        mode: Any = "r+" if state["n_done"] else "w+"
        vectors = np.memmap(folder / "texts.i8", np.int8, mode, shape=(len(order), axes.shape[1]))
        while state["n_done"] < len(order) and (seconds is None or time.monotonic() - started < seconds):
            numbers = order[state["n_done"] : state["n_done"] + _BLOCK]
            vectors[numbers] = _int8((raw(numbers) - mean) @ axes)
            vectors.flush()
            state |= {"n_done": state["n_done"] + len(numbers), "seconds": time.monotonic() - started}
            write_json(path, state)
            if on_progress is not None:
                on_progress("teacher", state["n_done"], len(order))
    write_json(path, state | {"complete": True, "seconds": time.monotonic() - started})


def _text_vectors(teacher: Teacher, store: CorpusStore, n_heldout: int) -> Callable[[NDArray[np.int64]], Vectors]:
    """A function from numbers of texts (training texts, then held-out ones) to the teacher's vectors."""
    n_train = store.n_texts("train")
    rows = np.concatenate([store.rows("train"), store.rows("heldout")[:n_heldout]])

    def vectors(numbers: NDArray[np.int64]) -> Vectors:
        if teacher.encode is None:
            assert teacher.texts is not None
            return np.asarray(teacher.texts[rows[numbers]], dtype=np.float32)
        parts = [("train", n) if n < n_train else ("heldout", n - n_train) for n in numbers.tolist()]
        return teacher.encode([store.text(*part) for part in parts])

    return vectors


def _build_words(teacher: Teacher, store: CorpusStore, path: Path, max_words: int, max_width: int) -> None:
    """Vectors of the most frequent spellings that the teacher knows."""
    frequent = np.argsort(-np.asarray(store.counts).astype(np.int64), kind="stable")[: max_words + 2]
    frequent = frequent[frequent > 1]  # without the boundaries
    spellings = [store.spelling(number) for number in frequent.tolist()]
    if teacher.words is not None:
        row_of = {word: row for row, word in reversed(list(enumerate(teacher.word_list)))}
        known = [place for place, word in enumerate(spellings) if word in row_of]
        frequent, rows = frequent[known], [row_of[spellings[place]] for place in known]
        raw = np.asarray(teacher.words[rows], dtype=np.float32) if rows else np.zeros((0, 0), np.float32)
    elif teacher.encode is not None:
        blocks = [teacher.encode(spellings[at : at + _BLOCK]) for at in range(0, len(spellings), _BLOCK)]
        raw = np.concatenate(blocks, dtype=np.float32)
    else:
        frequent, raw = frequent[:0], np.zeros((0, 0), np.float32)
    if len(raw):
        mean, axes = principal_components(raw, max_width)
        raw = np.asarray((raw - mean) @ axes, dtype=np.float32)
    with atomic_path(path) as temporary:
        np.savez(temporary, vectors=_int8(raw), rows=frequent)


def _chosen(vectors: NDArray[np.int8], rows: NDArray[np.int64]) -> Vectors:
    """Rows of vectors, of unit length; zero for −1; of shape (0, 0) where there are no vectors at all."""
    return _unit(vectors[np.maximum(rows, 0)] * (rows >= 0)[:, None] if len(vectors) else vectors)


def _int8(vectors: Vectors) -> NDArray[np.int8]:
    """Each row scaled to ±127; readers scale to unit length, so no scale is kept."""
    largest = np.abs(vectors).max(axis=1, keepdims=True) if vectors.size else np.ones((len(vectors), 1), np.float32)
    if not np.isfinite(largest).all():
        raise InputError("the teacher's vectors hold numbers that are not finite.")
    return np.asarray(np.rint(vectors / np.maximum(largest, 1e-9) * 127), dtype=np.int8)


def _unit(vectors: NDArray[np.int8]) -> Vectors:
    vectors = vectors.astype(np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)
