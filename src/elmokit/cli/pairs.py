"""`elmokit pairs`: predict a class or a similarity score for pairs of texts, with or without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Table
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


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: options.Source,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder to write the result to.", metavar="FOLDER")],
    columns: PairColumns = COLUMNS,
    kind: Annotated[
        str, typer.Option(metavar="classes|scores", help="Whether labels are classes, or similarity scores (numbers).")
    ] = "classes",
    parts: Annotated[
        str, typer.Option(help='Features, separated by commas: "difference", "product", "both" (both vectors).')
    ] = "difference,product",
    test_size: Annotated[float, typer.Option(help="Share of the rows to hold out.")] = 0.2,
    balance: Annotated[bool, typer.Option(help="Give rare classes more weight.")] = False,
    seed: options.Seed = 42,
    vectors: options.VectorOptions = options.VectorOptions(layers="all"),  # noqa: B008  # frozen
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Learn classes or similarity scores of pairs, and evaluate them on held-out rows.

    The saved result is trained on all rows.

    Example:  elmokit pairs train sick.tsv --first sentence_A --second sentence_B --label judgment --out entailment/
    """
    from elmokit.tasks.classify.evaluate import split_rows
    from elmokit.tasks.pairs.classifier import SentencePairs

    screen: Screen = ctx.obj
    names = columns.names({})
    pairs, labels = _labelled(screen, reading, source, names)
    learned, held_out = split_rows(len(pairs), test_size, seed)
    estimator = SentencePairs(
        model.load(screen),
        kind=kind,  # type: ignore[arg-type]
        parts=[part.strip() for part in parts.split(",")],  # type: ignore[misc]
        encoding=vectors.encoding(),
        class_weight="balanced" if balance else None,
        seed=seed,
        show_progress=screen.show_progress,
    )
    features = estimator.features(pairs)
    estimator.fit_features(features[learned], [labels[i] for i in learned])
    scores = estimator.evaluate_features(features[held_out], [labels[i] for i in held_out])
    estimator.fit_features(features, labels)
    estimator.save(out, metadata=dict(zip(("first", "second", "label"), names, strict=True)))
    screen.say(f"{len(held_out):,} rows held out:\n{scores}")
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
    estimator, saved = _load(screen, folder, model)
    first, second, label = columns.names(saved)

    def rows_of(pairs: list[tuple[str, str]]) -> list[list[Any]]:
        if estimator.kind == "scores":
            return [[round(float(value), 6)] for value in estimator.predict(pairs)]
        probabilities = estimator.predict_proba(pairs)
        best = estimator.classes_[probabilities.argmax(1)].tolist()
        more = probabilities.round(6).tolist() if proba else [[]] * len(best)
        return [[one, *values] for one, values in zip(best, more, strict=True)]

    names = [label, *(f"probability_{one}" for one in estimator.classes_.tolist() if proba)]
    _write(screen, reading.table(screen, source), out, (first, second), id_column, names, rows_of)


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
    import json
    from dataclasses import asdict

    from elmokit.files import atomic_path

    screen: Screen = ctx.obj
    estimator, saved = _load(screen, folder, model)
    scores = estimator.evaluate(*_labelled(screen, reading, source, columns.names(saved)))
    if json_file is not None:
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(asdict(scores), indent=2) + "\n", encoding="utf-8")
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
    from elmokit.tasks.pairs.correlation import compare_scores
    from elmokit.tasks.pairs.features import check_scores
    from elmokit.tasks.pairs.scorer import PairScorer

    screen: Screen = ctx.obj
    if source == STDIN:
        raise ConfigError("pairs score reads its input twice: give a file, not standard input.")
    table, (first, second, _), label = reading.table(screen, source), columns.names({}), columns.label
    values = _columns(table, [first, second, *([label] if label else [])])
    truth = check_scores(values[2], len(values[0])) if label else []
    settings: dict[str, Any] = {"method": method, "layers": options.parse_layers(layers), "idf": idf, "center": center}
    scorer = PairScorer(model.load(screen), **settings, show_progress=screen.show_progress)
    if idf or center:
        scorer.fit([*values[0], *values[1]])
    scores: list[float] = []

    def rows_of(pairs: list[tuple[str, str]]) -> list[list[Any]]:
        new = scorer.scores(pairs).round(6).tolist()
        scores.extend(new)
        return [[value] for value in new]

    _write(screen, table, out, (first, second), id_column, ["score"], rows_of)
    if label:
        screen.note(f"{label!r} and score: {compare_scores(truth, scores)}")


def _labelled(
    screen: Screen, reading: options.ReadingOptions, source: str, names: tuple[str, str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs and labels of the usable rows."""
    from elmokit.errors import ConfigError

    if reading.bad_rows == "keep":
        raise ConfigError("--bad-rows keep can't be used with labels: 'stop' at incomplete rows, or 'skip' them.")
    first, second, labels = _columns(reading.table(screen, source), list(names), labels=[names[2]])
    screen.end_notes("rows left out")
    return list(zip(first, second, strict=True)), labels


def _columns(table: Table, names: list[str], labels: list[str] | None = None) -> list[list[str]]:
    """Columns of the usable rows; as many lists as names."""
    from elmokit.errors import InputError

    rows = [[row.values[name] for name in names] for row in table.rows(names, labels=labels or [])]
    if not rows:
        raise InputError(f"{table.source}: no usable rows.")
    return [list(column) for column in zip(*rows, strict=True)]


def _load(screen: Screen, folder: str, model: str | None) -> tuple[SentencePairs, dict[str, Any]]:
    from elmokit.tasks.pairs.classifier import FILES, SentencePairs
    from elmokit.tasks.saved import open_model, read_head_config

    saved = read_head_config(folder, FILES)["metadata"]
    estimator = SentencePairs.load(folder, open_model(folder, FILES, model))
    return estimator.set_params(show_progress=screen.show_progress), saved


def _write(
    screen: Screen,
    table: Table,
    out: str,
    names: tuple[str, str],
    id_column: str | None,
    more: list[str],
    rows_of: Callable[[list[tuple[str, str]]], list[list[Any]]],
) -> None:
    """Write the id and the results of each pair, many rows at a time."""
    from elmokit.data.blocks import blocks
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN

    if id_column is None and str(table.source) != STDIN and "id" in table.columns():
        id_column = "id"
    columns = [*names, *([id_column] if id_column else [])]
    options.check_all_rows(table, columns)
    n_rows = 0
    with table_file(out, [id_column or "row", *more]) as write:
        for rows in blocks(table.rows(columns), 8192):
            results = rows_of([(row.values[names[0]], row.values[names[1]]) for row in rows])
            for row, values in zip(rows, results, strict=True):
                write([row.values[id_column] if id_column else row.number, *values])
            n_rows += len(rows)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_rows:,} rows")
