"""`elmokit pairs`: pairs of texts → a class or a degree, learned or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.tables import Table

app = Commands(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Judge pairs of texts: paraphrase, entailment, similarity.",
)

Source = Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL or Parquet, also .gz; or "-".')]
Folder = Annotated[str, typer.Argument(metavar="MODEL", help="The folder that `pairs train` wrote.")]
First = Annotated[str | None, typer.Option("--first", help="The column with the first texts, if not as in training.")]
Second = Annotated[str | None, typer.Option("--second", help="The column with the second texts.")]
Target = Annotated[str | None, typer.Option("--label", help="The column with classes or degrees.")]
Moved = Annotated[str | None, typer.Option("--model", help="The ELMo model, if it has moved.")]
TableOut = Annotated[str, typer.Option("--out", "-o", help='Where to: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.')]
RowId = Annotated[str | None, typer.Option("--id", help='The column that names the rows: "id" if there is one.')]


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: Source,
    out: Annotated[str, typer.Option("--out", "-o", help="The folder to write what was learned to.")],
    first: Annotated[str, typer.Option("--first", help="The column with the first texts.")] = "sentence1",
    second: Annotated[str, typer.Option("--second", help="The column with the second texts.")] = "sentence2",
    label: Annotated[str, typer.Option("--label", help="The column with classes or degrees.")] = "label",
    kind: Annotated[
        str, typer.Option(metavar="classes|degrees", help="What a label is: a class, or a number to come close to.")
    ] = "classes",
    parts: Annotated[
        str, typer.Option(help='Features, with commas: "difference", "product", "both" (the vectors themselves).')
    ] = "difference,product",
    test_size: Annotated[float, typer.Option(help="The share of the rows held out.")] = 0.2,
    balance: Annotated[bool, typer.Option(help="Give rare classes more weight.")] = False,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 42,
    layers: options.Layers = "all",
    pooling: options.Pooling = "mean",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Learn classes or degrees of pairs, and tell how well it works on rows held out.

    What is saved has then learned from all rows.

    Example:  elmokit pairs train sick.tsv --first sentence_A --second sentence_B --label judgment --out entailment/
    """
    from elmokit.tasks.pairs import SentencePairs
    from elmokit.tasks.split import held_out_split

    screen: Screen = ctx.obj
    _refuse_keep(reading.bad_rows)
    table = reading.table(screen, source)
    columns = _columns(table, [first, second, label], labels=[label])
    screen.end_notes("rows left out")
    learned, held_out = held_out_split(len(columns[0]), test_size=test_size, seed=seed)
    elmo = model.load(screen)

    def new() -> SentencePairs:
        return SentencePairs(
            elmo,
            kind=kind,  # type: ignore[arg-type]
            parts=[part.strip() for part in parts.split(",")],  # type: ignore[misc]
            pooling=pooling,
            layers=options.parse_layers(layers),
            class_weight="balanced" if balance else None,
            seed=seed,
        )

    with screen.progress() as advance:
        features = new().features(*columns[:2], on_progress=lambda *at: advance("texts", *at))
        advance("learning", 0, 2)
        tried = new().fit_features(features[learned], [columns[2][i] for i in learned])
        scores = tried.evaluate_features(features[held_out], [columns[2][i] for i in held_out])
        advance("learning", 1, 2)
        whole = new().fit_features(features, columns[2])
    whole.save(out, facts={"first": first, "second": second, "label": label, "model": model})
    screen.say(f"{len(held_out):,} rows held out: {_line(scores)}")
    screen.done(f"Saved, trained on all {len(columns[0]):,} rows: {out}")


@app.command(no_args_is_help=True)
def predict(
    ctx: typer.Context,
    folder: Folder,
    source: Source,
    out: TableOut = "-",
    first: First = None,
    second: Second = None,
    id_column: RowId = None,
    proba: Annotated[bool, typer.Option("--proba", help="Also write each class's probability.")] = False,
    model: Moved = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Judge pairs with what was learned: a table of id and label.

    Example:  elmokit pairs predict entailment/ new.tsv --out judged.csv
    """
    from elmokit.data.streams import STDIN

    screen: Screen = ctx.obj
    made, facts = _load(folder, model)
    names = [first or facts["first"], second or facts["second"]]
    table = reading.table(screen, source)
    if id_column is None and source != STDIN and "id" in table.columns():
        id_column = "id"

    def judge(left: list[str], right: list[str]) -> list[list[Any]]:
        if made.kind == "degrees":
            return [[round(value, 6)] for value in made.predict(left, right)]
        shares = made.predict_proba(left, right)
        return [
            [made.classes_[int(row.argmax())], *(round(float(share), 6) for share in row if proba)] for row in shares
        ]

    more = [f"probability_{label}" for label in made.classes_] if proba else []
    _write(screen, table, out, names, id_column, [facts["label"], *more], judge)


@app.command(no_args_is_help=True)
def evaluate(
    ctx: typer.Context,
    folder: Folder,
    source: Source,
    first: First = None,
    second: Second = None,
    label: Target = None,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
    model: Moved = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Tell how good what was learned is on pairs of which the truth is known.

    Example:  elmokit pairs evaluate entailment/ test.tsv --json scores.json
    """
    import json
    from dataclasses import asdict

    from elmokit.files import atomic_path

    screen: Screen = ctx.obj
    _refuse_keep(reading.bad_rows)
    made, facts = _load(folder, model)
    names = [first or facts["first"], second or facts["second"], label or facts["label"]]
    table = reading.table(screen, source)
    columns = _columns(table, names, labels=names[2:])
    screen.end_notes("rows left out")
    with screen.progress() as advance:
        scores = made.evaluate(*columns, on_progress=lambda *at: advance("texts", *at))
    if json_file is not None:
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(asdict(scores), indent=2) + "\n", encoding="utf-8")
    screen.say(f"{source}: {_line(scores)}")


@app.command(no_args_is_help=True)
def score(
    ctx: typer.Context,
    source: Source,
    out: TableOut = "-",
    first: Annotated[str, typer.Option("--first", help="The column with the first texts.")] = "sentence1",
    second: Annotated[str, typer.Option("--second", help="The column with the second texts.")] = "sentence2",
    label: Annotated[
        str | None, typer.Option("--label", help="A column with degrees: their correlation with the scores is told.")
    ] = None,
    id_column: RowId = None,
    method: Annotated[
        str, typer.Option(metavar="alignment|cosine", help="Greedily matched words, or the cosine of the means.")
    ] = "alignment",
    idf: Annotated[bool, typer.Option("--idf", help="Let words that are rare in the file count more.")] = False,
    centre: Annotated[
        bool, typer.Option(help="Take the mean vector of the file's words off first: what all texts share.")
    ] = True,
    layers: options.Layers = "mix",
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Score how alike the texts of each pair are, from -1 to 1, with nothing learned.

    Example:  elmokit pairs score sts.csv --first a --second b --label stars --out scored.csv
    """
    from elmokit.data.streams import STDIN
    from elmokit.errors import ConfigError
    from elmokit.tasks.pair_scores import PairScorer
    from elmokit.tasks.pairs import check_degrees, score_degrees

    screen: Screen = ctx.obj
    if source == STDIN:
        raise ConfigError("pairs score reads its input twice: give a file, not standard input.")
    table = reading.table(screen, source)
    if id_column is None and "id" in table.columns():
        id_column = "id"
    columns = _columns(table, [first, second, *([label] if label else [])])
    degrees = check_degrees(columns[2], len(columns[0])) if label else []
    scorer = PairScorer(
        model.load(screen),
        method=method,  # type: ignore[arg-type]
        layers=options.parse_layers(layers),
        idf=idf,
        centre=centre,
    )
    if idf or centre:
        with screen.progress() as advance:
            scorer.fit([*columns[0], *columns[1]], on_progress=lambda *at: advance("counting: texts", *at))
    found: list[float] = []

    def judge(left: list[str], right: list[str]) -> list[list[Any]]:
        scores = [round(float(value), 6) for value in scorer.scores(left, right)]
        found.extend(scores)
        return [[value] for value in scores]

    _write(screen, table, out, [first, second], id_column, ["score"], judge)
    if label:
        scores = score_degrees(degrees, found)
        screen.note(f"{label!r} and score: Pearson {scores.pearson:.3f}, Spearman {scores.spearman:.3f}")


def _refuse_keep(bad_rows: str) -> None:
    from elmokit.errors import ConfigError

    if bad_rows == "keep":
        raise ConfigError("--bad-rows keep makes no sense here: 'stop' at rows without text or label, or 'skip' them.")


def _columns(table: Table, names: list[str], labels: list[str] | None = None) -> list[list[str]]:
    """Columns of the rows that can be used, side by side; as many lists as names."""
    from elmokit.errors import InputError

    found = [[row.values[name] for name in names] for row in table.rows(names, labels=labels or [])]
    if not found:
        raise InputError(f"{table.source}: no rows that can be used.")
    return [list(column) for column in zip(*found, strict=True)]


def _load(folder: str, model: str | None) -> tuple[Any, dict[str, Any]]:
    from elmokit.elmo import Elmo
    from elmokit.tasks.pairs import SentencePairs
    from elmokit.tasks.saved_head import read_head_config

    facts = read_head_config(folder, "pairs")["facts"]
    facts = {"first": "sentence1", "second": "sentence2", "label": "label", "model": "default", **facts}
    return SentencePairs.load(folder, Elmo.load(model or facts["model"])), facts


def _write(
    screen: Screen, table: Table, out: str, names: list[str], id_column: str | None, more: list[str], judge: Any
) -> None:
    """Judge a file's pairs block by block into a table."""
    from elmokit.data.blocks import blocks
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN

    columns = [*names, *([id_column] if id_column else [])]
    total = options.check_all_rows(table, columns)
    n_rows = 0
    with table_file(out, [id_column or "row", *more]) as write, screen.progress() as advance:
        for rows in blocks(table.rows(columns), 8192):
            judged = judge(*([row.values[name] for row in rows] for name in names))
            for row, values in zip(rows, judged, strict=True):
                write([row.values[id_column] if id_column else row.number, *values])
            n_rows += len(rows)
            advance("pairs", n_rows, total)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_rows:,} rows")


def _line(scores: Any) -> str:
    if hasattr(scores, "pearson"):
        return (
            f"Pearson {scores.pearson:.3f}, Spearman {scores.spearman:.3f},"
            f" mean squared error {scores.mean_squared_error:.3f}"
        )
    of_each = ", ".join(f"{one.label} {one.f1:.3f}" for one in scores.classes[:8])
    return f"accuracy {scores.accuracy:.3f}, macro F1 {scores.macro_f1:.3f} (F1 by class: {of_each})"
