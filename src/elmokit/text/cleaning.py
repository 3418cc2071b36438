"""The cleaning steps of the classic ELMo tutorial: each is a named function, a recipe is a list of names.

Character-level models read links, marks and capitals; measure whether cleaning helps (`benchmarks/quality_tweets.py`).
Full stops, commas and apostrophes stay, as in the tutorial. Lemmas come from `simplemma` (extra `lemmas`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from elmokit.errors import ConfigError, MissingExtra

_LINK = re.compile(r"(?:https?://|www\.|pic\.twitter\.com/)\S+")
_PUNCTUATION = str.maketrans("", "", '!"#$%&()*+-/:;<=>?@[\\]^_`{|}~')
_DIGIT = re.compile(r"[0-9]")
_LONGEST_LEMMA = 60
"""Characters of the longest word that is looked up; simplemma takes quadratic time for long ones."""


def remove_urls(text: str) -> str:
    """Remove links.

    Args:
        text: any string.

    Returns:
        the text without them.

    Example:
        >>> remove_urls("new phone http://t.co/x1 yay pic.twitter.com/Zu")
        'new phone  yay '
    """
    return _LINK.sub("", text)


def remove_punctuation(text: str) -> str:
    """Remove the tutorial's punctuation marks; full stop, comma and apostrophe stay.

    Args:
        text: any string.

    Returns:
        the text without them.

    Example:
        >>> remove_punctuation("#iPhone, it's @home!")
        "iPhone, it's home"
    """
    return text.translate(_PUNCTUATION)


def lowercase(text: str) -> str:
    """Convert to lower case.

    Args:
        text: any string.

    Returns:
        the text in lower case.

    Example:
        >>> lowercase("SO Happy")
        'so happy'
    """
    return text.lower()


def remove_digits(text: str) -> str:
    """Replace each digit 0 to 9 by a space.

    Args:
        text: any string.

    Returns:
        the text without digits.

    Example:
        >>> remove_digits("ios7 now")
        'ios  now'
    """
    return _DIGIT.sub(" ", text)


def collapse_spaces(text: str) -> str:
    """Replace white space by single spaces, and remove it at the ends.

    Args:
        text: any string.

    Returns:
        the words joined by spaces.

    Example:
        >>> collapse_spaces("  so   happy ")
        'so happy'
    """
    return " ".join(text.split())


def lemmatize(text: str) -> str:
    """Replace each word by its English dictionary form.

    Args:
        text: any string.

    Returns:
        the lemmas, joined by spaces.

    Raises:
        MissingExtra: simplemma is not installed.
    """
    try:
        import simplemma
    except ImportError:
        raise MissingExtra("simplemma", "lemmas", "lemmatisation") from None
    return " ".join(
        simplemma.lemmatize(word, lang="en") if len(word) <= _LONGEST_LEMMA and _is_unicode(word) else word
        for word in text.split()
    )


def _is_unicode(word: str) -> bool:
    """Whether a word has no unpaired surrogates, which dictionaries can't hold."""
    return word.isascii() or not any("\ud800" <= character <= "\udfff" for character in word)


CLEANING_STEPS: dict[str, Callable[[str], str]] = {
    "digits": remove_digits,
    "lemmas": lemmatize,
    "lowercase": lowercase,
    "punctuation": remove_punctuation,
    "spaces": collapse_spaces,
    "urls": remove_urls,
}

TUTORIAL_RECIPE = ("urls", "punctuation", "lowercase", "digits", "spaces", "lemmas")
"""The tutorial's steps in the tutorial's order."""


def check_recipe(recipe: Sequence[str]) -> tuple[str, ...]:
    """Check the names of a recipe.

    Args:
        recipe: names of steps, in order.

    Returns:
        the names.

    Raises:
        ConfigError: an unknown step.

    Example:
        >>> check_recipe(["urls", "lowercase"])
        ('urls', 'lowercase')
    """
    if isinstance(recipe, str):
        raise ConfigError(
            f"the recipe is the string {recipe!r}; expected a list of names such as ['urls', 'lowercase']."
        )
    for name in recipe:
        if name not in CLEANING_STEPS:
            raise ConfigError(f"unknown cleaning step {name!r}; expected {', '.join(CLEANING_STEPS)}.")
    return tuple(recipe)


def clean(text: str, recipe: Sequence[str] = TUTORIAL_RECIPE) -> str:
    """Apply cleaning steps to a text.

    Args:
        text: any string.
        recipe: names of steps, in order.

    Returns:
        the text after the last step.

    Raises:
        ConfigError: an unknown step.
        MissingExtra: "lemmas" without simplemma.

    Example:
        >>> clean("Won't download 2 apps. #ugh http://x.co", ["urls", "punctuation", "lowercase"])
        "won't download 2 apps. ugh "
    """
    for name in check_recipe(recipe):
        text = CLEANING_STEPS[name](text)
    return text
