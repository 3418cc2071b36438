"""Text → sentences, by rules for edited English; unknown abbreviations before names are split wrongly.

A sentence ends after ".", "!", "?" or "…" (and closing quotes and brackets) before white space and no lower-case
letter, but not after a common abbreviation ("Dr.", "e.g.") or an initial. Empty lines and full stops of Chinese,
Japanese and Hindi end sentences too.
"""

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
_LONGEST = 12  # characters before a full stop that are searched for an abbreviation


def split_sentences(text: str) -> list[str]:
    """Split a text into its sentences, without surrounding white space; nothing else is lost.

    Example:
        >>> split_sentences('Dr. J. Smith paid $3.50. "Why?" he asked. Nobody knew...')
        ['Dr. J. Smith paid $3.50.', '"Why?" he asked.', 'Nobody knew...']
    """
    sentences: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if end["mark"] != "." or not _is_abbreviation(text[max(start, end.start() - _LONGEST) : end.start()]):
            sentences.append(text[start : end.end()].strip())
            start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _is_abbreviation(before: str) -> bool:
    """Whether the text before a full stop ends in a known abbreviation or an initial."""
    match = _WORD.search(before)
    word = match[0].lstrip(".") if match else ""
    return word.lower() in _KNOWN or (len(word) == 1 and word.isalpha() and word.isupper() and word != "I")
