"""Can the vectors tell a word's senses apart? 20 ambiguous words, two senses each, five sentences a sense.

    python benchmarks/quality_senses.py [--model default]

`examples/word_senses.csv` was written for this. For every occurrence the most similar other occurrence of the same word
is found; it counts if it has the same sense. Chance is 4 in 9, and all that a static vector reaches: layer 0 gives a
word the same vector in all ten sentences, and ties count by their share of right answers. (It sees capital letters,
so it can tell Apple from apple.) Frames (centred, divided by
the standard deviation, first components removed) are compared on each layer; they come from other text: the tutorial's
tweets, or where these are missing the sentences themselves. Then the clusters that `WordIndex.senses` makes.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from workload import SHARED, finish, tweets

from elmokit import Elmo
from elmokit.index.senses import group_occurrences

DATA = Path(__file__).resolve().parents[1] / "examples" / "word_senses.csv"
READ = ("I read the book yesterday.", "Can you read the letter now?")


def load():
    with DATA.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def word_vectors(elmo, rows):
    """The vector of each row's word in each layer. Shape (rows, L, d)."""
    found = elmo.encode_words([row["text"] for row in rows], layers="each", show_progress=False)
    places = [[w.lower() for w in text.words].index(row["word"]) for text, row in zip(found, rows, strict=True)]
    return np.stack([text.vectors[:, place] for text, place in zip(found, places, strict=True)])


def background(elmo, rows):
    texts = [" ".join(words) for words in tweets(1500)] if SHARED.is_dir() else [row["text"] for row in rows]
    found = elmo.encode_words(texts, layers="each", show_progress=False)
    return np.concatenate([text.vectors for text in found], axis=1).swapaxes(0, 1)


def frames(vectors, other):
    """The ways of comparing that were tried."""
    centre, spread = other.mean(axis=0), other.std(axis=0) + 1e-6
    sample = other[np.random.default_rng(0).permutation(len(other))[:3000]] - centre
    axes = np.linalg.svd(sample, full_matrices=False)[2][:3]
    moved = vectors - centre
    return {
        "raw": vectors,
        "centred": moved,
        "divided by deviation": moved / spread,
        "3 components removed": moved - moved @ axes.T @ axes,
    }


def nearest_sense(vectors, words, senses):
    """Per word: the share of occurrences whose nearest other one has the same sense; ties by their share."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = {}
    for word in dict.fromkeys(words):
        rows = np.flatnonzero(words == word)
        cosines = units[rows] @ units[rows].T
        np.fill_diagonal(cosines, -2)
        same = senses[rows][:, None] == senses[rows][None]
        best = cosines >= cosines.max(axis=1, keepdims=True) - 1e-5
        scores[word] = float(((best & same).sum(axis=1) / best.sum(axis=1)).mean())
    return scores


def clustering(vectors, words, senses):
    """Purity of two clusters a word (chance about 0.6), by the index's own way of clustering."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right = 0
    for word in dict.fromkeys(words):
        rows = np.flatnonzero(words == word)
        labels, _ = group_occurrences(units[rows].astype(np.float32), 2)
        for label in range(2):
            _, counts = np.unique(senses[rows][labels == label], return_counts=True)
            right += counts.max(initial=0)
    return right / len(words)


def read_example(elmo, rows, layer, centre):
    """Is each tutorial sentence's "read" nearer to its own tense's than to the other's?"""
    others = [row for row in rows if row["word"] == "read" and row["text"] not in READ]
    tutorial = [{"word": "read", "text": text} for text in READ]
    vectors = choose(word_vectors(elmo, tutorial + others), layer) - centre
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    past = np.array([row["sense"] == "past" for row in others])
    result = {"each_other": float(cosines[0, 1])}
    for i, (name, own) in enumerate((("yesterday", past), ("now", ~past))):
        result[name] = {
            "same_sense_mean": float(cosines[i, 2:][own].mean()),
            "other_sense_mean": float(cosines[i, 2:][~own].mean()),
            "same_sense_best": float(cosines[i, 2:][own].max()),
        }
    return result


def choose(layers, which):
    return layers.mean(axis=1) if which == "mix" else layers[:, which]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    elmo, rows = Elmo.load(options.model, n_threads=1), load()
    words, senses = (np.array([row[name] for row in rows]) for name in ("word", "sense"))
    vectors, other = word_vectors(elmo, rows), background(elmo, rows)
    table = []
    print(f"{elmo.name}: {len(rows)} sentences, {len(set(words))} words; chance {4 / 9:.3f}")
    for layer in (*range(elmo.n_layers), "mix"):
        for frame, found in frames(choose(vectors, layer), choose(other, layer)).items():
            scores = nearest_sense(found, words, senses)
            random = choose(other, layer)[np.random.default_rng(1).permutation(len(other))[:2000]]
            row = {
                "layer": layer,
                "frame": frame,
                "nearest_sense": float(np.mean(list(scores.values()))),
                "by_word": scores,
                "purity_of_two_clusters": float(clustering(found, words, senses)) if layer != 0 else None,
                "cosine_of_unrelated": unrelated(frames(random, choose(other, layer))[frame]),
            }
            table.append(row)
            purity = "" if layer == 0 else f", purity of two clusters {row['purity_of_two_clusters']:.3f}"
            shown = (
                f"nearest sense {row['nearest_sense']:.3f}{purity}, unrelated words {row['cosine_of_unrelated']:.3f}"
            )
            print(f"layer {layer!s:4} {frame:22} {shown}")
    read = {str(layer): read_example(elmo, rows, layer, choose(other, layer).mean(axis=0)) for layer in (1, 2, "mix")}
    for layer, found in read.items():
        print(f"read, layer {layer}: the two, each other {found['each_other']:.3f}")
        for name in ("yesterday", "now"):
            numbers = "  ".join(f"{of} {cosine:.3f}" for of, cosine in found[name].items())
            print(f"  {name}: {numbers}")
    finish("quality_senses", {"model": elmo.name, "chance": 4 / 9, "rows": table, "read": read})


def unrelated(vectors):
    """The mean cosine of random pairs of words: how far from evenly spread directions are."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    half = len(units) // 2
    return float((units[:half] * units[half : 2 * half]).sum(axis=1).mean())


if __name__ == "__main__":
    main()
