"""Few labels and misspelt texts: where vectors should be ahead of counted words.

    python benchmarks/quality_curves.py [--sets SST2,TREC,CR,MR] [--labels 50,200,1000] [--beside tfidf,characters]
        [--misspelt SST2,TREC] [--news FILE] [--questions TITLES LABELS] [--tuned FOLDER]

- Curves: so many labelled texts, drawn from the training part (five seeds, every class in it), accuracy on the test
  part (sets without one: 30 % held out). The strength of the logistic regression is chosen by five folds inside.
- Misspelt: trained on the clean training part, tested on copies whose letters are replaced with a chance of 10 % (five
  draws).
- Topics: two sets that are not in $ELMOKIT_SHARED. `--news` is test.csv of AG News (class, title, text; 7,600 rows);
  `--questions` are title_StackOverflow.txt and label_StackOverflow.txt (20,000 titles, 20 tags; Xu et al. 2015).

The last line is JSON, also written to benchmarks/results/quality_curves.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import string
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

sys.path.insert(0, str(Path(__file__).parent))
from encoders import find_encoder
from evaluation_sets import Texts, find_set
from protocols import ElmoEncoder
from workload import SHARED

from elmokit.elmo import Elmo

N_SEEDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="SST2,TREC,CR,MR")
    parser.add_argument("--labels", default="50,200,1000")
    parser.add_argument("--misspelt", default="SST2,TREC")
    parser.add_argument("--tuned", type=Path, help="a model of `elmokit tune` to measure beside the default")
    parser.add_argument("--beside", default="tfidf,characters")
    parser.add_argument("--news", type=Path)
    parser.add_argument("--questions", type=Path, nargs=2)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/quality_curves.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    encoders = [ElmoEncoder(Elmo.load(), layers="mix", name="default")]
    if arguments.tuned:
        encoders.append(ElmoEncoder(Elmo.load(arguments.tuned), layers="mix", name="tuned"))
    encoders += [find_encoder(text) for text in arguments.beside.split(",") if text]
    sets = {name: find_set(name).read(arguments.data) for name in arguments.sets.split(",") if name}
    sets |= topics(arguments.news, arguments.questions)
    rows: list[dict[str, Any]] = []
    for name, examples in sets.items():
        for encoder in encoders:
            for n in map(int, arguments.labels.split(",")):
                rows.append(curve_point(name, examples, encoder, n))
    for name in filter(None, arguments.misspelt.split(",")):
        rows += [misspelt(name, find_set(name).read(arguments.data), encoder) for encoder in encoders]
    result = {"benchmark": "quality_curves", "results": rows}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def topics(news: Path | None, questions: Sequence[Path] | None) -> dict[str, Texts]:
    """The two topic sets whose files are given."""
    sets = {}
    if news:
        with news.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        sets["AG News"] = Texts([f"{row[1]} {row[2]}" for row in rows], np.array([row[0] for row in rows]), None)
    if questions:
        titles, labels = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in questions)
        sets["StackOverflow"] = Texts(titles, np.array(labels), None)
    return sets


def parts_of(examples: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to test on."""
    if examples.parts is None:
        return train_test_split(
            np.arange(len(examples.texts)), test_size=0.3, random_state=0, stratify=examples.targets
        )
    return np.flatnonzero(examples.parts == "train"), np.flatnonzero(examples.parts == "test")


def curve_point(name: str, examples: Texts, encoder: Any, n: int) -> dict[str, Any]:
    """Mean and deviation of the accuracy with n labels."""
    learned, test = parts_of(examples)
    features = remembered(name, encoder, examples.texts)
    scores = []
    for seed in range(N_SEEDS):
        rows, _ = train_test_split(learned, train_size=n, random_state=seed, stratify=examples.targets[learned])
        scores.append(fitted(features[rows], examples.targets[rows]).score(features[test], examples.targets[test]))
    return shown({"set": name, "encoder": encoder.name, "labels": n}, scores)


def misspelt(name: str, examples: Texts, encoder: Any) -> dict[str, Any]:
    """Accuracy on clean and on misspelt test texts, learned from clean ones."""
    (learned, test), clean, after = parts_of(examples), [], []
    for draw in range(N_SEEDS):
        wrong = [with_wrong_letters(examples.texts[row], seed=row + 100_000 * draw) for row in test]
        features = encoder.texts([*examples.texts, *wrong])
        model = fitted(features[learned], examples.targets[learned])
        clean.append(model.score(features[test], examples.targets[test]))
        after.append(model.score(features[len(examples.texts) :], examples.targets[test]))
    row = shown({"set": name, "encoder": encoder.name, "misspelt": True}, after)
    return row | {"clean": round(100 * float(np.mean(clean)), 1)}


def with_wrong_letters(text: str, seed: int, chance: float = 0.1) -> str:
    """A copy in which each letter is replaced by another one with this chance."""
    rng = np.random.default_rng(seed)
    draws = rng.random(len(text))
    others = rng.choice(list(string.ascii_lowercase), len(text))
    return "".join(str(o) if c.isalpha() and d < chance else c for c, d, o in zip(text, draws, others, strict=True))


def fitted(features: Any, targets: np.ndarray) -> GridSearchCV:
    """Logistic regression, its strength chosen by folds (fewer where a class is rare)."""
    n_folds = max(2, min(5, int(np.unique(targets, return_counts=True)[1].min())))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    search = GridSearchCV(LogisticRegression(max_iter=5000), {"C": [0.1, 1.0, 10.0, 100.0]}, cv=folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer rows than folds
        return search.fit(features, targets)


_kept: dict[tuple[str, str], Any] = {}


def remembered(name: str, encoder: Any, texts: Sequence[str]) -> Any:
    """The vectors of a set, computed once for all points of its curve."""
    key = (name, encoder.name)
    if key not in _kept:
        _kept.clear()
        _kept[key] = encoder.texts(texts)
    return _kept[key]


def shown(row: dict[str, Any], scores: Sequence[float]) -> dict[str, Any]:
    """The row with its figures, also printed."""
    row |= {"accuracy": round(100 * float(np.mean(scores)), 1), "sd": round(100 * float(np.std(scores)), 1)}
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
