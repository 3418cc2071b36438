"""Text → words with their places in the text.

A tokenizer is a function from a string to `Token`s. A checkpoint stores its name, so that a model reads words that are
cut as in its training. All cut a run of characters after every `MAX_TOKEN_CHARACTERS`, in linear time.

- ``whitespace``: cuts at white space only, as bilm-tf, AllenNLP and the TF-Hub module do.
- ``default``: keeps links, e-mail addresses, mentions, hashtags, emoticons, emoji, numbers, and words with inner
  apostrophes or hyphens whole; other punctuation marks are words of their own, runs of one mark together ("!!!").
  Invisible characters (soft hyphens, zero-width characters, marks of direction) neither are words nor cut them.
- ``characters``: every visible character is a word, for instance a residue of a protein.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import regex

from elmokit.errors import ConfigError


class Token(NamedTuple):
    """A word and its place: `text[start:end] == word`, in Unicode characters."""

    word: str
    start: int
    end: int


Tokenizer = Callable[[str], list[Token]]

MAX_TOKEN_CHARACTERS = 10_000
"""Characters of a token: no word is longer, but encoded files in texts are. The biLM reads 48 bytes of a token."""

_SPACE = r"\s\x1c-\x1f"  # white space as `str.split` has it, the four information separators included

_GAP = _SPACE + r"\u200B"  # what separates words: white space and the zero-width space

_INVISIBLE = regex.compile(
    r"""
      \U0001F3F4[\U000E0020-\U000E007E]{1,32}+\U000E007F(*SKIP)(*FAIL)        # flags of regions keep their tags
    | [\u00AD\u061C\u115F\u1160\u17B4\u17B5\u180E\u200E\u200F\u202A-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0]++
    | [\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0000-\U000E00FF]++
    """,
    regex.VERBOSE,
)
"""Characters that nobody sees: soft hyphens, byte-order marks, joiners, marks of direction, fillers, tags."""

# Every alternative either takes a run of characters possessively or begins only where such a run begins; otherwise
# texts such as "()()()" or "a.a.a." would be scanned to their end from every place.
_WORD = r"[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*+"
_EMAIL = r"\p{L}\p{N}._%+-"
_PATTERN = regex.compile(
    rf"""
      (?:https?://|www\.)[^{_GAP}<>"“”]*[^{_GAP}<>"“”.,;:!?)\]}}'’…]          # links, without the full stop after them
    | (?<![{_EMAIL}])[{_EMAIL}]++@[\p{{L}}\p{{N}}-]++(?:\.[\p{{L}}\p{{N}}-]++)++  # e-mail addresses
    | [@\#]{_WORD}                                                            # mentions, hashtags
    | [:;=][-o*']?[)(\]\[dDpP/\\|@3*]+(?![\p{{L}}\p{{N}}])                    # emoticons :-)
    | [8xX]-[)(\]\[dDpP|]+(?![\p{{L}}\p{{N}}])                                # 8-) but not "page 8)" or "f(x)"
    | (?<![)(\]\[])[)(\]\[]++[-o*']?[:;=](?![\p{{L}}\p{{N}}])                 # and mirrored (:
    | <3++ | \^_*+\^ | -_++-
    | \p{{Regional_Indicator}}{{2}} | \U0001F3F4[\U000E0020-\U000E007E]{{1,32}}+\U000E007F  # flags
    | [\#*0-9]\uFE0F?\u20E3                                                   # keycaps
    | \p{{Extended_Pictographic}}[\uFE0E\uFE0F\p{{Emoji_Modifier}}]*+
      (?:\u200D\p{{Extended_Pictographic}}[\uFE0E\uFE0F\p{{Emoji_Modifier}}]*+)*+     # emoji
    | \p{{N}}++(?:[.,:/]\p{{N}}++)*+(?:%|\p{{L}}[\p{{L}}\p{{M}}\p{{N}}]*+)?   # numbers, 3.5%, 10am, 4th
    | {_WORD}(?:['’&\-\u200C\u200D·]{_WORD})*+                                # words, don't, state-of-the-art
    | ([^{_GAP}\p{{Default_Ignorable_Code_Point}}])\1*+                       # any other mark, runs together
    """,
    regex.VERBOSE,
)


_WHITESPACE = regex.compile(rf"[^{_SPACE}]+")
_CHARACTERS = regex.compile(rf"[^{_GAP}\p{{Default_Ignorable_Code_Point}}]\p{{M}}*+")


def _tokens(pattern: regex.Pattern[str], text: str) -> list[Token]:
    return _bounded([Token(m[0], m.start(), m.end()) for m in pattern.finditer(text)], text)


def _bounded(tokens: list[Token], text: str) -> list[Token]:
    """Cut tokens of more than `MAX_TOKEN_CHARACTERS`; pieces that nobody sees are left out."""
    if len(text) <= MAX_TOKEN_CHARACTERS or all(end - start <= MAX_TOKEN_CHARACTERS for _, start, end in tokens):
        return tokens
    cuts = [
        (i, min(i + MAX_TOKEN_CHARACTERS, t.end)) for t in tokens for i in range(t.start, t.end, MAX_TOKEN_CHARACTERS)
    ]
    return [Token(text[start:end], start, end) for start, end in cuts if _INVISIBLE.sub("", text[start:end])]


def tokenize_default(text: str) -> list[Token]:
    """Cut a text into words, marks, hashtags, mentions, links and emoji, with character offsets.

    Example:
        >>> [token.word for token in tokenize_default("Don't @apple, #iPhone5 rocks :) http://t.co/x1.")]
        ["Don't", '@apple', ',', '#iPhone5', 'rocks', ':)', 'http://t.co/x1', '.']
    """
    if text.isascii():
        return _tokens(_PATTERN, text)
    places: list[int] = []  # of the visible characters
    start = 0
    for hidden in _INVISIBLE.finditer(text):
        places.extend(range(start, hidden.start()))
        start = hidden.end()
    if not start:
        return _tokens(_PATTERN, text)
    places.extend(range(start, len(text)))
    visible = "".join([text[place] for place in places])
    spans = ((places[m.start()], places[m.end() - 1] + 1) for m in _PATTERN.finditer(visible))
    return _bounded([Token(text[start:end], start, end) for start, end in spans], text)


TOKENIZERS: dict[str, Tokenizer] = {
    "characters": partial(_tokens, _CHARACTERS),
    "default": tokenize_default,
    "whitespace": partial(_tokens, _WHITESPACE),
}


def get_tokenizer(name: str) -> Tokenizer:
    """Look up a tokenizer: "default", "whitespace" or "characters"; ConfigError for another name."""
    try:
        return TOKENIZERS[name]
    except KeyError:
        known = ", ".join(repr(known) for known in TOKENIZERS)
        raise ConfigError(f"unknown tokenizer {name!r}; expected one of {known}.") from None
