"""Every regular expression and text function takes time in proportion to the text, whatever the text."""

import importlib
import pkgutil
import random
import re
import time
import warnings

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

import elmokit
from elmokit.text.cleaning import CLEANING_STEPS
from elmokit.text.sentences import split_sentences
from elmokit.text.tokens import TOKENIZERS

N = 20_000
MOST = 0.4
"""Seconds of CPU for `N` characters: linear functions need a twentieth of it, quadratic ones many times as much."""
HARD = """
() [] ((())) [](x) a. a@ a@b. a.a@- 1- 1, +- .- %41 ab.cd.- 今. -_ ^_ :D :/ x- 8- http:// www. www., a' ?" 。
a\u0301 \u00ad a\u00ad \u200b \u202e \U0001f469\u200d \U0001f1e9 \U0001f3f4\U000e0067 # #* <3 @ < & ' \ud800
"""
HARD_UNITS = [*HARD.split(), "(car (cdr (x)))(", "e.g. ", "! ", "\n \n", "\n ", "\t "]
FUNCTIONS = {**TOKENIZERS, **CLEANING_STEPS, "sentences": split_sentences}


def seconds(function, unit):
    text = (unit * N)[:N]
    start = time.process_time()
    function(text)
    return time.process_time() - start


def assert_linear(function, unit):
    if seconds(function, unit) > MOST:  # once may be an accident of a busy machine
        assert min(seconds(function, unit) for _ in range(2)) < MOST, f"{N:,} characters of {unit!r} take too long"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_text_functions_are_linear_on_hard_texts(name):
    if name == "lemmas":
        pytest.importorskip("simplemma")
    for unit in HARD_UNITS:
        assert_linear(FUNCTIONS[name], unit)


PIECES = st.sampled_from(
    [*"()[]:;=8xX-o*'.,!?#@_^<3/\\&%+a1 \n", "http://", "www.", "é", "今", "\u200d", "\u00ad", "🙂"]
)


@settings(max_examples=60, deadline=None)
@given(unit=st.lists(PIECES, min_size=1, max_size=6).map("".join), end=st.text(max_size=3))
def test_the_tokenizer_is_linear_on_generated_texts(unit, end):
    assert_linear(TOKENIZERS["default"], unit + end if end.startswith("(") else unit)
    assert_linear(split_sentences, unit)


def patterns():
    """Every compiled pattern that a module of the package holds, by its place."""
    compiled = {}
    for module in pkgutil.walk_packages(elmokit.__path__, "elmokit."):
        if module.name.endswith("__main__"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                names = vars(importlib.import_module(module.name))
        except ImportError:  # an extra that is not installed
            continue
        for name, value in names.items():
            if isinstance(value, re.Pattern | regex.Pattern) and isinstance(value.pattern, str):
                compiled[f"{module.name}.{name}"] = value
    return compiled


def test_every_regular_expression_is_linear():
    found = patterns()
    assert len(found) > 8
    for place, pattern in found.items():
        rng = random.Random(place)
        letters = sorted({c for c in pattern.pattern if c.isprintable()} | set("a1. ,-(@"))
        units = HARD_UNITS + ["".join(rng.choices(letters, k=rng.randint(1, 4))) for _ in range(12)]
        for unit in units:
            text = (unit * N)[:N]
            start = time.process_time()
            for _ in pattern.finditer(text):
                pass
            pattern.fullmatch(text)
            assert time.process_time() - start < MOST, f"{place} on {unit!r}"
