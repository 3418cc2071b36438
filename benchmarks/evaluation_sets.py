"""The public evaluation sets: where each lies in the data folder, how it is read, which figure is reported.

| set | files, in the folder of its name | format |
|---|---|---|
| tweets | train.csv | CSV with the columns label and tweet |
| MR, CR, SUBJ, MPQA | rt-polarity.all, custrev.all, subj.all, mpqa.all | a line is "label text" |
| SST2, SST5, TREC | stsa.binary.train …, TREC.train.all, TREC.test.all | a line is "label text" |
| MRPC | msr_paraphrase_train.txt, …_test.txt | TSV: Quality, #1 String, #2 String |
| SICK | SICK_train.txt, SICK_trial.txt, SICK_test_annotated.txt | TSV with a header |
| STSB | stsb-en-train.csv, …-dev.csv, …-test.csv | CSV without header: two texts and a score |
| WiC | train/train.data.txt, train/train.gold.txt, dev/…, test/… | TSV: word, kind, "i-j", two sentences; T or F |
| SCWS | ratings.txt | TSV: the target word stands between <b> and </b> |

The folder is $ELMOKIT_SHARED/data (default ../shared/data). Files are UTF-8, or Latin-1 where they are not valid UTF-8.
Lines end at a line feed only: MR and SUBJ contain other characters that Python treats as line ends.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts with a class each; `parts` is the official split ("train", "dev", "test"), or None for cross-validation."""

    texts: Sequence[str]
    targets: np.ndarray
    parts: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of texts with a class or a similarity score each."""

    first: Sequence[str]
    second: Sequence[str]
    targets: np.ndarray
    parts: np.ndarray


@dataclass(frozen=True, eq=False)
class WordPairs:
    """Pairs of words in context.

    `sentences` are 2n tokenised sentences (those of the first words, then those of the second), `positions` (2n,) the
    position of the word in its sentence, `targets` (n,) True for the same meaning, or a similarity score.
    """

    sentences: Sequence[Sequence[str]]
    positions: np.ndarray
    targets: np.ndarray
    parts: np.ndarray | None


@dataclass(frozen=True)
class Published:
    """A figure of the full-size ELMo, in per cent, and where it was read: source and row."""

    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """A row of the table: `metric` is "accuracy", "F1 of 1", "Pearson" or "Spearman", in per cent."""

    name: str
    read: Callable[[Path], Texts | Pairs | WordPairs]
    metric: str = "accuracy"
    n_folds: int = 10
    published: Published | None = None


def read_tweets(folder: Path, *, split: bool) -> Texts:
    """The tutorial's tweets with its split, train_test_split(test_size=0.2, random_state=42); class 1 is negative."""
    with (folder / "tweets/train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = np.full(len(rows), "train", dtype="<U5")
    parts[train_test_split(np.arange(len(rows)), test_size=0.2, random_state=42)[1]] = "test"
    return Texts([row["tweet"] for row in rows], np.array([row["label"] for row in rows]), parts if split else None)


def read_lines(folder: Path, *, files: Mapping[str, str]) -> Texts:
    """Lines "label text", one file per part; {"": file} for a set without an official split."""
    rows, parts = _join(files, _labelled_lines, folder)
    return Texts([row[1] for row in rows], np.array([row[0] for row in rows]), None if "" in files else parts)


def read_pairs(
    folder: Path, *, files: Mapping[str, str], columns: Sequence[str] | None, numbers: bool = False
) -> Pairs:
    """Pairs of texts in tables; `columns` names both texts and the target, None is a CSV file without header."""
    rows, parts = _join(files, _csv_rows if columns is None else partial(_tsv_rows, columns=columns), folder)
    first, second, targets = ([row[i] for row in rows] for i in range(3))
    return Pairs(first, second, np.array(targets, dtype=np.float64 if numbers else None), parts)


def read_wic(folder: Path) -> WordPairs:
    """Words in context (Pilehvar & Camacho-Collados 2019): does a word mean the same in two sentences?"""
    rows, parts = [], []
    for part in ("train", "dev", "test"):
        lines, golds = (_lines(folder / f"WiC/{part}/{part}.{kind}.txt") for kind in ("data", "gold"))
        rows += [(*line.split("\t"), gold) for line, gold in zip(lines, golds, strict=True)]
        parts += [part] * len(lines)
    positions = np.array([row[2].split("-") for row in rows], dtype=np.int64).T.reshape(-1)
    sentences = [row[i].split() for i in (3, 4) for row in rows]
    return WordPairs(sentences, positions, np.array([row[5].strip() == "T" for row in rows]), np.array(parts))


def read_scws(folder: Path) -> WordPairs:
    """Similarity of words in context (Huang et al. 2012), rated from 0 to 10; there is no split."""
    rows = [line.split("\t") for line in _lines(folder / "SCWS/ratings.txt")]
    marked = [_marked_word(row[i]) for i in (5, 6) for row in rows]
    targets = np.array([float(row[7]) for row in rows])
    return WordPairs([words for words, _ in marked], np.array([position for _, position in marked]), targets, None)


def _marked_word(text: str, window: int = 60) -> tuple[list[str], int]:
    before, target, after = re.split(r"</?b>", text, maxsplit=2)
    left = before.split()[-window:]
    return [*left, "_".join(target.split()), *after.split()[:window]], len(left)


def _decode(path: Path) -> str:
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _lines(path: Path) -> list[str]:
    return [line.rstrip("\r") for line in _decode(path).split("\n") if line.strip()]


def _labelled_lines(path: Path) -> list[tuple[str, ...]]:
    return [(label, text.strip()) for label, _, text in (line.partition(" ") for line in _lines(path))]


def _tsv_rows(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    header, *rows = (line.split("\t") for line in _lines(path))  # no CSV reader: quotation marks are plain characters
    places = [header.index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in rows]


def _csv_rows(path: Path) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(_decode(path), newline=""), strict=True)]


def _join(
    files: Mapping[str, str], read: Callable[[Path], list[tuple[str, ...]]], folder: Path
) -> tuple[list[tuple[str, ...]], np.ndarray]:
    by_part = {part: read(folder / name) for part, name in files.items()}
    parts = [part for part, rows in by_part.items() for _ in rows]
    return [row for rows in by_part.values() for row in rows], np.array(parts)


def _parts(pattern: str, *parts: str) -> dict[str, str]:
    return {part: pattern.format(part) for part in parts}


_SICK = {"train": "SICK/SICK_train.txt", "dev": "SICK/SICK_trial.txt", "test": "SICK/SICK_test_annotated.txt"}
_MRPC = _parts("MRPC/msr_paraphrase_{}.txt", "train", "test")
_STSB = _parts("STSB/stsb-en-{}.csv", "train", "dev", "test")
_ENTAILMENT = ("sentence_A", "sentence_B", "entailment_judgment")
_RELATEDNESS = ("sentence_A", "sentence_B", "relatedness_score")
_TUTORIAL = Published(79.0, "the 2019 tutorial on these tweets: F1 of its held-out part, full-size ELMo")

SETS: tuple[EvaluationSet, ...] = (
    EvaluationSet(name="tweets", read=partial(read_tweets, split=True), metric="F1 of 1", published=_TUTORIAL),
    EvaluationSet(name="tweets-5", read=partial(read_tweets, split=False), metric="F1 of 1", n_folds=5),
    EvaluationSet(name="MR", read=partial(read_lines, files={"": "MR/rt-polarity.all"})),
    EvaluationSet(name="CR", read=partial(read_lines, files={"": "CR/custrev.all"})),
    EvaluationSet(name="SUBJ", read=partial(read_lines, files={"": "SUBJ/subj.all"})),
    EvaluationSet(name="MPQA", read=partial(read_lines, files={"": "MPQA/mpqa.all"})),
    EvaluationSet(name="SST2", read=partial(read_lines, files=_parts("SST2/stsa.binary.{}", "train", "dev", "test"))),
    EvaluationSet(name="SST5", read=partial(read_lines, files=_parts("SST5/stsa.fine.{}", "train", "dev", "test"))),
    EvaluationSet(name="TREC", read=partial(read_lines, files=_parts("TREC/TREC.{}.all", "train", "test"))),
    EvaluationSet(name="MRPC", read=partial(read_pairs, files=_MRPC, columns=("#1 String", "#2 String", "Quality"))),
    EvaluationSet(name="SICK-E", read=partial(read_pairs, files=_SICK, columns=_ENTAILMENT)),
    EvaluationSet(
        name="SICK-R", read=partial(read_pairs, files=_SICK, columns=_RELATEDNESS, numbers=True), metric="Pearson"
    ),
    EvaluationSet(name="STSB", read=partial(read_pairs, files=_STSB, columns=None, numbers=True), metric="Pearson"),
    EvaluationSet(name="WiC", read=read_wic),
    EvaluationSet(name="SCWS", read=read_scws, metric="Spearman"),
)
"""All sets, in the order of the table."""


def find_set(name: str) -> EvaluationSet:
    """The set of this name."""
    for one in SETS:
        if one.name == name:
            return one
    raise SystemExit(f"there is no set {name!r}; choose from {', '.join(one.name for one in SETS)}.")
