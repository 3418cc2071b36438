"""The tutorial's tweets: cleaning × pooling × layers × head, beside counted words.

    python benchmarks/quality_tweets.py [--model default] [--tuned FOLDER] [--data ../shared/data/tweets]
        [--only TEXT] [--torch] [--submission sub_lreg.csv]

Every row is fitted on the same 80 % (train_test_split, seed 42); strengths are chosen inside them. "inside" is the mean
± sd of F1 of class 1 over five folds within the 80 %, and the only figure that a row may be chosen by; "held out" is F1
on the other 20 %, looked at once. `--tuned` names a model that `elmokit tune` made of the training tweets without their
labels. `--torch` adds the heads of PyTorch, hours on one core, judged by fewer folds. `--submission` writes labels for
test.csv by the best row inside. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

from elmokit.elmo import Elmo
from elmokit.encoding import Encoding
from elmokit.tasks.classify import TextClassifier
from elmokit.tasks.classify.evaluate import baseline
from elmokit.tasks.classify.features import EncodeOnce
from elmokit.text.cleaning import TUTORIAL_RECIPE

CLEANINGS = {"urls": ("urls", "spaces"), "no lemmas": TUTORIAL_RECIPE[:-1], "tutorial": TUTORIAL_RECIPE}
SHARED = Path(os.environ.get("ELMOKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SEED = 42


def elmo_rows(elmo: Elmo, label: str, *, with_torch: bool) -> Iterator[tuple[str, Any, int]]:
    """Name, unfitted classifier and number of folds of each row of a model."""

    def row(name: str, pooling: str, layers: Any, n_folds: int = 5, **settings: Any) -> tuple[str, Any, int]:
        # a cache per row: EncodeOnce keeps the vectors of one encoding
        made = TextClassifier(EncodeOnce(elmo), encoding=Encoding(pooling, layers), seed=SEED, **settings)
        return f"{label} · {pooling} · {layers} · {name}", made, n_folds

    for layers in ("mix", "all", 0, 1, 2):
        yield row("logistic", "mean", layers)
    for pooling, layers in (("max", "mix"), ("sif", "mix"), ("mean+max", "mix"), ("mean+max", "all")):
        yield row("logistic", pooling, layers)
    yield row("logistic, plain", "mean+max", "mix", class_weight=None)
    yield row("logistic beside TF-IDF of characters", "mean+max", "mix", join="tfidf")
    for name, cleaning in CLEANINGS.items():
        yield row(f"logistic, cleaned: {name}", "mean+max", "mix", cleaning=cleaning)
    if with_torch:
        yield row("bilstm", "mean", "all", 2, head="bilstm")
        yield row("finetune", "mean", "all", 2, head="finetune")


def counted_rows(elmo: Elmo) -> Iterator[tuple[str, Any, int]]:
    """The rows of TF-IDF."""
    for analyzer in ("words", "characters"):
        for weight in ("balanced", None):
            counted = baseline(TextClassifier(class_weight=weight), analyzer, elmo)
            yield f"TF-IDF of {analyzer} · logistic, {weight or 'plain'}", counted, 5


def main() -> None:
    """Run the rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--tuned")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tweets")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--submission", type=Path)
    chosen = parser.parse_args()
    with (chosen.data / "train.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    texts, labels = [row["tweet"] for row in table], [row["label"] for row in table]
    xtrain, xtest, ytrain, ytest = train_test_split(texts, labels, test_size=0.2, random_state=SEED)
    elmo = Elmo.load(chosen.model)
    rows = list(elmo_rows(elmo, "ELMo", with_torch=chosen.torch))
    if chosen.tuned:
        rows += elmo_rows(Elmo.load(chosen.tuned), "ELMo tuned", with_torch=chosen.torch)
    results: dict[str, dict[str, float]] = {}
    best: tuple[float, Any] = (0.0, None)
    for name, classifier, n_folds in (*rows, *counted_rows(elmo)):
        if chosen.only not in name:
            continue
        start = time.perf_counter()
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=SEED)
        scorer = make_scorer(f1_score, pos_label="1")
        inside = cross_val_score(clone(classifier), xtrain, ytrain, cv=folds, scoring=scorer)
        fitted = clone(classifier).fit(xtrain, ytrain)
        held_out = f1_score(ytest, fitted.predict(xtest), pos_label="1")
        mean, sd, seconds = float(inside.mean()), float(inside.std(ddof=1)), time.perf_counter() - start
        results[name] = {"inside": mean, "sd": sd, "held out": float(held_out), "seconds": seconds}
        print(f"{name:70}  {mean:.3f} ± {sd:.3f}  {held_out:.3f}  {seconds:6.1f} s", flush=True)
        if mean > best[0]:
            best = (mean, classifier)
    if chosen.submission and best[1] is not None:
        with (chosen.data / "test.csv").open(encoding="utf-8", newline="") as file:
            test = list(csv.DictReader(file))
        predicted: np.ndarray = clone(best[1]).fit(texts, labels).predict([row["tweet"] for row in test])
        with chosen.submission.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [["id", "label"], *zip((row["id"] for row in test), predicted.tolist(), strict=True)]
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
