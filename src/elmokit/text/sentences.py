"""Text → sentences, by rule: good enough for edited English, and harmless elsewhere.

A sentence ends after ".", "!", "?" or "…" (with closing quotes and brackets) where white space follows and then no
small letter; not after a common abbreviation ("Dr.", "e.g.") or a lone capital ("J. Smith"). An empty line ends a
sentence too, and so do the marks of Chinese, Japanese and Hindi. What the rule gets wrong: an abbreviation it does not
know before a name, and a sentence that ends in one that it knows ("… and Co. The next").
"""

from __future__ import annotations

import regex

_ABBREVIATIONS = """
    mr mrs ms dr prof rev gen sen rep gov st mt jr sr capt col lt sgt hon vs etc e.g i.e cf fig figs eq nos vol pp p eds
    ch dept univ inc ltd co corp approx est ca c jan feb apr jun jul aug sep sept oct nov dec tue thu
"""
_KNOWN = frozenset(_ABBREVIATIONS.split())
_END = regex.compile(
    r"""
      (?<![.!?…]) (?P<mark>[.!?…]++) [\p{Pe}\p{Pf}"'”’»]*+ \s++ (?=[\p{Ps}\p{Pi}"'“‘«]*+ \P{Ll})
    | [。！？।॥]++ [\p{Pe}\p{Pf}"'”’»]*+
    | \n [^\S\n]*+ \n
    """,
    regex.VERBOSE,
)
_WORD = regex.compile(r"[\p{L}\p{N}.]*+\Z")
_LONGEST = 12
"""Letters before a full stop that are looked at: abbreviations are short."""


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences.

    Args:
        text: any string.

    Returns:
        the sentences in order, without the white space around them; nothing but white space is lost.

    Example:
        >>> split_sentences('Dr. J. Smith paid $3.50. "Why?" he asked. Nobody knew...')
        ['Dr. J. Smith paid $3.50.', '"Why?" he asked.', 'Nobody knew...']
    """
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if end["mark"] != "." or not _is_abbreviation(text[max(start, end.start() - _LONGEST) : end.start()]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _is_abbreviation(before: str) -> bool:
    """Whether what stands before a full stop ends in a known abbreviation or an initial."""
    found = _WORD.search(before)
    word = found[0].lstrip(".") if found else ""
    return word.lower() in _KNOWN or (len(word) == 1 and word.isalpha() and word.isupper() and word != "I")
