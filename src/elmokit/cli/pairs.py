"""`elmokit pairs`: predict a class or a similarity score for pairs of texts, with or without training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import elmokit
from elmokit.cli import options
from elmokit.cli.app import Commands, argument, option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Row, Table

app = Commands("Compare pairs of texts: paraphrase, entailment, similarity (extra tasks).")
FOLDER = argument("PAIRS", "Folder that `pairs train` wrote.")
_COLUMNS = {"first": "sentence1", "second": "sentence2", "label": "label"}


@dataclass(frozen=True, kw_only=True)
class PairColumns(options.ReadingOptions):
    """A table of pairs, its columns, and how to read it."""

    source: options.Source
    first: str | None = option(None, 'Column with the first texts ("sentence1", or as in training).')
    second: str | None = option(None, 'Column with the second texts ("sentence2", or as in training).')
    label: str | None = option(None, 'Column with classes or scores ("label", or as in training).')

    def open(self, folder: str | None = None) -> tuple[Table, list[str]]:
        """The table and its three columns; those that are not given are as saved in the folder, or the defaults."""
        known = _COLUMNS if folder is None else options.trained_on(folder, "pairs", _COLUMNS)
        return self.table(self.source), [getattr(self, name) or known[name] for name in _COLUMNS]


@app.command()
def train(
    *,
    columns: PairColumns,
    out: str = option(..., "Folder to write the result to.", "--out", "-o", metavar="FOLDER"),
    kind: str = option("classes", "Whether labels are classes or scores (numbers).", metavar="classes|scores"),
    parts: str = option("difference,product", 'Features, with commas: "difference", "product", "both" (both vectors).'),
    test_size: float = option(0.2, "Share of the rows to hold out."),
    balance: bool = option(False, "Give rare classes more weight."),
    seed: options.Seed = 42,
    json_file: options.JsonFile = None,
    vectors: options.VectorOptions = options.VectorOptions(pooling="mean", layers="all"),
    model: options.ModelOptions,
) -> None:
    """Learn classes or similarity scores of pairs, and evaluate them on held-out rows.

    The saved result is trained on all rows.

    Example:  elmokit pairs train sick.tsv --first sentence_A --second sentence_B --label judgment --out entailment/
    """
    table, names = columns.open()
    pairs, labels = _labelled(table, names, scores=kind == "scores")

    from elmokit.tasks.classify.evaluate import split_rows  # scikit-learn is imported once the rows are fine

    estimator = elmokit.SentencePairs(
        model.load(),
        kind=kind,  # type: ignore[arg-type]
        parts=options.split_names(parts),  # type: ignore[arg-type]
        encoding=vectors.encoding(),
        class_weight="balanced" if balance else None,
        seed=seed,
        show_progress=screen.show_progress,
    )
    scores = estimator.fit_and_evaluate(pairs, labels, test_size=test_size)
    options.write_json(json_file, asdict(scores))
    estimator.save(out, metadata=dict(zip(_COLUMNS, names, strict=True)))
    n_held_out = len(split_rows(len(pairs), test_size, seed)[1])
    screen.say(f"{n_held_out:,} rows held out:\n{scores}")
    screen.done(f"Saved, trained on all {len(pairs):,} rows: {out}")


@app.command()
def predict(
    *,
    folder: str = FOLDER,
    columns: PairColumns,
    out: options.TableOut = "-",
    id_column: options.IdColumn = None,
    proba: options.Proba = False,
    model: options.MovedModel = None,
) -> None:
    """Predict the label of pairs: a table of id and label.

    Example:  elmokit pairs predict entailment/ new.tsv --out predicted.csv
    """
    table, (first, second, label) = columns.open(folder)
    checked = options.RowResults(table, [first, second], id_column)
    estimator = elmokit.SentencePairs.load(folder, options.moved_model(model))
    estimator.show_progress = screen.show_progress

    def results(rows: list[Row]) -> list[list[Any]]:
        pairs = [(row.values[first], row.values[second]) for row in rows]
        if estimator.kind == "scores":
            return [[round(float(value), 6)] for value in estimator.predict(pairs)]
        probabilities = estimator.predict_proba(pairs)
        best = estimator.classes_[probabilities.argmax(1)].tolist()
        return options.with_probabilities(best, probabilities if proba else None)

    checked.write(out, [label, *(f"probability_{one}" for one in estimator.classes_.tolist() if proba)], results)


@app.command()
def evaluate(
    *, folder: str = FOLDER, columns: PairColumns, json_file: options.JsonFile = None, model: options.MovedModel = None
) -> None:
    """Evaluate on pairs whose labels are known.

    Example:  elmokit pairs evaluate entailment/ test.tsv --json scores.json
    """
    table, names = columns.open(folder)
    estimator = elmokit.SentencePairs.load(folder, options.moved_model(model))
    estimator.show_progress = screen.show_progress
    scores = estimator.evaluate(*_labelled(table, names, scores=estimator.kind == "scores"))
    options.write_json(json_file, asdict(scores))
    screen.say(f"{columns.source}:\n{scores}")


@app.command()
def score(
    *,
    columns: PairColumns,
    out: options.TableOut = "-",
    id_column: options.IdColumn = None,
    method: str = option("alignment", "Greedily matched words, or cosine of the means.", metavar="alignment|cosine"),
    idf: bool = option(False, "Give words that are rare in the file more weight.", "--idf"),
    center: options.Centering = True,
    layers: options.Layers = "mix",
    model: options.ModelOptions,
) -> None:
    """Compute how similar the texts of each pair are, from -1 to 1, without training.

    With --label, the correlation with the scores in that column is printed.

    Example:  elmokit pairs score sts.csv --first a --second b --label stars --out scored.csv
    """
    from elmokit.tasks.pairs.scorer import PairScorer, compare_scores

    table, (first, second, _) = columns.open()
    label, id_column = columns.label, options.id_of(table, id_column)
    rows = options.read_rows(table, [first, second, *filter(None, (label, id_column))])
    truth = _scores(table, rows, label) if label else []
    settings: dict[str, Any] = {"method": method, "layers": options.parse_layers(layers), "idf": idf, "center": center}
    scorer = PairScorer(model.load(), **settings, show_progress=screen.show_progress)
    pairs = [(row.values[first], row.values[second]) for row in rows]
    if idf or center:
        scorer.fit([text for column in zip(*pairs, strict=True) for text in column])
    scores = scorer.scores(pairs).round(6).tolist()
    names = [row.values[id_column] if id_column else row.number for row in rows]
    options.write_table(out, [id_column or "row", "score"], zip(names, scores, strict=True))
    screen.done(f"{out}: {len(rows):,} rows", out)
    if label:
        screen.note(f"{label!r} and score: {compare_scores(truth, scores)}")


def _labelled(table: Table, names: list[str], *, scores: bool) -> tuple[list[tuple[str, str]], list[Any]]:
    if table.bad_rows == "keep":
        raise ConfigError("--bad-rows keep can't be used with labels: 'stop' at incomplete rows, or 'skip' them.")
    first, second, label = names
    rows = options.read_rows(table, names, labels=[label])
    pairs = [(row.values[first], row.values[second]) for row in rows]
    return pairs, _scores(table, rows, label) if scores else [row.values[label] for row in rows]


def _scores(table: Table, rows: list[Row], label: str) -> list[float]:
    """The numbers of a column; an error names the row as the table counts it."""
    scores = []
    for row in rows:
        try:
            scores.append(float(row.values[label]))
        except ValueError:
            scores.append(float("nan"))
        if not isfinite(scores[-1]):
            raise InputError(f"{table.source}, row {row.number}: {label} is {row.values[label]!r}; expected a number.")
    return scores
