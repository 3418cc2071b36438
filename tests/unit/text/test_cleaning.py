"""Each cleaning step does its one thing, and a recipe is its steps in order."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.errors import ConfigError, MissingExtra
from elmokit.text.cleaning import CLEANING_STEPS, TUTORIAL_RECIPE, clean

WITHOUT_LEMMAS = [name for name in TUTORIAL_RECIPE if name != "lemmas"]


def test_the_tutorials_recipe():
    pytest.importorskip("simplemma")
    text = "I HATE the new #phones upgrade!! Two mice ate 12 apples. http://instagr.am/p/UUIS0bIBZo/"
    assert clean(text).split()[1:8] == ["hate", "the", "new", "phone", "upgrade", "two", "mouse"]


def tutorial(text):
    """The tutorial's own lines, lemmas left out."""
    text = re.sub(r"http\S+", "", text)
    marks = set('!"#$%&()*+-/:;<=>?@[\\]^_`{|}~')
    text = "".join(character for character in text if character not in marks).lower()
    return " ".join(re.sub("[0-9]", " ", text).split())


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_equals_the_tutorials_lines(text):
    if "http" not in text and "www." not in text:
        assert clean(text, WITHOUT_LEMMAS) == tutorial(text)


def test_links_leave_in_all_their_forms():
    assert clean("a https://x.y/z b http://x c www.x.de d pic.twitter.com/x", ["urls", "spaces"]) == "a b c d"


@given(st.text(), st.sampled_from([name for name in CLEANING_STEPS if name != "lemmas"]))
def test_steps_taken_twice_change_nothing_more(text, step):
    once = clean(text, [step])
    assert clean(once, [step]) == once or step == "urls"


def test_unknown_steps_are_refused():
    with pytest.raises(ConfigError, match=r"'stem'; expected digits, lemmas"):
        clean("text", ["stem"])
    with pytest.raises(ConfigError, match="expected a list of names"):
        clean("text", "urls")


def test_lemmas_without_their_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplemma", None)
    with pytest.raises(MissingExtra, match=r"elmokit\[lemmas\]"):
        clean("mice", ["lemmas"])
