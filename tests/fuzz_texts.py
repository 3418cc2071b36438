"""Strange texts through tokenizers, cleaning, sentence cutting and the encoding of a tiny model.

    python tests/fuzz_texts.py 1000000 0     # number of texts, seed

Only errors of elmokit may come, nothing may take more than two seconds of CPU, and results must be whole: tokens
are the text and vectors are finite. The suite runs a small number (`tests/laws/test_text.py`).
"""

import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from elmokit.errors import ElmoKitError
from elmokit.text.cleaning import CLEANING_STEPS, clean
from elmokit.text.sentences import split_sentences
from elmokit.text.tokens import MAX_TOKEN_CHARACTERS, TOKENIZERS
from unit.tiny_models import tiny_elmo

SECONDS = 2.0
BLOCK = 500
RANGES = (
    (0x00, 0x80),
    (0x80, 0x250),
    (0x300, 0x370),
    (0x590, 0x700),
    (0x900, 0x980),
    (0x2000, 0x2070),
    (0x3000, 0x3100),
    (0x4E00, 0x9FFF),
    (0xD800, 0xE000),
    (0xFE00, 0xFF00),
    (0x1F000, 0x1FAFF),
    (0xE0000, 0xE0100),
    (0, 0x110000),
)
PIECES = (
    *"()[]{}:;=8xX-o*'\".,!?#@_^<3/\\&%+a1今。\n\t\r\0\x0b\x0c\x1c\x85\u2028",
    *("http://", "www.", "a@b.", "e.g. ", "Dr. ", "...", "#x", "@x", ":-)", "1,", "ab-", "don't", "कि", "e\u0301"),
    *("\u200d", "\u00ad", "\u200b", "\ufeff", "\u202e", "\U0001f469\u200d", "\U0001f1e9", "\U0001f3f4\U000e0067"),
)
WRONG = (None, 3, 2.5, float("nan"), b"bytes", {"a": 1}, [None], ["a", 3], object())


def strange_text(rng):
    """A text of one kind of strangeness, most of them short."""
    length = int(min(rng.expovariate(1 / 40), 600)) if rng.random() < 0.999 else rng.randrange(1000, 15_000)
    kind = rng.randrange(4)
    if kind == 0:
        low, high = rng.choice(RANGES)
        return "".join(chr(rng.randrange(low, high)) for _ in range(length))
    if kind == 1:  # a unit again and again
        unit = "".join(rng.choices(PIECES, k=rng.randint(1, 4)))
        return (unit * (length // len(unit) + 1))[:length]
    if kind == 2:
        return "".join(rng.choices(PIECES, k=length // 2))
    letters = "".join(chr(rng.randrange(*rng.choice(RANGES[:8]))) for _ in range(4)) + "etaoin srhl,.'!  "
    return "".join(rng.choices(letters, k=length))


def timed(function, argument):
    """What a function returns, and the seconds of CPU that it took."""
    start = time.process_time()
    result = function(argument)
    return result, time.process_time() - start


def check_text(text, steps):
    """Run the functions of `elmokit.text` on a text and return the longest time of one."""
    longest = 0.0
    for tokenize in TOKENIZERS.values():
        tokens, seconds = timed(tokenize, text)
        longest, place = max(longest, seconds), 0
        for word, start, end in tokens:
            assert place <= start < end <= start + MAX_TOKEN_CHARACTERS, repr(text)
            assert text[start:end] == word, repr(text)
            place = end
    _, seconds = timed(lambda given: clean(given, steps), text)
    sentences, more = timed(split_sentences, text)
    assert all(sentences), repr(text)
    return max(longest, seconds, more)


def check_block(elmo, texts):
    """Encode texts together and return the seconds of the slowest, or of all if they are fast."""
    vectors, seconds = timed(lambda given: elmo.encode(given, show_progress=False), texts)
    assert vectors.shape == (len(texts), elmo.dim), vectors.shape
    assert np.isfinite(vectors).all()
    if seconds <= SECONDS:
        return seconds
    return max(timed(lambda given: elmo.encode(given, show_progress=False), [text])[1] for text in texts)


def check_wrong(elmo, value):
    """Encode what is no text: an error of elmokit, and no other."""
    try:
        elmo.encode(["fine", value], show_progress=False)
    except ElmoKitError:
        return
    raise AssertionError(f"{value!r} was encoded")


def fuzz(n_texts, seed, *, lemmas=True):
    """Try texts and return the longest time of a text function and of an encoding, in seconds of CPU."""
    rng, elmo = random.Random(seed), tiny_elmo(n_threads=1)
    steps = [name for name in CLEANING_STEPS if lemmas or name != "lemmas"]
    longest, encoding = 0.0, 0.0
    for start in range(0, n_texts, BLOCK):
        texts = [strange_text(rng) for _ in range(min(BLOCK, n_texts - start))]
        for text in texts:
            seconds = check_text(text, rng.sample(steps, len(steps)))
            assert seconds < SECONDS, f"{seconds:.1f} s for {text!r:.200}"
            longest = max(longest, seconds)
        encoding = max(encoding, seconds := check_block(elmo, texts))
        assert seconds < SECONDS, f"{seconds:.1f} s to encode one of the texts {start} to {start + len(texts)}"
        for _ in range(BLOCK // 50):
            check_wrong(elmo, rng.choice(WRONG))
        if start % 50_000 == 0:
            print(f"{start:,} texts; at most {longest:.2f} s, encoding {encoding:.2f} s", file=sys.stderr, flush=True)
    return longest, encoding


if __name__ == "__main__":
    count, first_seed = (int(number) for number in (*sys.argv[1:], "0")[:2])
    print(f"{count:,} texts: at most %.2f s of CPU for a text, %.2f s for an encoding" % fuzz(count, first_seed))
