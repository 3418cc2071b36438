"""Text → words with their places in the text.

A tokenizer is a name and a function from a string to `Token`s; the name is stored in the checkpoint, so that a
model always meets words cut as in its training. Three are built in:

- ``whitespace``: what bilm-tf, AllenNLP and the TF-Hub module did: white space separates, nothing else.
- ``default``: ours. White space separates; links, e-mail addresses, mentions, hashtags, emoticons, emoji (with
  skin tones, flags and joiners), numbers and words with inner apostrophes or hyphens stay whole; all other
  punctuation is a word of its own, runs of one mark together ("!!!"). Made for tweets, and the same for books.
- ``characters``: every visible character is a word: for proteins, where one letter is one residue.

Tokens are substrings of the text, never rewritten: ``text[token.start:token.end] == token.word`` always.
Scripts whose marks are separate code points (Devanagari) stay whole because letters carry their marks along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import regex

from elmokit.errors import ConfigError


class Token(NamedTuple):
    """A word and its place: `text[start:end] == word`, in Unicode characters."""

    word: str
    start: int
    end: int


Tokenizer = Callable[[str], list[Token]]

_SPACE = r"\s\x1c-\x1f"
"""White space as `str.split` has it: the four information separators too."""

_WORD = r"[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*"
_PATTERN = regex.compile(
    rf"""
      (?:https?://|www\.)[^{_SPACE}<>"“”]*[^{_SPACE}<>"“”.,;:!?)\]}}'’…]      # links, without the full stop after them
    | [\p{{L}}\p{{N}}._%+-]+@[\p{{L}}\p{{N}}-]+(?:\.[\p{{L}}\p{{N}}-]+)+      # e-mail addresses
    | [@\#]{_WORD}                                                            # mentions, hashtags
    | [:;=8xX][-o*']?[)(\]\[dDpP/\\|@3*]+(?![\p{{L}}\p{{N}}])                 # emoticons :-)
    | [)(\]\[]+[-o*']?[:;=](?![\p{{L}}\p{{N}}])                               # and turned round (:
    | <3+ | \^_*\^ | -_+-
    | \p{{Regional_Indicator}}{{2}}                                           # flags
    | [\#*0-9]\uFE0F?\u20E3                                                   # keycaps
    | \p{{Extended_Pictographic}}[\uFE0F\p{{Emoji_Modifier}}]*
      (?:\u200D\p{{Extended_Pictographic}}[\uFE0F\p{{Emoji_Modifier}}]*)*     # emoji
    | \p{{N}}+(?:[.,:/]\p{{N}}+)*(?:%|\p{{L}}[\p{{L}}\p{{M}}\p{{N}}]*)?       # numbers, 3.5%, 10am, 4th
    | {_WORD}(?:['’&\-\u200C\u200D·]{_WORD})*                                 # words, don't, state-of-the-art
    | ([^{_SPACE}])\1*                                                        # any other mark, runs together
    """,
    regex.VERBOSE,
)


def _tokens(pattern: regex.Pattern[str], text: str) -> list[Token]:
    return [Token(m[0], m.start(), m.end()) for m in pattern.finditer(text)]


def tokenize_default(text: str) -> list[Token]:
    """Cut a text into words, marks, hashtags, mentions, links and emoji.

    Args:
        text: any string.

    Returns:
        the words in order, with character offsets.

    Example:
        >>> [token.word for token in tokenize_default("Don't @apple, #iPhone5 rocks :) http://t.co/x1.")]
        ["Don't", '@apple', ',', '#iPhone5', 'rocks', ':)', 'http://t.co/x1', '.']
    """
    return _tokens(_PATTERN, text)


_WHITESPACE = regex.compile(rf"[^{_SPACE}]+")
_CHARACTERS = regex.compile(rf"[^{_SPACE}]\p{{M}}*")


def tokenize_whitespace(text: str) -> list[Token]:
    """Cut a text at white space.

    Args:
        text: any string.

    Returns:
        the words in order, with character offsets.

    Example:
        >>> tokenize_whitespace(" a  b")
        [Token(word='a', start=1, end=2), Token(word='b', start=4, end=5)]
    """
    return _tokens(_WHITESPACE, text)


def tokenize_characters(text: str) -> list[Token]:
    """Cut a text into its visible characters, each with its marks.

    Args:
        text: any string, for instance a protein's residues.

    Returns:
        the characters in order, with offsets.

    Example:
        >>> [token.word for token in tokenize_characters("MKV")]
        ['M', 'K', 'V']
    """
    return _tokens(_CHARACTERS, text)


TOKENIZERS: dict[str, Tokenizer] = {
    "characters": tokenize_characters,
    "default": tokenize_default,
    "whitespace": tokenize_whitespace,
}


def get_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of that name.

    Args:
        name: "default", "whitespace" or "characters".

    Returns:
        the function from a string to its tokens.

    Raises:
        ConfigError: a name that is not known.

    Example:
        >>> len(get_tokenizer("default")("Two words"))
        2
    """
    try:
        return TOKENIZERS[name]
    except KeyError:
        known = ", ".join(repr(known) for known in TOKENIZERS)
        raise ConfigError(f"no tokenizer is called {name!r}; known are {known}.") from None


def words_of(tokens: list[Token]) -> Iterator[str]:
    """The words alone.

    Args:
        tokens: what a tokenizer gave.

    Yields:
        each token's word.
    """
    for token in tokens:
        yield token.word
