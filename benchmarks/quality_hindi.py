"""Hindi product reviews and BBC headlines: vectors of a Hindi biLM beside TF-IDF of characters.

    python benchmarks/quality_hindi.py hindi-model [--corpus FILE]

Five stratified folds of the training part (seed 42), then fitted on all of it and scored on the test part. Logistic
regression with class weights, its strength chosen by cross-validation inside each training part; 1 for TF-IDF.
`--corpus` only writes the training corpus: the texts of the training parts of all four sets without their labels, each
once, and without those in a development or test part of the two sets that are scored. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_validate

from elmokit import Elmo, Encoding
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.classify.evaluate import baseline
from elmokit.tasks.classify.features import EncodeOnce

SHARED = Path(os.environ.get("ELMOKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SCORED = {"PR": "product reviews", "BBC": "BBC headlines"}


def read(folder: Path, name: str, part: str) -> tuple[list[str], list[str]]:
    """Texts and labels of one part of a set."""
    lines = (folder / name / f"{name}_{part}_data.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.rpartition("\t") for line in lines if line.strip()]
    return [text.strip() for text, _, _ in rows], [label.strip() for _, _, label in rows]


def write_corpus(folder: Path, path: Path) -> None:
    """Write the training texts of all sets, one per line."""
    held_out = {text for name in SCORED for part in ("dev", "test") for text in read(folder, name, part)[0]}
    texts = dict.fromkeys(text for name in ("PR", "BBC", "BH", "HDA") for text in read(folder, name, "train")[0])
    path.write_text("".join(f"{text}\n" for text in texts if text and text not in held_out), encoding="utf-8")


def main() -> None:
    """Score every kind of features on both sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="hindi-model")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "Hindi" / "Classification")
    parser.add_argument("--corpus", type=Path)
    chosen = parser.parse_args()
    if chosen.corpus:
        write_corpus(chosen.data, chosen.corpus)
        return
    elmo, results = Elmo.load(chosen.model), {}
    for name, title in SCORED.items():
        rows = {
            "TF-IDF of characters": baseline(TextClassifier(), "characters", elmo),
            "ELMo, mean + max": TextClassifier(EncodeOnce(elmo), encoding=Encoding("mean+max")),
            "ELMo, mean + max, beside TF-IDF of characters": TextClassifier(
                EncodeOnce(elmo), encoding=Encoding("mean+max"), join="tfidf"
            ),
        }
        texts, labels = read(chosen.data, name, "train")
        test_texts, test_labels = read(chosen.data, name, "test")
        folds = StratifiedKFold(5, shuffle=True, random_state=42)
        for row, classifier in rows.items():
            start = time.perf_counter()
            scores = cross_validate(clone(classifier), texts, labels, cv=folds, scoring=("accuracy", "f1_macro"))
            predicted = clone(classifier).fit(texts, labels).predict(test_texts)
            result = {
                "accuracy": [float(scores["test_accuracy"].mean()), float(scores["test_accuracy"].std(ddof=1))],
                "macro F1": [float(scores["test_f1_macro"].mean()), float(scores["test_f1_macro"].std(ddof=1))],
                "test accuracy": float(accuracy_score(test_labels, predicted)),
                "test macro F1": float(f1_score(test_labels, predicted, average="macro")),
                "seconds": time.perf_counter() - start,
            }
            results[f"{title} · {row}"] = result
            print(f"{title} · {row}", json.dumps(result), flush=True)
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
