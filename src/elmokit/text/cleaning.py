"""The cleaning steps of the classic ELMo tutorial, each a named function, a recipe a list of names.

Cleaning was made for models that read a fixed list of words. A biLM reads characters, so links, marks and
capitals tell it something; whether cleaning helps or hurts is measured (`benchmarks/quality_tweets.py`),
not taken for granted. The tutorial's punctuation list leaves full stops, commas and apostrophes alone,
and so do we. Lemmas come from `simplemma` (extra `lemmas`): its word lists lie in the package, nothing is
fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from elmokit.errors import ConfigError, MissingExtra

_LINK = re.compile(r"(?:https?://|www\.|pic\.twitter\.com/)\S+")
_PUNCTUATION = str.maketrans("", "", '!"#$%&()*+-/:;<=>?@[\\]^_`{|}~')
_DIGIT = re.compile(r"[0-9]")


def remove_urls(text: str) -> str:
    """Leave out links.

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
    """Leave out the tutorial's marks; full stop, comma and apostrophe stay.

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
    """Small letters only.

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
    """Put a blank in the place of each digit 0 to 9.

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
    """A single blank between words, none at the ends.

    Args:
        text: any string.

    Returns:
        the text with its words joined by blanks.

    Example:
        >>> collapse_spaces("  so   happy ")
        'so happy'
    """
    return " ".join(text.split())


def lemmatize(text: str) -> str:
    """Put the English dictionary form in the place of each word between blanks.

    Args:
        text: any string.

    Returns:
        the lemmas, joined by blanks.

    Raises:
        MissingExtra: simplemma is not installed.
    """
    try:
        import simplemma
    except ImportError:
        raise MissingExtra("simplemma", "lemmas", "lemmatisation") from None
    return " ".join(simplemma.lemmatize(word, lang="en") for word in text.split())


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
    """The recipe, if all its steps are known.

    Args:
        recipe: names of steps, in the order they are taken.

    Returns:
        the names.

    Raises:
        ConfigError: a step that is not known.

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
            raise ConfigError(f"no cleaning step is called {name!r}; the steps are {', '.join(CLEANING_STEPS)}.")
    return tuple(recipe)


def clean(text: str, recipe: Sequence[str] = TUTORIAL_RECIPE) -> str:
    """Take a text through cleaning steps.

    Args:
        text: any string.
        recipe: names of steps, in the order they are taken.

    Returns:
        the text after the last step.

    Raises:
        ConfigError: a step that is not known.
        MissingExtra: "lemmas" without simplemma.

    Example:
        >>> clean("Won't download 2 apps. #ugh http://x.co", ["urls", "punctuation", "lowercase"])
        "won't download 2 apps. ugh "
    """
    for name in check_recipe(recipe):
        text = CLEANING_STEPS[name](text)
    return text
