"""The default tokenizer on what people write: a table of texts and their words."""

import pytest

from elmokit.errors import ConfigError
from elmokit.text.tokens import MAX_TOKEN_CHARACTERS, TOKENIZERS, get_tokenizer

ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
CUT = {
    "I can't, won't & don't.": ["I", "can't", ",", "won't", "&", "don't", "."],
    "“Typographic” quotes don’t part": ["“", "Typographic", "”", "quotes", "don’t", "part"],
    "@apple #iPhone5 rocks!!!": ["@apple", "#iPhone5", "rocks", "!!!"],
    "see https://t.co/aB1?x=1&y=2, ok": ["see", "https://t.co/aB1?x=1&y=2", ",", "ok"],
    "(www.example.com/a_b)": ["(", "www.example.com/a_b", ")"],
    "mail me@example.co.uk.": ["mail", "me@example.co.uk", "."],
    "so :-) sad :( love <3 ;D": ["so", ":-)", "sad", ":(", "love", "<3", ";D"],
    "3.5% of 1,000 at 10:30 is the 4th": ["3.5%", "of", "1,000", "at", "10:30", "is", "the", "4th"],
    "state-of-the-art AT&T": ["state-of-the-art", "AT&T"],
    "wait... what?!": ["wait", "...", "what", "?", "!"],
    "👍🏽 👩‍👩‍👧 🇩🇪🇫🇷 1️⃣": ["👍🏽", "👩‍👩‍👧", "🇩🇪", "🇫🇷", "1️⃣"],
    "नमस्ते दुनिया": ["नमस्ते", "दुनिया"],
    "שלום עולם": ["שלום", "עולם"],
    "e\u0301te\u0301": ["e\u0301te\u0301"],
    "a\u00a0b\u2003c": ["a", "b", "c"],
    "": [],
    "co\u00adope\u00adration don\u2060't": ["co\u00adope\u00adration", "don\u2060't"],
    "\ufeffHello abc\u200e (test) \u202bשלום\u202c": ["Hello", "abc", "(", "test", ")", "שלום"],
    "norm ❤ \ufe0f love ❤\ufe0e yes\u200b.": ["norm", "❤", "love", "❤\ufe0e", "yes", "."],
    "\u200b\ufeff \u2060\u00ad\u202e\U000e0061\u3164": [],
    ENGLAND + "!": [ENGLAND, "!"],
    "f(x) = 2, page 8), (option)": ["f", "(", "x", ")", "=", "2", ",", "page", "8", ")", ",", "(", "option", ")"],
    "cool 8-) XD x-( score 8-3": ["cool", "8-)", "XD", "x-(", "score", "8", "-", "3"],
    "me@b.co, .x@b.co #tag a.b.c@": ["me@b.co", ",", ".x@b.co", "#tag", "a", ".", "b", ".", "c", "@"],
}


@pytest.mark.parametrize("text", CUT)
def test_the_default_tokenizer_cuts(text):
    assert [token.word for token in get_tokenizer("default")(text)] == CUT[text]


def test_white_space_and_characters():
    assert [token.word for token in get_tokenizer("whitespace")("a, b\tc\u00a0d")] == ["a,", "b", "c", "d"]
    assert [token.word for token in get_tokenizer("characters")("कि X")] == ["कि", "X"]


def test_a_tokenizer_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(ConfigError, match=r"'moses'.*'whitespace'"):
        get_tokenizer("moses")


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("unit", ["x", "e\u0301", "a\u00ad", "a" + "\u00ad" * 12_000, "!", "🏴", "http://a.b/"])
def test_a_token_has_a_bounded_number_of_characters(name, unit):
    text = f"so {unit * (25_000 // len(unit))} long"
    tokens = get_tokenizer(name)(text)
    assert max(len(token.word) for token in tokens) <= MAX_TOKEN_CHARACTERS
    assert all(text[token.start : token.end] == token.word for token in tokens)
    visible = [token.word.replace("\u00ad", "") for token in tokens]
    assert "".join(visible) == text.replace(" ", "").replace("\u00ad", "")
    assert name == "whitespace" or all(visible)
