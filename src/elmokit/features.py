"""`Features`: a sequence of `WordVectors`, what comes out of a biLM for texts: their words, places and vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import ConfigError, MissingExtra
from elmokit.feature_files import read_word_vectors, save_word_vectors

__all__ = ["Features", "WordVectors", "save_word_vectors"]

Array = NDArray[Any]

_ROWS_SHOWN = 10
"""Words or texts that a notebook shows."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """One text's words with their vectors.

    Args:
        words: the T words.
        offsets: begin and end of each word in the text, in characters, (T, 2); None where words were given.
        vectors: a vector per word, (T, D), or one per layer and word, (L, T, D).

    Example:
        >>> text = WordVectors(("Hi", "!"), np.array([[0, 2], [2, 3]]), np.zeros((2, 8), np.float32))
        >>> text
        WordVectors('Hi !', vectors=(2, 8))
        >>> len(text), text["Hi"].shape
        (2, (8,))
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
        return f"WordVectors({_shortened(' '.join(self.words))!r}, vectors={self.vectors.shape})"

    def _repr_html_(self) -> str:
        """Each word with its place and the length of its vector (one per layer), for notebooks."""
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=-1).reshape(-1, len(self.words))
        names = ["length"] if len(lengths) == 1 else [f"length in layer {i}" for i in range(len(lengths))]
        rows = []
        for i, word in enumerate(self.words[:_ROWS_SHOWN]):
            place = "" if self.offsets is None else f"{self.offsets[i, 0]}–{self.offsets[i, 1]}"
            rows.append((word, place, *(f"{length:.2f}" for length in lengths[:, i])))
        return _html_table(repr(self), ("word", "place", *names), rows, n_left_out=len(self.words) - len(rows))


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
        shape, n_words = self._texts[0].vectors.shape, sum(map(len, self._texts))
        layers = f", {shape[0]} layers" if len(shape) == 3 else ""
        return f"Features({len(self):,} text{'s' * (len(self) != 1)}, {n_words:,} words{layers}, width {shape[-1]})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        shown = enumerate(self._texts[:_ROWS_SHOWN])
        rows = [(i, _shortened(" ".join(text.words), 100), len(text), text.vectors.shape) for i, text in shown]
        return _html_table(repr(self), ("", "text", "words", "vectors"), rows, n_left_out=len(self) - len(rows))

    def to_padded(self) -> tuple[Array, NDArray[np.bool_]]:
        """All texts in one array, padded with zeros, (N, T, D) or (N, L, T, D), and a mask of the words, (N, T).

        Raises:
            ConfigError: texts whose vectors differ in width or layers.

        Example:
            >>> texts = [WordVectors(("a", "b"), None, np.ones((2, 4))), WordVectors(("c",), None, np.ones((1, 4)))]
            >>> vectors, mask = Features(texts).to_padded()
            >>> vectors.shape, mask.tolist()
            ((2, 2, 4), [[True, True], [True, False]])
        """
        shapes = {(*text.vectors.shape[:-2], text.vectors.shape[-1]) for text in self._texts}
        if len(shapes) > 1:
            raise ConfigError(f"the texts' vectors differ in layers or width: {sorted(shapes)}.")
        longest = max(map(len, self._texts), default=0)
        (*layers, width) = shapes.pop() if shapes else (0,)
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
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtra("pandas", "pandas", "Features.to_pandas") from None
        rows = []
        for i, text in enumerate(self._texts):
            places = [(None, None)] * len(text) if text.offsets is None else text.offsets.tolist()
            rows += [(i, word, *place, vector) for (word, vector), place in zip(text, places, strict=True)]
        frame = pd.DataFrame(rows, columns=["text", "word", "start", "end", "vector"])
        return frame.astype({"text": "int64", "start": "Int64", "end": "Int64"})

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
        """Read what `save` or `elmokit embed --words` (which leaves out texts without words) wrote.

        Raises:
            MissingFile: no such file.
            InputError: not a file of word vectors, or a damaged one.
        """
        return cls(WordVectors(*text) for text in read_word_vectors(path))


def _html_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]], *, n_left_out: int) -> str:
    def line(tag: str, cells: Sequence[Any]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    more = f"<p>… and {n_left_out:,} more</p>" if n_left_out else ""
    body = "".join(line("td", row) for row in rows)
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead>{line('th', head)}</thead><tbody>{body}</tbody></table>{more}"


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
