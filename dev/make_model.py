"""Make the embedded model (again): a recipe and a folder of corpus files → a checkpoint ready for the wheel.

    python dev/make_model.py src/elmokit/models/default/recipe.json --corpus ../shared/corpus --out runs/default

The recipe names preset, seed, words and how often each file is read; first of all, gensim's word2vec reads the files
named under "word_vectors", and the biLM begins with its vectors. The run resumes when it is called again. The
checkpoint goes to OUT/model, stored as the recipe says; whether it replaces the one in the package is for a person to
decide, by the figures of `benchmarks/quality_sets.py`. `--words` and `--rows` shrink the recipe, for a rehearsal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elmokit.checkpoints import load, save
from elmokit.config import ElmoConfig
from elmokit.files import atomic_path
from elmokit.training import Corpus, Report, get_preset, train
from elmokit.training.sources import open_store


def make_model(
    recipe: Path, corpus: Path, out: Path, *, words: int | None = None, rows: int | None = None, device: str = "cpu"
) -> Path:
    """Follow a recipe.

    Args:
        recipe: the JSON file.
        corpus: folder with the files that the recipe names.
        out: folder of the run.
        words: train on so many words instead of the recipe's.
        rows: a batch of so many rows instead of the preset's.
        device: where to train.

    Returns:
        the folder of the checkpoint.
    """
    steps = json.loads(recipe.read_text(encoding="utf-8"))
    preset = get_preset(steps["preset"])
    changes = dict(steps["options"])
    if words is not None:
        changes["n_words"] = words
    if rows is not None:
        changes["n_rows"] = rows
    train(
        Corpus(
            files=files_of(steps["sources"], corpus), weights=steps["sources"], heldout_every=steps["heldout_every"]
        ),
        out,
        config=preset.config,
        options=replace(preset.options, **changes),
        word_vectors=word_vectors(steps, corpus, out, preset.config),
        device=device,
        resume=True,
        name=steps["name"],
        on_report=show,
    )
    save(load(out), out / "model", storage=steps["storage"])
    return out / "model"


def files_of(names: Iterable[str], corpus: Path) -> list[Path]:
    """The corpus files of these names."""
    return [next(corpus.glob(f"{name}.*")) for name in names]


def word_vectors(steps: dict[str, Any], corpus: Path, out: Path, config: ElmoConfig) -> Path | None:
    """Static vectors of the recipe's files by gensim's word2vec, most frequent words first; kept in OUT."""
    asked = steps.get("word_vectors")
    path = out / "word_vectors.txt"
    if asked is None or path.exists():
        return path if asked else None
    from gensim.models import Word2Vec

    store = open_store(files_of(asked["sources"], corpus), out / "word_vectors_store", tokenizer=config.tokenizer)
    text = out / "words.txt"
    with atomic_path(text) as temporary, temporary.open("w", encoding="utf-8") as file:
        spellings = list(store.spellings())
        for first in range(0, store.n_texts("train"), 10_000):
            numbers, ends = store.span("train", first, min(first + 10_000, store.n_texts("train")))
            for line in np.split(numbers, ends[:-1]):
                file.write(" ".join(spellings[n] for n in line) + "\n")
    vectors = Word2Vec(corpus_file=str(text), vector_size=config.projection_width, seed=steps["options"]["seed"],
                       **asked["options"]).wv  # fmt: skip
    with atomic_path(path) as temporary:
        vectors.save_word2vec_format(str(temporary), binary=False)
    text.unlink()
    return path


def show(report: Report) -> None:
    """Print a report."""
    heldout = f", held-out perplexity {report.heldout['mean']:.1f}" if report.heldout else ""
    print(
        f"{report.n_words:,} words, loss {report.loss:.3f}, {report.words_per_second:,.0f} words/s{heldout}", flush=True
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print(make_model(given.recipe, given.corpus, given.out, words=given.words, rows=given.rows, device=given.device))
