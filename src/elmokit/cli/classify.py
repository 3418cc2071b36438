"""`elmokit classify`: labelled texts → a classifier and its report; a classifier and texts → labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.classify_options import (
    COLUMNS,
    HEAD,
    REPORT,
    VECTORS,
    ColumnOptions,
    HeadOptions,
    ReportOptions,
    number,
    snapshots,
)
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen

app = Commands(no_args_is_help=True, rich_markup_mode=None, help="Train a text classifier, and use it.")
FILES = "classifier"


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: options.Source,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder to write the classifier to.", metavar="FOLDER")],
    columns: ColumnOptions = COLUMNS,
    cleaning: Annotated[
        str, typer.Option("--cleaning", help='Cleaning steps, separated by commas, as in "elmokit clean".')
    ] = "",
    head: HeadOptions = HEAD,
    report: ReportOptions = REPORT,
    vectors: options.VectorOptions = VECTORS,
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Train a classifier on labelled texts and report how good it is.

    The report is made on held-out rows (scikit-learn's train_test_split with the same seed); the
    classifier that is saved is then trained on all rows. An interrupted --head finetune continues
    after the last complete epoch when the same command is run again.

    Example:  elmokit classify train tweets.csv --text tweet --label label --out model/ --folds 5
    """
    from elmokit.cli.classify_tables import show_report
    from elmokit.projection import check_plots
    from elmokit.tasks.classify.evaluate import fit_and_report
    from elmokit.tasks.classify.html_report import report_page

    screen: Screen = ctx.obj
    _check_options(columns, head, reading)
    if report.html is not None:
        check_plots("the HTML report")
    texts, labels = _read_rows(screen, source, columns, reading)
    for path in (out, report.json_file, report.html):
        if path:
            _check_writable(path)
    classifier = _classifier(
        columns,
        head.settings(out),
        elmo=model.load(screen),
        encoding=vectors.encoding(),
        cleaning=[step.strip() for step in cleaning.split(",") if step.strip()],
        C=number("--C", head.strength, "cv"),
        class_weight="balanced" if head.balance else None,
        seed=report.seed,
        show_progress=screen.show_progress,
    )
    evaluated = fit_and_report(
        classifier,
        texts,
        labels,
        test_size=report.test_size,
        seed=report.seed,
        n_folds=report.folds,
        baselines=report.baseline,
        beside=_cleaned(classifier) if report.compare_cleaning else None,
        learning_curve=report.learning_curve,
    )
    show_report(screen, evaluated, details=report.details, n_mistakes=report.mistakes)
    values = evaluated.to_dict()
    metadata = {"text": columns.text, "label": columns.label, "labels_separator": columns.separator, "report": values}
    classifier.save(out, metadata=metadata)
    if head.head == "finetune":
        _remove_snapshots(snapshots(out))
    if report.json_file is not None:
        _write_text(report.json_file, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    if report.html is not None:
        _write_text(report.html, report_page(evaluated, source=source))
    screen.done(f"Saved, trained on all {len(texts):,} rows: {out}")


def _read_rows(
    screen: Screen, source: str, columns: ColumnOptions, reading: options.ReadingOptions
) -> tuple[list[str], list[Any]]:
    """Texts, and the label or the labels of each; checked before the texts are encoded."""
    table = reading.table(screen, source)
    rows = [row.values for row in table.rows([columns.text, columns.label], labels=[columns.label])]
    screen.end_notes("rows left out")
    texts, labels = [row[columns.text] for row in rows], [row[columns.label] for row in rows]
    if columns.separator is not None:
        return texts, [[part.strip() for part in cell.split(columns.separator) if part.strip()] for cell in labels]
    _check_labels(source, columns.label, labels)
    return texts, labels


def _classifier(columns: ColumnOptions, head: dict[str, Any], **settings: Any) -> Any:
    from elmokit.tasks.classify import MultiLabelClassifier, TextClassifier

    return TextClassifier(**settings, **head) if columns.separator is None else MultiLabelClassifier(**settings)


def _cleaned(classifier: Any) -> dict[str, Any]:
    """The classifier after the classic cleaning recipe, in steps; with lemmas only if simplemma is installed."""
    from importlib.util import find_spec

    from elmokit.text.cleaning import TUTORIAL_RECIPE

    recipes = {"cleaned: urls": ("urls", "spaces"), "cleaned: all but lemmas": TUTORIAL_RECIPE[:-1]}
    if find_spec("simplemma"):
        recipes["cleaned: all, lemmas"] = TUTORIAL_RECIPE
    settings = classifier.get_params(deep=False)
    return {name: type(classifier)(**{**settings, "cleaning": recipe}) for name, recipe in recipes.items()}


@app.command(no_args_is_help=True)
def predict(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="MODEL", help="Folder that `classify train` wrote.")],
    source: options.Source,
    out: options.TableOut = "-",
    text: Annotated[
        str | None,
        typer.Option(
            "--text", "--column", "-c", help="Column with the texts, if not as in training.", metavar="COLUMN"
        ),
    ] = None,
    id_column: options.IdColumn = None,
    proba: Annotated[bool, typer.Option("--proba", help="Also write the probability of each class.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="ELMo model, if not the recorded one.", metavar="MODEL")
    ] = None,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Label texts with a saved classifier: a table of id and label.

    The column "id", if there is one, names the rows; otherwise their numbers do.

    Example:  elmokit classify predict model/ test.csv --out submission.csv
    """
    from elmokit.data.blocks import blocks
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.tasks.saved import read_head_config

    screen: Screen = ctx.obj
    metadata = read_head_config(folder, FILES)["metadata"]
    table = reading.table(screen, source)
    text = "text" if table.kind == "txt" else text or _recorded(metadata, "text", "text")
    if id_column is None and source != STDIN and "id" in table.columns():
        id_column = "id"
    columns = [text] if id_column is None else [text, id_column]
    total = options.check_all_rows(table, columns)
    classifier, separator = _load(folder, model), _recorded(metadata, "labels_separator", ";")
    names = [id_column or "row", _recorded(metadata, "label", "label")]
    if proba:
        names += [f"probability_{label}" for label in classifier.classes_]
    n_texts = 0
    with table_file(out, names) as write, screen.progress() as advance:
        for rows in blocks(table.rows(columns), 8192):
            probabilities = classifier.predict_proba([row.values[text] for row in rows])
            for row, shares, best in zip(rows, probabilities, classifier.decide(probabilities), strict=True):
                name = row.number if id_column is None else row.values[id_column]
                label = separator.join(best) if isinstance(best, tuple) else best
                write([name, label, *(round(float(p), 6) for p in shares if proba)])
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_texts:,} rows")


def _load(folder: str, model: str | None) -> Any:
    from elmokit.tasks.classify import MultiLabelClassifier, TextClassifier
    from elmokit.tasks.classify.saved import is_multi_label
    from elmokit.tasks.saved import open_model, read_head_config

    several = is_multi_label(read_head_config(folder, FILES))
    kind = MultiLabelClassifier if several else TextClassifier
    loaded = kind.load(folder, open_model(folder, FILES, model))
    loaded.show_progress = False
    return loaded


def _recorded(metadata: Mapping[str, Any], name: str, default: str) -> str:
    value = metadata.get(name)
    return value if isinstance(value, str) else default


def _check_options(columns: ColumnOptions, head: HeadOptions, reading: options.ReadingOptions) -> None:
    from elmokit.errors import ConfigError

    single = (head.head, head.join, head.threshold, head.positive) != ("logistic", None, "0.5", None)
    if columns.separator is not None and single:
        raise ConfigError(
            "--labels-separator goes with the logistic head alone: leave out --head, --join, --threshold, --positive."
        )
    if reading.bad_rows == "keep" and columns.separator is None:
        raise ConfigError(
            "--bad-rows keep makes no sense for training: 'stop' at rows without text or label, or 'skip' them."
        )


def _check_labels(source: str, column: str, labels: list[str]) -> None:
    """Check the labels before the texts are encoded."""
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


def _remove_snapshots(folder: Path) -> None:
    """Remove what only an interrupted training needs."""
    for path in folder.glob("finetune-*.safetensors"):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _check_writable(path: str) -> None:
    """Check before the work that a file or folder can be written; leave nothing behind."""
    from elmokit.errors import OutputError
    from elmokit.files import atomic_path

    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        if place != Path(path).absolute():
            raise OutputError(f"{path}: the folder can't be created, {place} is a file.")
        place = place.parent
    probe = place / ".elmokit-can-write"
    with atomic_path(probe):
        pass
    probe.unlink()


def _write_text(path: str, text: str) -> None:
    from elmokit.files import atomic_path

    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
