"""What the compatibility layers share: checks of the sentences that old code passes, and layers in one array."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.elmo import Elmo
from elmokit.errors import TextError
from elmokit.text.inputs import checked_texts, checked_words


def checked_sentences(sentences: Iterable[Any], name: str = "sentences") -> list[list[str]]:
    """Check and copy a batch of lists of words; a string, whose letters would become words, raises `TextError`."""
    checked = []
    for i, sentence in enumerate(checked_texts(sentences)):
        if isinstance(sentence, str):
            words = ", ".join(map(repr, sentence[:40].split()[:3]))
            raise TextError(f"{name}[{i}] is the string {sentence!r:.40}; expected a list of words, such as [{words}].")
        checked.append(checked_words(sentence, i))
    return checked


def checked_strings(texts: Iterable[Any], name: str = "texts") -> list[str]:
    """Check a batch of strings; raises `TextError` with the place of another value."""
    checked: list[Any] = list(checked_texts(texts))
    for i, text in enumerate(checked):
        if not isinstance(text, str):
            hint = " Decode it first." if isinstance(text, bytes) else ""
            raise TextError(f"{name}[{i}] is {text!r:.60} ({type(text).__name__}); expected a string.{hint}")
    return checked


def padded_layers(elmo: Elmo, sentences: list[list[str]], *, state: Any = None) -> NDArray[np.float32]:
    """Encode sentences into one array, zeros behind each. Shape (B, L, T, 2P)."""
    features = elmo.encode_words(sentences, layers="each", show_progress=False, state=state)
    if not sentences:
        return np.zeros((0, elmo.n_layers, 0, elmo.dim), np.float32)
    return np.asarray(features.to_padded()[0], dtype=np.float32)
