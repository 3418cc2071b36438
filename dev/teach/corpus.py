"""Corpus files → arrays of word numbers that a GPU machine can hold: tokenized lines, each word a number.

    python dev/teach/corpus.py RECIPE CORPUS OUT

RECIPE names each source with the words that are taken from it. OUT gets `ids.npy` (word numbers, line by line),
`lens.npy` (words of each line), `types.txt` (spellings, most frequent first) and `counts.npy`. Blocks of lines are
shuffled, so any beginning of the arrays is a fair sample.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elmokit.text.tokens import get_tokenizer

LONGEST, SHORTEST, BLOCK = 56, 2, 200
"""Words of a line at most (longer ones are cut) and at least; lines that stay together when shuffled."""


def lines_of(path: Path, n_words: float, tokenizer: str) -> Iterator[list[str]]:
    """Lines of words, without repetitions; a random choice of about `n_words` words where the file has more."""
    tokenize, chance = get_tokenizer(tokenizer), random.Random(path.stem)
    share = min(1.0, n_words / max(len(path.read_bytes().split()), 1))
    seen: set[str] = set()
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line in seen or chance.random() > share:
                continue
            seen.add(line)
            words = [token.word for token in tokenize(line)]
            for start in range(0, len(words), LONGEST):
                part = words[start : start + LONGEST]
                if len(part) >= SHORTEST:
                    yield part


def pack(recipe: Path, corpus: Path, out: Path) -> None:
    """Write the arrays of all sources of a recipe."""
    steps = json.loads(recipe.read_text(encoding="utf-8"))
    numbers: dict[str, int] = {}
    parts: list[NDArray[np.uint32]] = []
    lengths: list[int] = []
    for name, n_words in steps["sources"].items():
        for words in lines_of(next(corpus.glob(f"{name}.*")), float(n_words), steps["tokenizer"]):
            parts.append(np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.uint32))
            lengths.append(len(words))
    counts = np.bincount(np.concatenate(parts), minlength=len(numbers))
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    blocks = np.random.default_rng(0).permutation(-(-len(parts) // BLOCK))
    lines = [i for block in blocks for i in range(block * BLOCK, min((block + 1) * BLOCK, len(parts)))]
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "ids.npy", rank[np.concatenate([parts[i] for i in lines])])
    np.save(out / "lens.npy", np.array([lengths[i] for i in lines], dtype=np.uint8))
    np.save(out / "counts.npy", counts[order].astype(np.uint32))
    spellings = list(numbers)
    (out / "types.txt").write_text("\n".join(spellings[i] for i in order), encoding="utf-8")
    print(f"{len(lines):,} lines, {sum(lengths):,} words, {len(spellings):,} spellings")


if __name__ == "__main__":
    pack(*(Path(argument) for argument in sys.argv[1:4]))
