"""Check texts: a collection of strings or lists of words; common mistakes get a message with their place."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elmokit.encoding import Text as Text
from elmokit.errors import TextError


def checked_texts(texts: Iterable[Text]) -> Iterator[Text]:
    """An iterator over texts; TextError for a lone string, bytes, a mapping, a set, a table, or no collection."""
    kind = type(texts).__name__
    if isinstance(texts, str | bytes):
        raise TextError(f"texts is one {kind}; expected a list of texts: [text], or use encode_one.")
    if isinstance(texts, Mapping | set | frozenset) or hasattr(texts, "columns"):
        raise TextError(f"texts is a {kind}; expected a list of texts, such as one column of a table.")
    try:
        return iter(texts)
    except TypeError:
        raise TextError(f"texts is of the type {kind}; expected a list of texts.") from None


def checked_words(text: Any, place: int) -> list[str]:
    """The words of a text that is given as a list or tuple; `place` is its index, for the TextError if it is not."""
    if not isinstance(text, list | tuple):
        missing = text is None or (isinstance(text, float) and text != text)
        hint = " Leave missing texts out, or replace them by ''." if missing else ""
        hint = " Decode it first." if isinstance(text, bytes) else hint
        raise TextError(f"texts[{place}] is {_shown(text)}; expected a string or a list of words.{hint}")
    for i, word in enumerate(text):
        if not isinstance(word, str):
            raise TextError(f"texts[{place}][{i}] is {_shown(word)}; expected a word (a string).")
    return list(text)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"
