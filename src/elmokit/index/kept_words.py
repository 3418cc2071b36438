"""Which words of a corpus are worth an entry: content words, all, or a list.

About half of English running text is function words and punctuation: nobody asks for their senses, and leaving them
out halves the index. The list below holds closed-class words, also those with other uses, such as "will" and "like": to
study these, give a list of words, or keep all.
"""

from collections.abc import Callable, Collection

from elmokit.errors import ConfigError

_LISTED = """
a an the this that these those some any each every either neither no none all both half such what which whatever
whichever who whom whose whoever i me my mine myself you your yours yourself yourselves he him his himself she her
hers herself it its itself we us our ours ourselves they them their theirs themselves one ones someone somebody
something anyone anybody anything everyone everybody everything nobody nothing and or but nor so yet for if then else
than as while because since until till unless although though whether when where why how whenever wherever however of
in on at by to from with without within into onto upon about above across after against along among around before
behind below beneath beside besides between beyond despite down during except inside like near off out outside over
past per through throughout toward towards under underneath up via am is are was were be been being do does did done
doing have has had having can could will would shall should may might must ought not n't too very just also only even
still already again ever never here there now rather quite almost more most much many less least few fewer little
other others another same own i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's
it'd it'll we're we've we'd we'll they're they've they'd they'll that's there's here's what's who's let's don't
doesn't didn't won't wouldn't can't cannot couldn't shouldn't isn't aren't wasn't weren't haven't hasn't hadn't ain't
mustn't
"""
_FUNCTION_WORDS = frozenset(_LISTED.split())


def is_content_word(word: str) -> bool:
    """Whether a word, in lower case, names something: starts with a letter, is longer, and is no function word."""
    return len(word) > 1 and word[0].isalpha() and "://" not in word and word.replace("’", "'") not in _FUNCTION_WORDS


def word_test(words: str | Collection[str]) -> Callable[[str], bool]:
    """What decides whether a word, in lower case, is kept; ConfigError for another string, or an empty list."""
    if words == "content":
        return is_content_word
    if words == "all":
        return lambda _word: True
    if isinstance(words, str) or not words:
        raise ConfigError(f"words is {words!r}; expected 'content', 'all', or a list of at least one word.")
    return frozenset(word.lower() for word in words).__contains__


def kept_words(words: str | Collection[str]) -> str | tuple[str, ...]:
    """The words to keep as an index records them; ConfigError as `word_test`."""
    word_test(words)
    return words if isinstance(words, str) else tuple(sorted({word.lower() for word in words}))
