"""gensim: a vector per word of a vocabulary, as word2vec files (without gensim), or as gensim's `KeyedVectors`.

Only in layer 0, the token layer, does a word have one vector in every context. Other layers read the word alone.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo, Layers
from elmokit.errors import InputError, needing
from elmokit.files import atomic_path

Pairs = Iterable[tuple[str, NDArray[np.float32]]]


def save_word2vec(elmo: Elmo, words: Iterable[str], path: str | Path, *, layers: Layers = 0) -> None:
    """Write the vectors of words, each once, in word2vec's format, the binary one if the name ends in ".bin".

    `layers` are those of `Elmo.encode_words`. The file is there whole or not at all. Raises InputError for a word that
    is empty, holds white space or occurs twice, OutputError for a folder that can't be written.

    Example:
        ``save_word2vec(Elmo.load(), ["the", "cat"], "vectors.txt")``
    """
    chosen = _checked(words)
    _write(path, len(chosen), _vectors(elmo, chosen, layers))


def save_word_means(words: Iterable[str], vectors: NDArray[np.float32], path: str | Path) -> None:
    """Write vectors that exist already, (V, d), such as an index's means; leave out words that hold white space.

    Example:
        ``means = index.means(); save_word_means(means.words, means.vectors, "means.txt")``
    """
    pairs = [(word, vector) for word, vector in zip(words, vectors, strict=True) if not _has_space(word)]
    _write(path, len(_checked(word for word, _ in pairs)), pairs)


def to_keyed_vectors(elmo: Elmo, words: Iterable[str], *, layers: Layers = 0) -> Any:
    """The vectors of words, each given once, as a `gensim.models.KeyedVectors`; errors as of `save_word2vec`."""
    pairs = list(_vectors(elmo, _checked(words), layers))
    return keyed_vectors([word for word, _ in pairs], np.stack([vector for _, vector in pairs]))


def keyed_vectors(words: Iterable[str], vectors: NDArray[np.float32]) -> Any:
    """Vectors that exist already, (V, d), such as an index's means, as a `gensim.models.KeyedVectors`."""
    with needing("gensim", "gensim", "KeyedVectors"):
        from gensim.models import KeyedVectors
    keyed = KeyedVectors(vectors.shape[1])
    keyed.add_vectors(list(words), vectors)
    return keyed


def _write(path: str | Path, n_words: int, pairs: Pairs) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for i, (word, vector) in enumerate(pairs):
            if i == 0:
                file.write(f"{n_words} {len(vector)}\n".encode())
            if Path(path).suffix == ".bin":
                file.write(word.encode("utf-8") + b" " + vector.astype("<f4").tobytes())
            else:
                file.write((word + " " + " ".join(f"{x:.9g}" for x in vector.tolist()) + "\n").encode("utf-8"))


def _has_space(word: str) -> bool:
    return word.split() not in ([word], [])


def _checked(words: Iterable[str]) -> list[str]:
    chosen, seen = list(words), set[str]()
    for i, word in enumerate(chosen):
        bare = isinstance(word, str) and word and not _has_space(word) and word not in seen
        if not bare or any("\ud800" <= character <= "\udfff" for character in word):
            raise InputError(f"words[{i}] is {word!r:.40}; expected words in UTF-8, each once and without white space.")
        seen.add(word)
    if not chosen:
        raise InputError("no words were given; word2vec's format needs at least one.")
    return chosen


def _vectors(elmo: Elmo, words: list[str], layers: Layers) -> Pairs:
    for one in elmo.encode_words_stream(([word] for word in words), layers=layers, show_progress=False):
        yield one.words[0], np.asarray(one.vectors[0], dtype=np.float32)
