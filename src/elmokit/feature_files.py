"""Files of word vectors: all texts behind each other, the same arrays in .npz and .h5, never a pickle.

`vectors`, `text_ends` (where each text ends), `word_bytes` and `word_ends` (the words in UTF-8, unpaired surrogates
kept), `offsets` and `has_offsets`. What is saved comes back bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.errors import ConfigError, InputError
from elmokit.files import atomic_path
from elmokit.hdf5 import hdf5_file, read_arrays
from elmokit.reading import check_unpacked_size, open_zip, reading

if TYPE_CHECKING:
    from elmokit.features import WordVectors

Array = NDArray[Any]
Text = tuple[tuple[str, ...], "NDArray[np.int64] | None", Array]
"""Words, offsets and vectors of one text, as `elmokit.features.WordVectors` holds them."""

_BLOCK_WORDS = 65_536
"""Words that are gathered before they are appended to an .h5 file: it bounds the memory of `save_word_vectors`."""


def read_word_vectors(path: str | Path) -> list[Text]:
    """Words, offsets and vectors of each text of a file; all vectors share one array."""
    path = Path(path)
    what = "file of word vectors (Features.save writes them)"
    with reading(path, error=InputError, what=what):
        if path.suffix == ".h5":
            arrays = read_arrays(path, error=InputError, what=what)
        else:
            with open_zip(path) as archive:
                check_unpacked_size(path, sum(member.file_size for member in archive.infolist()))
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file.items())
        return list(_from_rows(arrays) if "features" in arrays else _unpacked(arrays))


def save_word_vectors(path: str | Path, texts: Iterable[WordVectors]) -> int:
    """Write texts as they come, for instance from `Elmo.encode_words_stream`; return their number.

    An .h5 file grows block by block; an .npz file is put together in memory.

    Raises:
        ConfigError: another ending, or texts whose vectors differ in width or layers.
        OutputError: the file can't be written.

    Example:
        >>> import tempfile
        >>> from elmokit.features import WordVectors
        >>> texts = (WordVectors((word,), None, np.ones((1, 2), np.float32)) for word in "abc")
        >>> save_word_vectors(Path(tempfile.mkdtemp()) / "words.h5", texts)
        3
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


def _packed(texts: Sequence[WordVectors]) -> dict[str, Array]:
    """All texts behind each other, as plain arrays."""
    shapes = {(*text.vectors.shape[:-2], text.vectors.shape[-1]) for text in texts}
    if len(shapes) > 1:
        raise ConfigError(f"the texts' vectors differ in layers or width ({sorted(shapes)}); save them apart.")
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


def _unpacked(arrays: Mapping[str, Array]) -> Iterator[Text]:
    words, start = _packed_words(arrays), 0
    for end, has_offsets in zip(arrays["text_ends"].tolist(), arrays["has_offsets"].tolist(), strict=True):
        offsets = arrays["offsets"][start:end] if has_offsets else None
        yield words[start:end], offsets, arrays["vectors"][..., start:end, :]
        start = end


def _packed_words(arrays: Mapping[str, Array]) -> tuple[str, ...]:
    data, ends = arrays["word_bytes"].tobytes(), arrays["word_ends"].tolist()
    return tuple(data[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends, strict=False))


def _from_rows(arrays: Mapping[str, Array]) -> Iterator[Text]:
    """The command's layout: a row per word, with the number of its text's row in the table."""
    words = (
        _packed_words(arrays)
        if "word_bytes" in arrays
        else tuple(word.decode() if isinstance(word, bytes) else str(word) for word in arrays["word"].tolist())
    )
    offsets = np.stack([arrays["start"], arrays["end"]], axis=1)
    ends = [*np.flatnonzero(np.diff(arrays["row"])) + 1, len(words)] if words else []
    for start, end in zip([0, *ends], ends, strict=False):
        yield words[start:end], offsets[start:end], arrays["features"][start:end]


def _append_blocks(file: Any, texts: Iterable[WordVectors]) -> int:
    """Append to an HDF5 file block by block; ends are counted on over the blocks."""
    n_texts = 0
    for block in blocks(texts, _BLOCK_WORDS, weigh=lambda text: 1 + len(text.words), most=_BLOCK_WORDS):
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
