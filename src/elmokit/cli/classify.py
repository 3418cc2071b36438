"""`elmokit classify`: labelled texts → a classifier and its report; a classifier and texts → labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.tasks.report import Entry, Report

_WIDEST_CONFUSION = 8
"""With more classes than this the confusion matrix is in the JSON report only."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train a text classifier, and use it.")


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL or Parquet, also .gz; or "-".')],
    out: Annotated[str, typer.Option("--out", "-o", help="The folder to write the classifier to.")],
    text: Annotated[str, typer.Option("--text", help="The column with the texts.")] = "text",
    label: Annotated[str, typer.Option("--label", help="The column with the labels.")] = "label",
    test_size: Annotated[float, typer.Option(help="The share of the rows held out.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split and the folds.")] = 42,
    folds: Annotated[int, typer.Option(help="Also cross-validate over all rows, with this many folds.")] = 0,
    baseline: Annotated[bool, typer.Option(help="Show TF-IDF baselines beside.")] = True,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write the report to this file.")] = None,
    strength: Annotated[
        str, typer.Option("--C", help='Inverse of the penalty\'s strength, or "cv" to choose it.')
    ] = "cv",
    balance: Annotated[bool, typer.Option(help="Give rare classes more weight.")] = True,
    cleaning: Annotated[str, typer.Option(help='Cleaning steps first, with commas, as in "elmokit clean".')] = "",
    compare_cleaning: Annotated[
        bool, typer.Option("--compare-cleaning", help="Also judge the classic cleaning recipe, in steps.")
    ] = False,
    mistakes: Annotated[int, typer.Option(help="Show this many of the most confident mistakes, at most 10.")] = 0,
    head: Annotated[
        str, typer.Option(help='What learns: "logistic"; "mlp" or "bilstm" (extra "torch").', metavar="HEAD")
    ] = "logistic",
    join: Annotated[
        str | None, typer.Option(help='"tfidf": put counted character n-grams beside the vectors (logistic head).')
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            help='Of two classes, say the second from this probability on; "f1" finds the best within training.'
        ),
    ] = "0.5",
    html: Annotated[str | None, typer.Option(help="Also write the report as one page with pictures.")] = None,
    layers: options.Layers = "mix",
    pooling: options.Pooling = "mean+max",
    model: options.Model = "default",
    bad_rows: options.BadRows = "stop",
    encoding: options.Encoding = "utf-8",
    format: options.Format = None,
    delimiter: options.Delimiter = None,
) -> None:
    """Train a classifier on labelled texts and report how good it is.

    The report is made on rows held out (scikit-learn's train_test_split with the same seed); the
    classifier that is saved has then learned from all rows.

    Example:  elmokit classify train tweets.csv --text tweet --label label --out model/ --folds 5
    """
    from elmokit.elmo import Elmo
    from elmokit.errors import ConfigError
    from elmokit.tasks.classify import TextClassifier
    from elmokit.tasks.report import fit_and_report

    screen: Screen = ctx.obj
    if bad_rows == "keep":
        raise ConfigError(
            "--bad-rows keep makes no sense for training: 'stop' at rows without text or label, or 'skip' them."
        )
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    rows = [(row.values[text], row.values[label]) for row in table.rows([text, label], labels=[label])]
    screen.end_notes("rows left out")
    _check_enough(source, label, [value for _, value in rows])
    for path in (out, *(path for path in (json_file, html) if path)):
        _check_writable(path)
    elmo = Elmo.load(model)

    def classifier_on(recipe: Sequence[str]) -> TextClassifier:
        return TextClassifier(
            elmo,
            pooling=pooling,
            layers=options.parse_layers(layers),
            cleaning=recipe,
            C=_strength(strength),
            class_weight="balanced" if balance else None,
            seed=seed,
            head=head,  # type: ignore[arg-type]  # it checks
            join=join,  # type: ignore[arg-type]
            threshold=_threshold(threshold),
        )

    classifier = classifier_on(_recipe(cleaning))
    others = {name: classifier_on(recipe) for name, recipe in _recipes().items()} if compare_cleaning else {}
    texts, labels = [value for value, _ in rows], [value for _, value in rows]
    with screen.progress() as advance:
        report = fit_and_report(
            classifier,
            texts,
            labels,
            test_size=test_size,
            seed=seed,
            n_folds=folds,
            baselines=baseline,
            beside=others,
            on_stage=advance,
        )
    facts = {"text": text, "label": label, "model": model, "report": report.to_dict()}
    classifier.save(out, facts=facts)
    _show(screen, report)
    for mistake in report.mistakes[:mistakes]:
        text_shown = " ".join(mistake.text.split())
        screen.say(f"{mistake.label!r} taken for {mistake.predicted!r} ({mistake.probability:.0%}): {text_shown}")
    if json_file is not None:
        _write_json(json_file, report.to_dict())
    if html is not None:
        _write_page(html, report)
    screen.say(f"Saved, trained on all {len(texts):,} rows: {out}")


@app.command(no_args_is_help=True)
def predict(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="MODEL", help="The folder that `classify train` wrote.")],
    source: Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL, Parquet or text, also .gz; or "-".')],
    out: Annotated[
        str, typer.Option("--out", "-o", help='Where to: .csv, .tsv, .jsonl or .parquet; "-" prints CSV.')
    ] = "-",
    text: Annotated[
        str | None, typer.Option("--text", help="The column with the texts, if not as in training.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help='The column that names the rows: "id" if there is one.')
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Also write each class's probability.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="The ELMo model, if it has moved.")] = None,
    bad_rows: options.BadRows = "stop",
    encoding: options.Encoding = "utf-8",
    format: options.Format = None,
    delimiter: options.Delimiter = None,
) -> None:
    """Label texts with a saved classifier: a table of id and label.

    Example:  elmokit classify predict model/ test.csv --out submission.csv
    """
    from elmokit.corpora.outputs import table_file
    from elmokit.corpora.streams import STDIN
    from elmokit.elmo import Elmo
    from elmokit.tasks.classify import TextClassifier, read_classifier_config

    screen: Screen = ctx.obj
    facts = read_classifier_config(folder)["facts"]
    text = text or facts.get("text", "text")
    table = options.table(screen, source, bad_rows=bad_rows, encoding=encoding, format=format, delimiter=delimiter)
    if table.kind == "txt":
        text = "text"
    if id_column is None and source != STDIN and "id" in table.columns():
        id_column = "id"
    columns = [text] if id_column is None else [text, id_column]
    total = options.check_all_rows(table, columns)
    classifier = TextClassifier.load(folder, Elmo.load(model or facts.get("model", "default")))
    names = [id_column or "row", facts.get("label", "label")]
    if proba:
        names += [f"probability_{label}" for label in classifier.classes_]
    n_texts = 0
    with table_file(out, names) as write, screen.progress() as advance:
        for rows in options.blocks(table.rows(columns)):
            probabilities = classifier.predict_proba([row.values[text] for row in rows])
            for row, shares, best in zip(rows, probabilities, classifier.decide(probabilities), strict=True):
                name = row.number if id_column is None else row.values[id_column]
                write([name, best, *(round(float(p), 6) for p in shares if proba)])
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.say(f"{out}: {n_texts:,} rows")


def _recipe(text: str) -> list[str]:
    return [step.strip() for step in text.split(",") if step.strip()]


def _recipes() -> dict[str, Sequence[str]]:
    """The recipes that --compare-cleaning judges; the one with lemmas only where they can be had."""
    from importlib.util import find_spec

    from elmokit.text.cleaning import TUTORIAL_RECIPE

    recipes: dict[str, Sequence[str]] = {
        "cleaned: urls": ("urls", "spaces"),
        "cleaned: all but lemmas": TUTORIAL_RECIPE[:-1],
    }
    return {**recipes, "cleaned: all, lemmas": TUTORIAL_RECIPE} if find_spec("simplemma") else recipes


def _strength(text: str) -> Any:
    from elmokit.errors import ConfigError

    if text == "cv":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'--C is {text!r}; expected a positive number or "cv".') from None


def _threshold(text: str) -> Any:
    from elmokit.errors import ConfigError

    if text == "f1":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'--threshold is {text!r}; expected a probability or "f1".') from None


def _check_enough(source: str, column: str, labels: list[str]) -> None:
    """Tell at once, before the texts are encoded, that there is nothing to learn."""
    from elmokit.errors import InputError

    if not labels:
        raise InputError(f"{source}: no rows to learn from.")
    if len(set(labels)) < 2:
        raise InputError(
            f"{source}: all {len(labels)} rows have the {column!r} {labels[0]!r}; it takes two labels to learn."
        )
    if len(set(labels)) > max(20, len(labels) // 2):
        raise InputError(
            f"{source}: {column!r} has {len(set(labels))} different values in {len(labels)} rows; is it the column"
            " with the labels (--label)?"
        )


def _check_writable(path: str) -> None:
    """Tell at once, before the work, that a file or folder can't be written; leaves nothing behind."""
    from pathlib import Path

    from elmokit.atomic import atomic_path
    from elmokit.errors import OutputError

    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        if place != Path(path).absolute():
            raise OutputError(f"{path}: the folder can't be made, {place} is a file.")
        place = place.parent
    probe = place / ".elmokit-can-write"
    with atomic_path(probe):
        pass
    probe.unlink()


def _write_json(path: str, value: Any) -> None:
    import json
    from pathlib import Path

    from elmokit.atomic import atomic_path

    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_page(path: str, report: Report) -> None:
    from pathlib import Path

    from elmokit.atomic import atomic_path
    from elmokit.tasks.html_report import report_page

    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(report_page(report), encoding="utf-8")


def _show(screen: Screen, report: Report) -> None:
    """The report as tables: the ways beside each other, then ours in detail."""
    from rich.table import Table

    f1 = "macro F1" if report.positive is None else f"F1 of {report.positive}"
    n_folds = report.entries[0].folds.n_folds if report.entries[0].folds else 0
    ways = Table(title=f"{report.n_test:,} rows held out, {report.n_train:,} learned from, seed {report.seed}")
    ways.add_column("features")
    for name in (f1, "weighted F1", "accuracy", *([f"{f1}, {n_folds} folds"] if n_folds else []), "C", "seconds"):
        ways.add_column(name, justify="right")
    for entry in report.entries:
        ways.add_row(*_cells(report, entry))
    screen.table(ways)

    ours = report.entries[0].held_out
    detail = Table(
        title=f"{report.model}: layers {report.layers}, pooling {report.pooling}",
        caption=f"probabilities are off by {report.calibration_error:.1%}",
    )
    detail.add_column("class")
    few = report.classes if len(report.classes) <= _WIDEST_CONFUSION else ()
    for name in ("precision", "recall", "F1", "rows", *(f"said {str(label)[:12]}" for label in few)):
        detail.add_column(name, justify="right")
    for scores, confused in zip(ours.classes, ours.confusion, strict=True):
        numbers = [f"{value:.3f}" for value in (scores.precision, scores.recall, scores.f1)]
        detail.add_row(scores.label[:40], *numbers, str(scores.support), *(str(n) for n in confused[: len(few)]))
    screen.table(detail)


def _cells(report: Report, entry: Entry) -> list[str]:
    scores = entry.held_out
    cells = [entry.name, *(f"{value:.3f}" for value in (report.f1(scores), scores.weighted_f1, scores.accuracy))]
    if entry.folds is not None:
        cells.append(f"{entry.folds.f1.mean:.3f} ± {entry.folds.f1.sd:.3f}")
    return [*cells, "–" if entry.C is None else f"{entry.C:.3g}", f"{entry.seconds:.1f}"]
