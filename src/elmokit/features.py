"""Features: what comes out of a biLM for texts, one value per text: its words, their places, their vectors.

A `Features` is a plain sequence of `WordVectors` that cannot be changed, so it may be passed about, sliced and saved
without surprise. Texts differ in length and are never padded against each other.

Files hold all texts behind each other: `vectors`, `text_ends` (where each text ends), `word_bytes` and `word_ends`
(the words in UTF-8, unpaired surrogates kept), `offsets` and `has_offsets`. The same names in .npz and .h5; plain
arrays, never a pickle. What is saved comes back bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, overload
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.files import atomic_path, surviving_file

Array = NDArray[Any]
_Arrays = dict[str, Array]

_BLOCK_WORDS = 65_536
"""Words that are gathered before they are appended to an .h5 file: it bounds the memory of `save_word_vectors`."""


_ROWS_SHOWN = 10
"""Words or texts that a notebook shows."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """One text's words with their vectors.

    Args:
        words: the T words.
        offsets: where each word stands in the text, begin and end in characters; None where words were given
            instead of a text. Shape (T, 2).
        vectors: a vector per word, or one per layer and word. Shape (T, D) or (L, T, D).

    Example:
        >>> text = WordVectors(("Hi", "!"), np.array([[0, 2], [2, 3]]), np.zeros((2, 8), np.float32))
        >>> text
        WordVectors('Hi !', vectors=(2, 8))
        >>> len(text)
        2
    """

    words: tuple[str, ...]
    offsets: NDArray[np.int64] | None
    vectors: Array

    def __post_init__(self) -> None:
        n_words = len(self.words)
        if self.vectors.ndim not in (2, 3) or self.vectors.shape[-2] != n_words:
            raise ConfigError(
                f"{n_words} words, but vectors of shape {self.vectors.shape}; expected ({n_words}, width) or"
                f" (layers, {n_words}, width)."
            )
        if self.offsets is not None and self.offsets.shape != (n_words, 2):
            raise ConfigError(f"{n_words} words, but offsets of shape {self.offsets.shape}; expected ({n_words}, 2).")

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"WordVectors({_shortened(' '.join(self.words))!r}, vectors={self.vectors.shape})"

    def _repr_html_(self) -> str:
        """Each word with its place and the length of its vector (one per layer), for notebooks."""
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=-1).reshape(-1, len(self.words))
        names = ["length"] if len(lengths) == 1 else [f"length in layer {i}" for i in range(len(lengths))]
        head = "".join(f"<th>{name}</th>" for name in ("word", "place", *names))
        rows = []
        for i, word in enumerate(self.words[:_ROWS_SHOWN]):
            place = "" if self.offsets is None else f"{self.offsets[i, 0]}–{self.offsets[i, 1]}"
            cells = (escape(word), place, *(f"{length:.2f}" for length in lengths[:, i]))
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return _html_table(repr(self), head, rows, n_left_out=len(self.words) - len(rows))


class Features(Sequence[WordVectors]):
    """Word vectors of texts, in the order of the texts.

    Args:
        texts: one `WordVectors` per text.

    Example:
        >>> features = Features([WordVectors(("a", "b"), None, np.ones((2, 4), np.float32))])
        >>> features
        Features(1 text, 2 words, width 4)
        >>> features[0].words, features[0].vectors.shape, len(features[:0])
        (('a', 'b'), (2, 4), 0)
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
        shape = self._texts[0].vectors.shape
        layers = f", {shape[0]} layers" if len(shape) == 3 else ""
        n_words = f"{sum(map(len, self._texts)):,} words"
        return f"Features({len(self):,} text{'s' * (len(self) != 1)}, {n_words}{layers}, width {shape[-1]})"

    def _repr_html_(self) -> str:
        """The texts, their number of words and shape of vectors, for notebooks."""
        rows = []
        for i, text in enumerate(self._texts[:_ROWS_SHOWN]):
            shown = escape(_shortened(" ".join(text.words), limit=100))
            rows.append(f"<tr><td>{i}</td><td>{shown}</td><td>{len(text)}</td><td>{text.vectors.shape}</td></tr>")
        head = "<th></th><th>text</th><th>words</th><th>vectors</th>"
        return _html_table(repr(self), head, rows, n_left_out=len(self) - len(rows))

    def save(self, path: str | Path) -> None:
        """Write all texts to one file, whole or not at all.

        Args:
            path: where to; ends in .npz or .h5.

        Raises:
            ConfigError: another ending, or texts whose vectors differ in width or layers.
            OutputError: the file can't be written.

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
        """Read what `save` or `elmokit embed --words` wrote.

        Args:
            path: the .npz or .h5 file. One from the command has no texts without words.

        Returns:
            the features; the vectors of all texts share one array.

        Raises:
            MissingFile: no such file.
            InputError: not a file of word vectors, or a damaged one.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFile(f"{path}: no such file.")
        try:
            arrays = _read(path)
            return cls(_from_rows(arrays) if "features" in arrays else _unpacked(arrays))
        except ConfigError:
            raise
        except (KeyError, OSError, ValueError, IndexError, TypeError, EOFError, BadZipFile) as error:
            raise InputError(
                f"{path}: not a file of word vectors, or damaged ({error}); expected one that Features.save wrote."
            ) from None


def save_word_vectors(path: str | Path, texts: Iterable[WordVectors]) -> int:
    """Write texts as they come, for a corpus whose vectors do not fit into memory.

    An .h5 file grows block by block; an .npz file is put together in memory.

    Args:
        path: where to; ends in .h5 or .npz.
        texts: any number, for instance `Elmo.encode_words_stream(…)`.

    Returns:
        the number of texts.

    Raises:
        ConfigError: another ending, or texts whose vectors differ in width or layers.
        OutputError: the file can't be written.

    Example:
        >>> import tempfile
        >>> texts = (WordVectors((word,), None, np.ones((1, 2), np.float32)) for word in "abc")
        >>> save_word_vectors(Path(tempfile.mkdtemp()) / "words.h5", texts)
        3
    """
    path = Path(path)
    if path.suffix not in (".npz", ".h5"):
        raise ConfigError(f"{path}: word vectors are written to .npz or .h5; the name ends in {path.suffix!r}.")
    with atomic_path(path) as temporary:
        if path.suffix == ".h5":
            try:
                return _save_h5(temporary, texts)
            except RuntimeError as error:  # HDF5's word for a full disk
                raise OSError(f"HDF5: {error}") from error
        texts = list(texts)
        with temporary.open("wb") as file:
            np.savez(file, **_packed(texts))  # type: ignore[arg-type]  # the stub takes allow_pickle for an array
        return len(texts)


def _packed(texts: Sequence[WordVectors]) -> _Arrays:
    """All texts behind each other, as plain arrays."""
    shapes = {(*text.vectors.shape[:-2], text.vectors.shape[-1]) for text in texts}
    if len(shapes) > 1:
        raise ConfigError(f"the texts' vectors differ in layers or width ({sorted(shapes)}); save them apart.")
    words = [word.encode("utf-8", "surrogatepass") for text in texts for word in text.words]
    no_vectors = np.zeros((0, 0), np.float32)
    return {
        "vectors": np.concatenate([text.vectors for text in texts], axis=-2) if texts else no_vectors,
        "text_ends": np.cumsum([len(text) for text in texts], dtype=np.int64),
        "word_bytes": np.frombuffer(b"".join(words), dtype=np.uint8),
        "word_ends": np.cumsum([len(word) for word in words], dtype=np.int64),
        "offsets": np.concatenate([np.zeros((0, 2), np.int64), *(_offsets(text) for text in texts)]),
        "has_offsets": np.array([text.offsets is not None for text in texts], dtype=np.bool_),
    }


def _offsets(text: WordVectors) -> NDArray[np.int64]:
    return np.full((len(text), 2), -1, np.int64) if text.offsets is None else text.offsets


def _unpacked(arrays: Mapping[str, Array]) -> Iterator[WordVectors]:
    words = _packed_words(arrays)
    vectors, start = arrays["vectors"], 0
    for end, has_offsets in zip(arrays["text_ends"].tolist(), arrays["has_offsets"].tolist(), strict=True):
        offsets = arrays["offsets"][start:end] if has_offsets else None
        yield WordVectors(words[start:end], offsets, vectors[..., start:end, :])
        start = end


def _packed_words(arrays: Mapping[str, Array]) -> tuple[str, ...]:
    data, ends = arrays["word_bytes"].tobytes(), arrays["word_ends"].tolist()
    return tuple(data[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends, strict=False))


def _from_rows(arrays: Mapping[str, Array]) -> Iterator[WordVectors]:
    """The command's layout: a row per word, with the number of its text's row in the table."""
    if "word_bytes" in arrays:
        words = _packed_words(arrays)
    else:
        words = tuple(word.decode() if isinstance(word, bytes) else str(word) for word in arrays["word"].tolist())
    offsets = np.stack([arrays["start"], arrays["end"]], axis=1)
    ends = [*np.flatnonzero(np.diff(arrays["row"])) + 1, len(words)] if words else []
    for start, end in zip([0, *ends], ends, strict=False):
        yield WordVectors(words[start:end], offsets[start:end], arrays["features"][start:end])


def _read(path: Path) -> _Arrays:
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path, "r") as file:
            return {name: file[name][()] for name in file}
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return dict(file.items())


def _save_h5(path: Path, texts: Iterable[WordVectors]) -> int:
    """Append block by block; ends are counted on over the blocks."""
    import h5py

    n_texts = 0
    with surviving_file(path) as disk, h5py.File(disk, "w") as file:
        for block in _blocks(texts):
            n_texts += len(block)
            arrays = _packed(block)
            for name, of in (("text_ends", "offsets"), ("word_ends", "word_bytes")):
                arrays[name] += len(file[of]) if of in file else 0
            for name, array in arrays.items():
                _append(file, name, array, axis=array.ndim - 2 if name == "vectors" else 0)
        if not n_texts:
            for name, array in _packed([]).items():
                file.create_dataset(name, data=array)
    return n_texts


def _blocks(texts: Iterable[WordVectors]) -> Iterator[list[WordVectors]]:
    block: list[WordVectors] = []
    n_words = 0
    for text in texts:
        block.append(text)
        n_words += 1 + len(text)
        if n_words >= _BLOCK_WORDS:
            yield block
            block, n_words = [], 0
    if block:
        yield block


def _append(file: Any, name: str, array: Array, *, axis: int) -> None:
    if name not in file:
        longest = tuple(None if i == axis else n for i, n in enumerate(array.shape))
        file.create_dataset(name, data=array, maxshape=longest, chunks=True)
        return
    dataset = file[name]
    others = [n for i, n in enumerate(array.shape) if i != axis]
    if dataset.ndim != array.ndim or [n for i, n in enumerate(dataset.shape) if i != axis] != others:
        raise ConfigError(f"the texts' vectors differ in layers or width ({dataset.shape}, {array.shape}).")
    start = dataset.shape[axis]
    dataset.resize(start + array.shape[axis], axis=axis)
    dataset[(slice(None),) * axis + (slice(start, None),)] = array


def _html_table(title: str, head: str, rows: Sequence[str], *, n_left_out: int) -> str:
    more = f"<p>… and {n_left_out:,} more</p>" if n_left_out else ""
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
