"""`elmokit classify`: labelled texts → a classifier and its report; a classifier and texts → labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elmokit import files
from elmokit.cli import options, texts
from elmokit.cli.classify_options import ColumnOptions, HeadOptions, ReportOptions, number, snapshots
from elmokit.cli.commands import Commands, argument, option
from elmokit.cli.screen import Screen
from elmokit.errors import ConfigError, InputError, OutputError

app = Commands(no_args_is_help=True, rich_markup_mode=None, help="Train a text classifier, and use it.")
FILES = "classifier"


@app.command(no_args_is_help=True)
def train(
    screen: Screen,
    *,
    source: options.Source,
    out: str = option(..., "Folder to write the classifier to.", "--out", "-o", metavar="FOLDER"),
    columns: ColumnOptions,
    cleaning: str = option("", 'Cleaning steps, separated by commas, as in "elmokit clean".'),
    head: HeadOptions,
    report: ReportOptions,
    vectors: options.VectorOptions = options.VectorOptions(pooling="mean+max", layers="mix"),
    model: options.ModelOptions,
    reading: options.ReadingOptions,
) -> None:
    """Train a classifier on labelled texts and report how good it is.

    The report is made on held-out rows (scikit-learn's train_test_split with the same seed); the
    classifier that is saved is then trained on all rows. An interrupted --head finetune continues
    after the last complete epoch when the same command is run again.

    Example:  elmokit classify train tweets.csv --text tweet --label label --out model/ --folds 5
    """
    from elmokit.projection import check_plots
    from elmokit.tasks.classify.evaluate import fit_and_report
    from elmokit.tasks.classify.html_report import report_page

    _check_options(columns, head, reading)
    if report.html is not None:
        check_plots("the HTML report")
    rows, labels = _read_rows(screen, source, columns, reading)
    for path in filter(None, (out, report.json_file, report.html)):
        _check_writable(path)
    classifier = _classifier(
        columns,
        head.settings(out),
        elmo=model.load(screen),
        encoding=vectors.encoding(),
        cleaning=options.split_names(cleaning),
        C=number("--C", head.strength, "cv"),
        class_weight="balanced" if head.balance else None,
        seed=report.seed,
        show_progress=screen.show_progress,
    )
    evaluated = fit_and_report(
        classifier,
        rows,
        labels,
        test_size=report.test_size,
        seed=report.seed,
        n_folds=report.folds,
        baselines=report.baseline,
        beside=_cleaned(classifier) if report.compare_cleaning else None,
        learning_curve=report.learning_curve,
    )
    show_report(screen, evaluated, report)
    values = evaluated.to_dict()
    metadata = {"text": columns.text, "label": columns.label, "labels_separator": columns.separator, "report": values}
    classifier.save(out, metadata=metadata)
    if head.head == "finetune":
        _remove_snapshots(snapshots(out))
    if report.json_file is not None:
        _write_text(report.json_file, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    if report.html is not None:
        _write_text(report.html, report_page(evaluated, source=source))
    screen.done(f"Saved, trained on all {len(rows):,} rows: {out}")


def _read_rows(
    screen: Screen, source: str, columns: ColumnOptions, reading: options.ReadingOptions
) -> tuple[list[str], list[Any]]:
    """Texts, and the label or the labels of each; checked before the texts are encoded."""
    rows = [
        row.values for row in reading.table(screen, source).rows([columns.text, columns.label], labels=[columns.label])
    ]
    screen.end_notes()
    words, labels = [row[columns.text] for row in rows], [row[columns.label] for row in rows]
    if columns.separator is not None:
        return words, [[part.strip() for part in cell.split(columns.separator) if part.strip()] for cell in labels]
    if not labels:
        raise InputError(f"{source}: no rows to learn from.")
    n_classes, column = len(set(labels)), columns.label
    if n_classes < 2:
        raise InputError(
            f"{source}: all {len(labels)} rows have the {column!r} {labels[0]!r}; it takes two labels to learn."
        )
    if n_classes > max(20, len(labels) // 2):
        raise InputError(
            f"{source}: {column!r} has {n_classes} different values in {len(labels)} rows; is it the column with the"
            " labels (--label)?"
        )
    return words, labels


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


def show_report(screen: Screen, evaluated: Any, shown: ReportOptions) -> None:
    """Print the tables of a report that were asked for."""
    from elmokit.tasks.classify.report import report_tables

    left_out = set() if shown.details else {"calibration", "precision"}
    left_out |= set() if shown.mistakes else {"mistakes"}
    for name, table in report_tables(evaluated, most_classes=4).items():
        if name not in left_out:
            rows = table.rows[: shown.mistakes] if name == "mistakes" else table.rows
            screen.table(table.names, rows, title=table.title, caption=table.caption)


@app.command(no_args_is_help=True)
def predict(
    screen: Screen,
    *,
    folder: str = argument("MODEL", "Folder that `classify train` wrote."),
    source: options.Source,
    out: options.TableOut = "-",
    text: str | None = option(
        None, "Column with the texts, if not as in training.", "--text", "--column", "-c", metavar="COLUMN"
    ),
    id_column: options.IdColumn = None,
    proba: bool = option(False, "Also write the probability of each class.", "--proba"),
    model: options.MovedModel = None,
    reading: options.ReadingOptions,
) -> None:
    """Label texts with a saved classifier: a table of id and label.

    The column "id", if there is one, names the rows; otherwise their numbers do.

    Example:  elmokit classify predict model/ test.csv --out submission.csv
    """
    from elmokit.tasks.classify import load_any
    from elmokit.tasks.saved import open_model, read_head_config

    recorded = {"text": "text", "label": "label", "labels_separator": ";"}
    metadata = read_head_config(folder, FILES)["metadata"]
    recorded |= {name: value for name, value in metadata.items() if isinstance(value, str)}
    table = reading.table(screen, source)
    text = texts.column_of(table, text or recorded["text"])
    id_column = texts.id_of(table, id_column)
    total = options.check_all_rows(table, [text, *([id_column] if id_column else [])])
    classifier = load_any(folder, open_model(folder, FILES, model)).set_params(show_progress=False)

    def results(rows: list[Any]) -> list[list[Any]]:
        probabilities = classifier.predict_proba([row.values[text] for row in rows])
        best = classifier.decide(probabilities)
        labels = [recorded["labels_separator"].join(one) if isinstance(one, tuple) else one for one in best]
        more = probabilities.round(6).tolist() if proba else [[]] * len(labels)
        return [[label, *values] for label, values in zip(labels, more, strict=True)]

    names = [recorded["label"], *(f"probability_{label}" for label in classifier.classes_ if proba)]
    texts.write_results(screen, table, out, [text], id_column, names, results, n_rows=total)


def _check_options(columns: ColumnOptions, head: HeadOptions, reading: options.ReadingOptions) -> None:
    single = (head.head, head.join, head.threshold, head.positive) != ("logistic", None, "0.5", None)
    if columns.separator is not None and single:
        raise ConfigError(
            "--labels-separator goes with the logistic head alone: leave out --head, --join, --threshold, --positive."
        )
    if reading.bad_rows == "keep" and columns.separator is None:
        raise ConfigError(
            "--bad-rows keep makes no sense for training: 'stop' at rows without text or label, or 'skip' them."
        )


def _remove_snapshots(folder: Path) -> None:
    """Remove what only an interrupted training needs."""
    for path in folder.glob("finetune-*.safetensors"):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _check_writable(path: str) -> None:
    """Check before the work that a file or folder can be written; leave nothing behind."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        if place != Path(path).absolute():
            raise OutputError(f"{path}: the folder can't be created, {place} is a file.")
        place = place.parent
    probe = place / ".elmokit-can-write"
    with files.atomic_path(probe):
        pass
    probe.unlink()


def _write_text(path: str, text: str) -> None:
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
