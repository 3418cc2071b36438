"""`elmokit pairs`: predict a class or a similarity score for pairs of texts, with or without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options, texts
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Row, Table
    from elmokit.tasks.pairs.classifier import SentencePairs

app = Commands(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare pairs of texts: paraphrase, entailment, similarity (extra tasks).",
)

Folder = Annotated[str, typer.Argument(metavar="PAIRS", help="Folder that `pairs train` wrote.")]
Moved = Annotated[str | None, typer.Option("--model", help="The ELMo model, if it has moved.", metavar="MODEL")]


@dataclass(frozen=True, kw_only=True)
class PairColumns:
    """Columns of a table of pairs."""

    first: Annotated[
        str | None, typer.Option("--first", help='Column with the first texts ("sentence1", or as in training).')
    ] = None
    second: Annotated[
        str | None, typer.Option("--second", help='Column with the second texts ("sentence2", or as in training).')
    ] = None
    label: Annotated[
        str | None, typer.Option("--label", help='Column with classes or scores ("label", or as in training).')
    ] = None

    def names(self, saved: dict[str, Any]) -> tuple[str, str, str]:
        """Names of the three columns; those that are not given are as saved, or the defaults."""
        known = {"first": "sentence1", "second": "sentence2", "label": "label"}
        known |= {name: value for name, value in saved.items() if isinstance(value, str)}
        first, second, label = (getattr(self, name) or known[name] for name in ("first", "second", "label"))
        return first, second, label


COLUMNS = PairColumns()


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What is learned, and how (see `elmokit.SentencePairs`)."""

    kind: Annotated[
        str, typer.Option(metavar="classes|scores", help="Whether labels are classes, or similarity scores (numbers).")
    ] = "classes"
    parts: Annotated[
        str, typer.Option(help='Features, separated by commas: "difference", "product", "both" (both vectors).')
    ] = "difference,product"
    test_size: Annotated[float, typer.Option(help="Share of the rows to hold out.")] = 0.2
    balance: Annotated[bool, typer.Option(help="Give rare classes more weight.")] = False
    seed: options.Seed = 42


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: options.Source,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder to write the result to.", metavar="FOLDER")],
    columns: PairColumns = COLUMNS,
    learning: LearningOptions = LearningOptions(),  # frozen
    json_file: options.JsonFile = None,
    vectors: options.VectorOptions = options.VectorOptions(layers="all"),  # noqa: B008  # frozen
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Learn classes or similarity scores of pairs, and evaluate them on held-out rows.

    The saved result is trained on all rows.

    Example:  elmokit pairs train sick.tsv --first sentence_A --second sentence_B --label judgment --out entailment/
    """
    screen: Screen = ctx.obj
    names = columns.names({})
    pairs, labels = _labelled(screen, reading.table(screen, source), names, scores=learning.kind == "scores")

    from elmokit.tasks.classify.evaluate import split_rows  # scikit-learn is imported once the rows are fine
    from elmokit.tasks.pairs.classifier import SentencePairs

    estimator = SentencePairs(
        model.load(screen),
        kind=learning.kind,  # type: ignore[arg-type]
        parts=[part.strip() for part in learning.parts.split(",")],  # type: ignore[misc]
        encoding=vectors.encoding(),
        class_weight="balanced" if learning.balance else None,
        seed=learning.seed,
        show_progress=screen.show_progress,
    )
    scores = estimator.fit_and_evaluate(pairs, labels, test_size=learning.test_size)
    n_held_out = len(split_rows(len(pairs), learning.test_size, learning.seed)[1])
    texts.write_json(json_file, asdict(scores))
    estimator.save(out, metadata=dict(zip(("first", "second", "label"), names, strict=True)))
    screen.say(f"{n_held_out:,} rows held out:\n{scores}")
    screen.done(f"Saved, trained on all {len(pairs):,} rows: {out}")


@app.command(no_args_is_help=True)
def predict(
    ctx: typer.Context,
    folder: Folder,
    source: options.Source,
    out: options.TableOut = "-",
    columns: PairColumns = COLUMNS,
    id_column: options.IdColumn = None,
    proba: Annotated[bool, typer.Option("--proba", help="Also write the probability of each class.")] = False,
    model: Moved = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Predict the label of pairs: a table of id and label.

    Example:  elmokit pairs predict entailment/ new.tsv --out predicted.csv
    """
    screen: Screen = ctx.obj
    table = reading.table(screen, source)
    first, second, label = columns.names(_saved(folder)["metadata"])
    options.check_all_rows(table, [first, second, *([id_column] if id_column else [])])
    estimator = _load(screen, folder, model)

    def results(pairs: list[tuple[str, str]]) -> list[list[Any]]:
        if estimator.kind == "scores":
            return [[round(float(value), 6)] for value in estimator.predict(pairs)]
        probabilities = estimator.predict_proba(pairs)
        best = estimator.classes_[probabilities.argmax(1)].tolist()
        more = probabilities.round(6).tolist() if proba else [[]] * len(best)
        return [[one, *values] for one, values in zip(best, more, strict=True)]

    names = [label, *(f"probability_{one}" for one in estimator.classes_.tolist() if proba)]
    _write(screen, table, out, (first, second), id_column, names, results)


@app.command(no_args_is_help=True)
def evaluate(
    ctx: typer.Context,
    folder: Folder,
    source: options.Source,
    columns: PairColumns = COLUMNS,
    json_file: options.JsonFile = None,
    model: Moved = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Evaluate on pairs whose labels are known.

    Example:  elmokit pairs evaluate entailment/ test.tsv --json scores.json
    """
    screen: Screen = ctx.obj
    saved, table = _saved(folder), reading.table(screen, source)
    numbers = saved.get("kind") == "scores"
    pairs, labels = _labelled(screen, table, columns.names(saved["metadata"]), scores=numbers)
    scores = _load(screen, folder, model).evaluate(pairs, labels)
    texts.write_json(json_file, asdict(scores))
    screen.say(f"{source}:\n{scores}")


@app.command(no_args_is_help=True)
def score(
    ctx: typer.Context,
    source: options.Source,
    out: options.TableOut = "-",
    columns: PairColumns = COLUMNS,
    id_column: options.IdColumn = None,
    method: Annotated[
        str, typer.Option(metavar="alignment|cosine", help="Greedily matched words, or the cosine of the means.")
    ] = "alignment",
    idf: Annotated[bool, typer.Option("--idf", help="Give words that are rare in the file more weight.")] = False,
    center: Annotated[
        bool,
        typer.Option("--center/--no-center", "--centre/--no-centre", help="Subtract the mean word vector."),
    ] = True,
    layers: options.Layers = "mix",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Compute how similar the texts of each pair are, from -1 to 1, without training.

    With --label, the correlation with the scores in that column is printed.

    Example:  elmokit pairs score sts.csv --first a --second b --label stars --out scored.csv
    """
    from elmokit.data.streams import STDIN
    from elmokit.errors import ConfigError
    from elmokit.tasks.pairs.features import compare_scores
    from elmokit.tasks.pairs.scorer import PairScorer

    screen: Screen = ctx.obj
    if source == STDIN:
        raise ConfigError("pairs score reads its input twice: give a file, not standard input.")
    table, (first, second, _), label = reading.table(screen, source), columns.names({}), columns.label
    rows = texts.read_rows(screen, table, [first, second, *([label] if label else [])])
    truth = _scores(table, rows, label) if label else []
    settings: dict[str, Any] = {"method": method, "layers": options.parse_layers(layers), "idf": idf, "center": center}
    scorer = PairScorer(model.load(screen), **settings, show_progress=screen.show_progress)
    if idf or center:
        scorer.fit([row.values[name] for name in (first, second) for row in rows])
    scores: list[float] = []

    def results(pairs: list[tuple[str, str]]) -> list[list[Any]]:
        new = scorer.scores(pairs).round(6).tolist()
        scores.extend(new)
        return [[value] for value in new]

    _write(screen, table, out, (first, second), id_column, ["score"], results)
    if label:
        screen.note(f"{label!r} and score: {compare_scores(truth, scores)}")


def _saved(folder: str) -> dict[str, Any]:
    from elmokit.tasks.saved import read_head_config

    return read_head_config(folder, "pairs")


def _load(screen: Screen, folder: str, model: str | None) -> SentencePairs:
    from elmokit.tasks.pairs.classifier import FILES, SentencePairs
    from elmokit.tasks.saved import open_model

    estimator = SentencePairs.load(folder, open_model(folder, FILES, model))
    return estimator.set_params(show_progress=screen.show_progress)  # type: ignore[no-any-return]


def _labelled(
    screen: Screen, table: Table, names: tuple[str, str, str], *, scores: bool = False
) -> tuple[list[tuple[str, str]], list[Any]]:
    """Pairs and labels of the usable rows; labels as numbers if they are scores."""
    from elmokit.errors import ConfigError

    if table.bad_rows == "keep":
        raise ConfigError("--bad-rows keep can't be used with labels: 'stop' at incomplete rows, or 'skip' them.")
    first, second, label = names
    rows = texts.read_rows(screen, table, list(names), labels=[label])
    pairs = [(row.values[first], row.values[second]) for row in rows]
    return pairs, _scores(table, rows, label) if scores else [row.values[label] for row in rows]


def _scores(table: Table, rows: list[Row], label: str) -> list[float]:
    """The numbers of a column; an error names the row as the table counts it."""
    from math import isfinite

    from elmokit.errors import InputError

    scores = []
    for row in rows:
        try:
            scores.append(float(row.values[label]))
        except ValueError:
            scores.append(float("nan"))
        if not isfinite(scores[-1]):
            raise InputError(f"{table.source}, row {row.number}: {label} is {row.values[label]!r}; expected a number.")
    return scores


def _write(
    screen: Screen,
    table: Table,
    out: str,
    names: tuple[str, str],
    id_column: str | None,
    more: list[str],
    results: Callable[[list[tuple[str, str]]], list[list[Any]]],
) -> None:
    """Write the id and the results of each pair, many rows at a time."""
    from elmokit.data.blocks import blocks
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN

    if id_column is None and str(table.source) != STDIN and "id" in table.columns():
        id_column = "id"
    n_rows = 0
    with table_file(out, [id_column or "row", *more]) as write:
        for rows in blocks(table.rows([*names, *([id_column] if id_column else [])]), 8192):
            of_rows = results([(row.values[names[0]], row.values[names[1]]) for row in rows])
            for row, values in zip(rows, of_rows, strict=True):
                write([row.values[id_column] if id_column else row.number, *values])
            n_rows += len(rows)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_rows:,} rows")
