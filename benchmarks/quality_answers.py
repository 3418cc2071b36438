"""Answers by passage ranking: BM25 alone, likeness of words alone, and both, on WikiQA and XQuAD.

    python benchmarks/quality_answers.py [--model default]

WikiQA (Yang et al. 2015): questions with at least one answer among the sentences of a document. "document": the
sentences of the question's document are ranked (the usual task; MRR, MAP, P@1); "all": the sentences of all documents
of the part (recall@1, 5, 10 and MRR: is an answer found at all). XQuAD (English): 1,190 questions over 240 paragraphs,
which of them holds the answer. Weight and idf are chosen on WikiQA's development part, by the mean MRR of both ways
to ask; the test part and XQuAD are then looked at once.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from workload import SHARED, finish

from elmokit.elmo import Elmo
from elmokit.tasks.answer import Answers, combine

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0)


class Asked:
    """Passages, and questions with the passages of their document and those that are right."""

    def __init__(self, passages, questions):
        self.passages, self.questions = passages, questions


def wikiqa(folder, part):
    with (folder / f"WikiQA-{part}.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    numbers, questions = {}, {}
    for row in rows:
        place = numbers.setdefault(row["Sentence"], len(numbers))
        _, places, right = questions.setdefault(row["QuestionID"], (row["Question"], [], set()))
        places.append(place)
        right.update([place] if row["Label"] == "1" else [])
    return Asked(list(numbers), [asked for asked in questions.values() if asked[2]])


def xquad(folder):
    articles = json.loads((folder / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    questions = [(qa["question"], None, {i}) for i, paragraph in enumerate(paragraphs) for qa in paragraph["qas"]]
    return Asked([paragraph["context"] for paragraph in paragraphs], questions)


def parts_of(answers, asked, idf, *, documents):
    """BM25 and coverage of the passages in question, and which of them are right, for every question."""
    answers.idf, found = idf, []
    for question, places, right in asked.questions:
        among = np.arange(len(asked.passages)) if places is None or not documents else np.array(places)
        found.append((*answers.parts(question, among), np.isin(among, list(right))))
    return found


def judge(parts, weight):
    """Figures of all questions; coverage alone is a weight without end."""
    ranks, average, recall = [], [], {1: [], 5: [], 10: []}
    for bm25, coverage, right in parts:
        hits = np.flatnonzero(right[np.argsort(-combine(bm25, coverage, weight), kind="stable")]) + 1
        ranks.append(1 / hits[0])
        average.append(float(np.mean(np.arange(1, len(hits) + 1) / hits)))
        for k, of_k in recall.items():
            of_k.append(hits[0] <= k)
    at = {f"recall@{k}": float(np.mean(of_k)) for k, of_k in recall.items()}
    return ranks, {"mrr": float(np.mean(ranks)), "map": float(np.mean(average)), **at}


def interval(first, second, seed=0):
    """95% of the difference of two MRRs, by resampling questions."""
    differences = np.array(second) - np.array(first)
    draws = np.random.default_rng(seed).choice(differences, (10_000, len(differences))).mean(1)
    return [float(value) for value in np.quantile(draws, [0.025, 0.975])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    data = SHARED / "data"
    if not (data / "WikiQA").is_dir():
        raise SystemExit(f"{data / 'WikiQA'} is missing: set ELMOKIT_SHARED to the folder of shared data.")
    elmo = Elmo.load(options.model)
    dev = wikiqa(data / "WikiQA", "dev")
    answers = Answers(elmo, dev.passages, n_candidates=len(dev.passages))
    grid = {}
    for rare in (False, True):
        ways = [parts_of(answers, dev, rare, documents=documents) for documents in (True, False)]
        grid |= {(w, rare): float(np.mean([judge(parts, w)[1]["mrr"] for parts in ways])) for w in WEIGHTS}
    weight, idf = max(grid, key=grid.get)
    for (w, rare), mrr in grid.items():
        print(f"dev: weight {w:<4} {'idf' if rare else 'plain':6} MRR {mrr:.3f}", flush=True)
    sets = [("WikiQA test, document", wikiqa(data / "WikiQA", "test"), True)]
    sets.append(("WikiQA test, all", sets[0][1], False))
    if (data / "XQuAD").is_dir():
        sets.append(("XQuAD en, paragraphs", xquad(data / "XQuAD"), False))
    rows = []
    print(f"\n{'':24}{'':12}{'MRR':>7}{'MAP':>7}{'R@1':>7}{'R@5':>7}{'R@10':>7}")
    for name, asked, documents in sets:
        if not rows or rows[-1]["passages"] != len(asked.passages):
            answers = Answers(elmo, asked.passages)
        parts, by_way = parts_of(answers, asked, idf, documents=documents), {}
        for way, of_way in (("BM25", 0.0), ("coverage", 1e6), ("both", weight)):
            by_way[way], found = judge(parts, of_way)
            rows.append({"set": name, "way": way, "questions": len(parts), "passages": len(asked.passages), **found})
            print(f"{name:24}{way:12}" + "".join(f"{value:7.3f}" for value in found.values()), flush=True)
        rows[-1]["mrr_gain_95"] = interval(by_way["BM25"], by_way["both"])
        low, high = rows[-1]["mrr_gain_95"]
        print(f"{'':24}both − BM25: MRR {low:+.3f} to {high:+.3f} (95%)")
    finish("quality_answers", {"model": options.model, "weight": weight, "idf": idf, "dev": str(grid), "rows": rows})


if __name__ == "__main__":
    main()
