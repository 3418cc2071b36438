"""The cleaning steps of the classic ELMo tutorial: each is a function, a recipe is a list of their names.

Full stops, commas and apostrophes stay, as in the tutorial. Lemmas come from `simplemma` (extra `lemmas`).
"""

import re
from collections.abc import Callable, Sequence

from elmokit.errors import ConfigError, needing

_LINK = re.compile(r"(?:https?://|www\.|pic\.twitter\.com/)\S+")
_PUNCTUATION = str.maketrans("", "", '!"#$%&()*+-/:;<=>?@[\\]^_`{|}~')
_DIGITS = str.maketrans(dict.fromkeys("0123456789", " "))
_SURROGATE = re.compile("[\ud800-\udfff]")  # which dictionaries can't hold
_LONGEST_LEMMA = 60  # characters of the longest word that is looked up; simplemma takes quadratic time for long ones


def _lemmatize(text: str) -> str:
    with needing("simplemma", "lemmas", "lemmatisation"):
        import simplemma
    return " ".join(
        word if len(word) > _LONGEST_LEMMA or _SURROGATE.search(word) else simplemma.lemmatize(word, lang="en")
        for word in text.split()
    )


CLEANING_STEPS: dict[str, Callable[[str], str]] = {
    "digits": lambda text: text.translate(_DIGITS),
    "lemmas": _lemmatize,
    "lowercase": str.lower,
    "punctuation": lambda text: text.translate(_PUNCTUATION),
    "spaces": lambda text: " ".join(text.split()),
    "urls": lambda text: _LINK.sub("", text),
}
"""Digits 0 to 9 become spaces; white space becomes single spaces, and none at the ends."""

TUTORIAL_RECIPE = ("urls", "punctuation", "lowercase", "digits", "spaces", "lemmas")
"""The tutorial's steps in the tutorial's order."""


def check_recipe(recipe: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a recipe's steps; ConfigError for an unknown one, or a string instead of a list."""
    if isinstance(recipe, str):
        raise ConfigError(
            f"the recipe is the string {recipe!r}; expected a list of names such as ['urls', 'lowercase']."
        )
    for name in recipe:
        if name not in CLEANING_STEPS:
            raise ConfigError(f"unknown cleaning step {name!r}; expected {', '.join(CLEANING_STEPS)}.")
    return tuple(recipe)


def clean(text: str, recipe: Sequence[str] = TUTORIAL_RECIPE) -> str:
    """Apply cleaning steps to a text, in the order of their names.

    Example:
        >>> clean("Won't download 2 apps. #ugh http://x.co", ["urls", "punctuation", "lowercase"])
        "won't download 2 apps. ugh "
    """
    for name in check_recipe(recipe):
        text = CLEANING_STEPS[name](text)
    return text
