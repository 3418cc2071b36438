"""`elmokit pairs`: predict a class or a similarity score for pairs of texts, with or without training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from elmokit.cli import options, texts
from elmokit.cli.commands import Commands, argument, option
from elmokit.cli.screen import Screen
from elmokit.data.streams import STDIN
from elmokit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from elmokit.data.tables import Row, Table

app = Commands(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare pairs of texts: paraphrase, entailment, similarity (extra tasks).",
)
FILES = "pairs"
FOLDER = argument("PAIRS", "Folder that `pairs train` wrote.")


@dataclass(frozen=True, kw_only=True)
class PairColumns:
    """Columns of a table of pairs."""

    first: str | None = option(None, 'Column with the first texts ("sentence1", or as in training).')
    second: str | None = option(None, 'Column with the second texts ("sentence2", or as in training).')
    label: str | None = option(None, 'Column with classes or scores ("label", or as in training).')

    def names(self, saved: dict[str, Any] | None = None) -> tuple[str, str, str]:
        """Names of the three columns; those that are not given are as saved, or the defaults."""
        known = {"first": "sentence1", "second": "sentence2", "label": "label"}
        known |= {name: value for name, value in (saved or {}).items() if isinstance(value, str)}
        first, second, label = (getattr(self, name) or known[name] for name in ("first", "second", "label"))
        return first, second, label


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What is learned, and how (see `elmokit.SentencePairs`)."""

    kind: str = option(
        "classes", "Whether labels are classes or similarity scores (numbers).", metavar="classes|scores"
    )
    parts: str = option("difference,product", 'Features, with commas: "difference", "product", "both" (both vectors).')
    test_size: float = option(0.2, "Share of the rows to hold out.")
    balance: bool = option(False, "Give rare classes more weight.")
    seed: options.Seed = 42


@app.command(no_args_is_help=True)
def train(
    screen: Screen,
    *,
    source: options.Source,
    out: str = option(..., "Folder to write the result to.", "--out", "-o", metavar="FOLDER"),
    columns: PairColumns,
    learning: LearningOptions,
    json_file: options.JsonFile = None,
    vectors: options.VectorOptions = options.VectorOptions(pooling="mean", layers="all"),
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Learn classes or similarity scores of pairs, and evaluate them on held-out rows.

    The saved result is trained on all rows.

    Example:  elmokit pairs train sick.tsv --first sentence_A --second sentence_B --label judgment --out entailment/
    """
    names = columns.names()
    pairs, labels = _labelled(screen, reading.table(screen, source), names, scores=learning.kind == "scores")

    from elmokit.tasks.classify.evaluate import split_rows  # scikit-learn is imported once the rows are fine
    from elmokit.tasks.pairs.classifier import SentencePairs

    estimator = SentencePairs(
        model.load(screen),
        kind=learning.kind,  # type: ignore[arg-type]
        parts=options.split_names(learning.parts),  # type: ignore[arg-type]
        encoding=vectors.encoding(),
        class_weight="balanced" if learning.balance else None,
        seed=learning.seed,
        show_progress=screen.show_progress,
    )
    scores = estimator.fit_and_evaluate(pairs, labels, test_size=learning.test_size)
    texts.write_json(json_file, asdict(scores))
    estimator.save(out, metadata=dict(zip(("first", "second", "label"), names, strict=True)))
    n_held_out = len(split_rows(len(pairs), learning.test_size, learning.seed)[1])
    screen.say(f"{n_held_out:,} rows held out:\n{scores}")
    screen.done(f"Saved, trained on all {len(pairs):,} rows: {out}")


@app.command(no_args_is_help=True)
def predict(
    screen: Screen,
    *,
    folder: str = FOLDER,
    source: options.Source,
    out: options.TableOut = "-",
    columns: PairColumns,
    id_column: options.IdColumn = None,
    proba: bool = option(False, "Also write the probability of each class.", "--proba"),
    model: options.MovedModel = None,
    reading: options.ReadingOptions,
) -> None:
    """Predict the label of pairs: a table of id and label.

    Example:  elmokit pairs predict entailment/ new.tsv --out predicted.csv
    """
    table, (first, second, label) = reading.table(screen, source), columns.names(_saved(folder)["metadata"])
    total = options.check_all_rows(table, [first, second, *([id_column] if id_column else [])])
    estimator = _load(screen, folder, model)

    def results(rows: list[Row]) -> list[list[Any]]:
        pairs = [(row.values[first], row.values[second]) for row in rows]
        if estimator.kind == "scores":
            return [[round(float(value), 6)] for value in estimator.predict(pairs)]
        probabilities = estimator.predict_proba(pairs)
        best = estimator.classes_[probabilities.argmax(1)].tolist()
        more = probabilities.round(6).tolist() if proba else [[]] * len(best)
        return [[one, *values] for one, values in zip(best, more, strict=True)]

    names = [label, *(f"probability_{one}" for one in estimator.classes_.tolist() if proba)]
    id_column = texts.id_of(table, id_column)
    texts.write_results(screen, table, out, [first, second], id_column, names, results, n_rows=total)


@app.command(no_args_is_help=True)
def evaluate(
    screen: Screen,
    *,
    folder: str = FOLDER,
    source: options.Source,
    columns: PairColumns,
    json_file: options.JsonFile = None,
    model: options.MovedModel = None,
    reading: options.ReadingOptions,
) -> None:
    """Evaluate on pairs whose labels are known.

    Example:  elmokit pairs evaluate entailment/ test.tsv --json scores.json
    """
    saved, table = _saved(folder), reading.table(screen, source)
    pairs, labels = _labelled(screen, table, columns.names(saved["metadata"]), scores=saved.get("kind") == "scores")
    scores = _load(screen, folder, model).evaluate(pairs, labels)
    texts.write_json(json_file, asdict(scores))
    screen.say(f"{source}:\n{scores}")


@app.command(no_args_is_help=True)
def score(
    screen: Screen,
    *,
    source: options.Source,
    out: options.TableOut = "-",
    columns: PairColumns,
    id_column: options.IdColumn = None,
    method: str = option("alignment", "Greedily matched words, or cosine of the means.", metavar="alignment|cosine"),
    idf: bool = option(False, "Give words that are rare in the file more weight.", "--idf"),
    center: texts.Centering = True,
    layers: options.Layers = "mix",
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Compute how similar the texts of each pair are, from -1 to 1, without training.

    With --label, the correlation with the scores in that column is printed.

    Example:  elmokit pairs score sts.csv --first a --second b --label stars --out scored.csv
    """
    from elmokit.tasks.pairs.features import compare_scores
    from elmokit.tasks.pairs.scorer import PairScorer

    if source == STDIN:
        raise ConfigError("pairs score reads its input twice: give a file, not standard input.")
    table, (first, second, _), label = reading.table(screen, source), columns.names(), columns.label
    rows = texts.read_rows(screen, table, [first, second, *([label] if label else [])])
    truth = _scores(table, rows, label) if label else []
    settings: dict[str, Any] = {"method": method, "layers": options.parse_layers(layers), "idf": idf, "center": center}
    scorer = PairScorer(model.load(screen), **settings, show_progress=screen.show_progress)
    if idf or center:
        scorer.fit([row.values[name] for name in (first, second) for row in rows])
    scores: list[float] = []

    def results(rows: list[Row]) -> list[list[Any]]:
        new = scorer.scores([(row.values[first], row.values[second]) for row in rows]).round(6).tolist()
        scores.extend(new)
        return [[value] for value in new]

    id_column = texts.id_of(table, id_column)
    texts.write_results(screen, table, out, [first, second], id_column, ["score"], results, n_rows=len(rows))
    if label:
        screen.note(f"{label!r} and score: {compare_scores(truth, scores)}")


def _saved(folder: str) -> dict[str, Any]:
    from elmokit.tasks.saved import read_head_config

    return read_head_config(folder, FILES)


def _load(screen: Screen, folder: str, model: str | None) -> Any:
    from elmokit.tasks.pairs.classifier import SentencePairs
    from elmokit.tasks.saved import open_model

    return SentencePairs.load(folder, open_model(folder, FILES, model)).set_params(show_progress=screen.show_progress)


def _labelled(
    screen: Screen, table: Table, names: tuple[str, str, str], *, scores: bool = False
) -> tuple[list[tuple[str, str]], list[Any]]:
    """Pairs and labels of the usable rows; labels as numbers if they are scores."""
    if table.bad_rows == "keep":
        raise ConfigError("--bad-rows keep can't be used with labels: 'stop' at incomplete rows, or 'skip' them.")
    first, second, label = names
    rows = texts.read_rows(screen, table, list(names), labels=[label])
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
