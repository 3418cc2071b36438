"""`Features`: a sequence of `WordVectors`, what comes out of a biLM for texts: their words, places and vectors.

Files hold all texts behind each other, the same arrays in .npz and .h5, never a pickle: `vectors`, `text_ends` (where
each text ends), `word_bytes` and `word_ends` (the words in UTF-8, unpaired surrogates kept), `offsets` and
`has_offsets`. What is saved comes back bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.errors import ConfigError, InputError, needing
from elmokit.files import atomic_path
from elmokit.hdf5 import hdf5_file, read_arrays
from elmokit.reading import check_unpacked_size, open_zip, reading

Array = NDArray[Any]

_BLOCK_WORDS = 65_536  # words that are gathered before they are appended to an .h5 file: it bounds the memory


@dataclass(frozen=True, eq=False)
class WordVectors:
    """One text's words with their vectors.

    Args:
        words: the T words.
        offsets: begin and end of each word in the text, in characters, (T, 2); None where words were given.
        vectors: a vector per word, (T, D), or one per layer and word, (L, T, D).

    Example:
        >>> text = WordVectors(("Hi", "!"), np.array([[0, 2], [2, 3]]), np.zeros((2, 8), np.float32))
        >>> text, len(text), text["Hi"].shape
        (WordVectors('Hi !', vectors=(2, 8)), 2, (8,))
    """

    words: tuple[str, ...]
    offsets: NDArray[np.int64] | None
    vectors: Array

    def __post_init__(self) -> None:
        n_words = len(self.words)
        if self.vectors.ndim not in (2, 3) or self.vectors.shape[-2] != n_words:
            shapes = f"({n_words}, width) or (layers, {n_words}, width)"
            raise ConfigError(f"{n_words} words, but vectors of shape {self.vectors.shape}; expected {shapes}.")
        if self.offsets is not None and self.offsets.shape != (n_words, 2):
            raise ConfigError(f"{n_words} words, but offsets of shape {self.offsets.shape}; expected ({n_words}, 2).")

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Words with their vectors, (D,) or (L, D) each."""
        return ((word, self.vectors[..., i, :]) for i, word in enumerate(self.words))

    def __contains__(self, word: object) -> bool:
        return word in self.words

    def __getitem__(self, word: str) -> Array:
        """The vector of a word, of its first occurrence if there are several; KeyError for a word that is not there."""
        try:
            return np.asarray(self.vectors[..., self.words.index(word), :])
        except ValueError:
            raise KeyError(word) from None

    def __repr__(self) -> str:
        return f"WordVectors({' '.join(self.words)!r:.42}, vectors={self.vectors.shape})"


class Features(Sequence[WordVectors]):
    """Word vectors of texts, in the order of the texts: a sequence of `WordVectors`.

    Args:
        texts: one `WordVectors` per text.

    Example:
        >>> features = Features([WordVectors(("a", "b"), None, np.ones((2, 4), np.float32))])
        >>> features, features[0].vectors.shape
        (Features(1 text, 2 words, width 4), (2, 4))
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[WordVectors]) -> None:
        self._texts = tuple(texts)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> WordVectors: ...
    @overload
    def __getitem__(self, index: slice) -> Features: ...
    def __getitem__(self, index: int | slice) -> WordVectors | Features:
        return Features(self._texts[index]) if isinstance(index, slice) else self._texts[index]

    def __iter__(self) -> Iterator[WordVectors]:
        return iter(self._texts)

    def __repr__(self) -> str:
        if not self._texts:
            return "Features(0 texts)"
        shape, n_words = self._texts[0].vectors.shape, sum(map(len, self._texts))
        layers = f", {shape[0]} layers" if len(shape) == 3 else ""
        return f"Features({len(self):,} text{'s' * (len(self) != 1)}, {n_words:,} words{layers}, width {shape[-1]})"

    def to_padded(self) -> tuple[Array, NDArray[np.bool_]]:
        """All texts in one array, padded with zeros, (N, T, D) or (N, L, T, D), and a mask of the words, (N, T).

        Raises ConfigError for texts whose vectors differ in width or layers.

        Example:
            >>> texts = [WordVectors(("a", "b"), None, np.ones((2, 4))), WordVectors(("c",), None, np.ones((1, 4)))]
            >>> vectors, mask = Features(texts).to_padded()
            >>> vectors.shape, mask.tolist()
            ((2, 2, 4), [[True, True], [True, False]])
        """
        *layers, width = _common_shape(self._texts)
        longest = max(map(len, self._texts), default=0)
        dtype = self._texts[0].vectors.dtype if self._texts else np.dtype(np.float32)
        vectors = np.zeros((len(self), *layers, longest, width), dtype)
        for row, text in zip(vectors, self._texts, strict=True):
            row[..., : len(text), :] = text.vectors
        lengths = np.array([len(text) for text in self._texts], dtype=np.intp)
        return vectors, np.arange(longest) < lengths[:, None]

    def to_pandas(self) -> Any:
        """A pandas data frame (extra `pandas`) with a row per word.

        Columns: "text" (its number), "word", "start", "end" (missing where words were given) and "vector".
        """
        with needing("pandas", "pandas", "Features.to_pandas"):
            import pandas as pd
        rows = []
        for i, text in enumerate(self._texts):
            places = [(None, None)] * len(text) if text.offsets is None else text.offsets.tolist()
            rows += [(i, word, *place, vector) for (word, vector), place in zip(text, places, strict=True)]
        types = {"text": "int64", "word": "object", "start": "Int64", "end": "Int64", "vector": "object"}
        return pd.DataFrame(rows, columns=list(types)).astype(types)

    def save(self, path: str | Path) -> None:
        """Write all texts to one file, .npz or .h5, whole or not at all; for the errors see `save_word_vectors`.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "words.npz"
            >>> Features([WordVectors(("a",), None, np.ones((1, 2), np.float32))]).save(path)
            >>> Features.load(path)[0].words
            ('a',)
        """
        save_word_vectors(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Features:
        """Read what `save` or `elmokit embed --words` wrote (which leaves texts without words out) to `path`.

        All vectors share one array. Raises MissingFile, or InputError for a file of another kind or a damaged one.
        """
        path, what = Path(path), "file of word vectors (Features.save writes them)"
        with reading(path, error=InputError, what=what):
            if path.suffix == ".h5":
                arrays = read_arrays(path, error=InputError, what=what)
            else:
                with open_zip(path) as archive:
                    check_unpacked_size(path, sum(member.file_size for member in archive.infolist()))
                with np.load(path, allow_pickle=False) as file:
                    arrays = dict(file.items())
            return cls(_from_rows(arrays) if "features" in arrays else _unpacked(arrays))


def save_word_vectors(path: str | Path, texts: Iterable[WordVectors]) -> int:
    """Write texts as they come, for instance from `Elmo.encode_words_stream`; return their number.

    An .h5 file grows block by block; an .npz file is put together in memory. ConfigError for another ending, or texts
    whose vectors differ in width or layers; OutputError if the file can't be written.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".h5"):
        raise ConfigError(f"{path}: word vectors are written to .npz or .h5; the name ends in {path.suffix!r}.")
    if path.suffix == ".h5":
        with hdf5_file(path) as file:
            return _append_blocks(file, texts)
    texts = list(texts)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **_packed(texts))  # type: ignore[arg-type]  # the stub takes allow_pickle for an array
    return len(texts)


def _common_shape(texts: Sequence[WordVectors]) -> tuple[int, ...]:
    """Layers, where they are apart, and width of the texts' vectors."""
    shapes = {(*text.vectors.shape[:-2], text.vectors.shape[-1]) for text in texts}
    if len(shapes) > 1:
        raise ConfigError(f"the texts' vectors differ in layers or width ({sorted(shapes)}); take them apart.")
    return shapes.pop() if shapes else (0,)


def _packed(texts: Sequence[WordVectors]) -> dict[str, Array]:
    """All texts behind each other, as plain arrays."""
    _common_shape(texts)
    words = [word.encode("utf-8", "surrogatepass") for text in texts for word in text.words]
    places = [np.full((len(t.words), 2), -1, np.int64) if t.offsets is None else t.offsets for t in texts]
    vectors = [text.vectors for text in texts] or [np.zeros((0, 0), np.float32)]
    return {
        "vectors": np.concatenate(vectors, axis=-2),
        "text_ends": np.cumsum([len(text.words) for text in texts], dtype=np.int64),
        "word_bytes": np.frombuffer(b"".join(words), dtype=np.uint8),
        "word_ends": np.cumsum([len(word) for word in words], dtype=np.int64),
        "offsets": np.concatenate([np.zeros((0, 2), np.int64), *places]),
        "has_offsets": np.array([text.offsets is not None for text in texts], dtype=np.bool_),
    }


def _unpacked(arrays: Mapping[str, Array]) -> Iterator[WordVectors]:
    words, start = _packed_words(arrays), 0
    for end, has_offsets in zip(arrays["text_ends"].tolist(), arrays["has_offsets"].tolist(), strict=True):
        offsets = arrays["offsets"][start:end] if has_offsets else None
        yield WordVectors(words[start:end], offsets, arrays["vectors"][..., start:end, :])
        start = end


def _packed_words(arrays: Mapping[str, Array]) -> tuple[str, ...]:
    data, ends = arrays["word_bytes"].tobytes(), arrays["word_ends"].tolist()
    return tuple(data[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends, strict=False))


def _from_rows(arrays: Mapping[str, Array]) -> Iterator[WordVectors]:
    """The command's layout: a row per word, with the number of its text's row in the table."""
    stored = arrays["word"].tolist() if "word" in arrays else _packed_words(arrays)  # of bytes in .h5 files
    words = tuple(word.decode() if isinstance(word, bytes) else str(word) for word in stored)
    offsets = np.stack([arrays["start"], arrays["end"]], axis=1)
    ends = [*np.flatnonzero(np.diff(arrays["row"])) + 1, len(words)] if words else []
    for start, end in zip([0, *ends], ends, strict=False):
        yield WordVectors(words[start:end], offsets[start:end], arrays["features"][start:end])


def _append_blocks(file: Any, texts: Iterable[WordVectors]) -> int:
    n_texts = 0
    for block in blocks(texts, _BLOCK_WORDS, weigh=lambda text: 1 + len(text.words), most=_BLOCK_WORDS):
        n_texts += len(block)
        arrays = _packed(block)
        for name, of in (("text_ends", "offsets"), ("word_ends", "word_bytes")):  # ends are counted on over the blocks
            arrays[name] += len(file[of]) if of in file else 0
        for name, array in arrays.items():
            axis = array.ndim - 2 if name == "vectors" else 0
            growing = (*array.shape[:axis], None, *array.shape[axis + 1 :])
            if name not in file:
                file.create_dataset(name, data=array, maxshape=growing, chunks=True)
                continue
            if (dataset := file[name]).maxshape != growing:
                raise ConfigError(f"the texts' vectors differ in layers or width ({dataset.shape}, {array.shape}).")
            start = dataset.shape[axis]
            dataset.resize(start + array.shape[axis], axis=axis)
            dataset[(slice(None),) * axis + (slice(start, None),)] = array
    if not n_texts:
        file.update(_packed([]))
    return n_texts
