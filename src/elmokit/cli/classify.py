"""`elmokit classify`: labelled texts → a classifier and its report; a classifier and texts → labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.elmo import Elmo
    from elmokit.tasks.classify import TextClassifier
    from elmokit.tasks.multilabel import MultiLabelClassifier

app = Commands(no_args_is_help=True, rich_markup_mode=None, help="Train a text classifier, and use it.")


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE", help='CSV, TSV, JSONL or Parquet, also .gz; or "-".')],
    out: Annotated[str, typer.Option("--out", "-o", help="The folder to write the classifier to.")],
    text: Annotated[str, typer.Option("--text", help="The column with the texts.")] = "text",
    label: Annotated[str, typer.Option("--label", help="The column with the labels.")] = "label",
    separator: Annotated[
        str | None,
        typer.Option(
            "--labels-separator",
            help='A text may have several labels, with this between them, for instance ";" (logistic head).',
        ),
    ] = None,
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
    details: Annotated[
        bool, typer.Option("--details", help="Also show how far probabilities can be trusted, and precision by recall.")
    ] = False,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also learn from a tenth, a quarter and half of the rows.")
    ] = False,
    head: Annotated[
        str,
        typer.Option(
            help='What learns: "logistic"; "votes" (with counted characters and words); "mlp", "bilstm" or "finetune",'
            ' which tunes the model itself (extra "torch").',
            metavar="HEAD",
        ),
    ] = "logistic",
    over: Annotated[
        str, typer.Option(help='How the words of "bilstm" become one vector: "attention" or "max".')
    ] = "attention",
    epochs: Annotated[int | None, typer.Option(help='Of "mlp", "bilstm" and "finetune", at most.', min=1)] = None,
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
    model: options.ModelOptions = options.MODEL,
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Train a classifier on labelled texts and report how good it is.

    The report is made on rows held out (scikit-learn's train_test_split with the same seed); the
    classifier that is saved has then learned from all rows. Called again after it was stopped,
    --head finetune goes on after the last whole epoch.

    Example:  elmokit classify train tweets.csv --text tweet --label label --out model/ --folds 5
    """
    from elmokit.errors import ConfigError

    screen: Screen = ctx.obj
    if separator is not None and ((head, join, threshold, folds) != ("logistic", None, "0.5", 0) or compare_cleaning):
        raise ConfigError(
            "--labels-separator goes with the logistic head alone: leave out --head, --join, --threshold, --folds and"
            " --compare-cleaning."
        )
    if reading.bad_rows == "keep" and separator is None:
        raise ConfigError(
            "--bad-rows keep makes no sense for training: 'stop' at rows without text or label, or 'skip' them."
        )
    table = reading.table(screen, source)
    rows = [(row.values[text], row.values[label]) for row in table.rows([text, label], labels=[label])]
    screen.end_notes("rows left out")
    if separator is None:
        _check_enough(source, label, [value for _, value in rows])
    for path in (out, *(path for path in (json_file, html) if path)):
        _check_writable(path)
    lesson = _Lesson(
        elmo=model.load(screen),
        texts=[value for value, _ in rows],
        labels=[value for _, value in rows],
        settings={
            "pooling": pooling,
            "layers": options.parse_layers(layers),
            "C": _strength(strength),
            "class_weight": "balanced" if balance else None,
            "seed": seed,
        },
        judging={"test_size": test_size, "seed": seed, "baselines": baseline},
        cleaning=_recipe(cleaning),
        out=out,
        facts={"text": text, "label": label, "model": model.model},
    )
    if separator is not None:
        page = _learn_labels(screen, lesson, separator, details=details)
    else:
        own = {"head": head, "join": join, "over": over, "epochs": epochs, "threshold": _threshold(threshold)}
        lesson.settings.update(own)
        lesson.judging.update(n_folds=folds, learning_curve=learning_curve)
        page = _learn_classes(screen, lesson, compare_cleaning=compare_cleaning, details=details, mistakes=mistakes)
    if json_file is not None:
        _write_text(json_file, json.dumps(page.values, indent=2, ensure_ascii=False) + "\n")
    if html is not None:
        _write_text(html, page.html())
    screen.done(f"Saved, trained on all {len(rows):,} rows: {out}")


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """What `train` was told, read and checked."""

    elmo: Elmo
    texts: list[str]
    labels: list[str]
    settings: dict[str, Any]
    judging: dict[str, Any]
    cleaning: list[str]
    out: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Page:
    """A report to be written: as JSON values, as a page when asked for."""

    values: dict[str, Any]
    html: Callable[[], str]


def _learn_classes(screen: Screen, lesson: _Lesson, *, compare_cleaning: bool, details: bool, mistakes: int) -> _Page:
    """One label a text: learn, save, show."""
    from elmokit.cli.classify_tables import show_details, show_mistakes, show_report
    from elmokit.tasks.classify import TextClassifier
    from elmokit.tasks.html_report import report_page
    from elmokit.tasks.report import fit_and_report

    run = Path(lesson.out) / "run"
    if lesson.settings["head"] == "finetune":
        lesson.settings["snapshots"] = run
    make = partial(TextClassifier, lesson.elmo, **lesson.settings)
    classifier = make(cleaning=lesson.cleaning)
    others = {name: make(cleaning=recipe) for name, recipe in _recipes().items()} if compare_cleaning else {}
    with screen.progress() as advance:
        report = fit_and_report(
            classifier, lesson.texts, lesson.labels, beside=others, on_stage=advance, **lesson.judging
        )
    classifier.save(lesson.out, facts={**lesson.facts, "report": report.to_dict()})
    if run.is_dir() and lesson.settings["head"] == "finetune":
        _remove_snapshots(run)
    show_report(screen, report)
    if details:
        show_details(screen, report)
    if mistakes:
        show_mistakes(screen, report, mistakes)
    return _Page(report.to_dict(), partial(report_page, report))


def _learn_labels(screen: Screen, lesson: _Lesson, separator: str, *, details: bool) -> _Page:
    """Any number of labels a text: learn, save, show."""
    from elmokit.cli.classify_tables import show_label_report, show_precision_recall
    from elmokit.tasks.html_report import label_report_page
    from elmokit.tasks.multilabel import MultiLabelClassifier
    from elmokit.tasks.multilabel_report import fit_and_report_labels

    classifier = MultiLabelClassifier(lesson.elmo, cleaning=lesson.cleaning, **lesson.settings)
    labels = [[part.strip() for part in cell.split(separator) if part.strip()] for cell in lesson.labels]
    with screen.progress() as advance:
        report = fit_and_report_labels(classifier, lesson.texts, labels, on_stage=advance, **lesson.judging)
    classifier.save(lesson.out, facts={**lesson.facts, "labels_separator": separator, "report": report.to_dict()})
    show_label_report(screen, report)
    if details:
        show_precision_recall(screen, report.precision_recall)
    return _Page(report.to_dict(), partial(label_report_page, report))


def _remove_snapshots(folder: Path) -> None:
    """What only a training that was stopped would have needed."""
    for path in folder.glob("finetune-*.safetensors"):
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


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
    reading: options.ReadingOptions = options.READING,
) -> None:
    """Label texts with a saved classifier: a table of id and label.

    Example:  elmokit classify predict model/ test.csv --out submission.csv
    """
    from elmokit.data.blocks import blocks
    from elmokit.data.outputs import table_file
    from elmokit.data.streams import STDIN
    from elmokit.elmo import Elmo
    from elmokit.tasks.classify import read_classifier_config

    screen: Screen = ctx.obj
    facts = read_classifier_config(folder)["facts"]
    separator = facts.get("labels_separator", ";")
    text = text or facts.get("text", "text")
    table = reading.table(screen, source)
    if table.kind == "txt":
        text = "text"
    if id_column is None and source != STDIN and "id" in table.columns():
        id_column = "id"
    columns = [text] if id_column is None else [text, id_column]
    total = options.check_all_rows(table, columns)
    classifier = _load(folder, Elmo.load(model or facts.get("model", "default")))
    names = [id_column or "row", facts.get("label", "label")]
    if proba:
        names += [f"probability_{label}" for label in classifier.classes_]
    n_texts = 0
    with table_file(out, names) as write, screen.progress() as advance:
        for rows in blocks(table.rows(columns), 8192):
            probabilities = classifier.predict_proba([row.values[text] for row in rows])
            for row, shares, best in zip(rows, probabilities, classifier.decide(probabilities), strict=True):
                name = row.number if id_column is None else row.values[id_column]
                said = separator.join(best) if isinstance(best, tuple) else best
                write([name, said, *(round(float(p), 6) for p in shares if proba)])
            n_texts += len(rows)
            advance("texts", n_texts, total)
    screen.end_notes("rows left out")
    if out != STDIN:
        screen.done(f"{out}: {n_texts:,} rows")


def _load(folder: str, elmo: Elmo) -> TextClassifier | MultiLabelClassifier:
    from elmokit.tasks.classify import TextClassifier, read_classifier_config
    from elmokit.tasks.multilabel import MultiLabelClassifier, is_multi_label

    if is_multi_label(read_classifier_config(folder)):
        return MultiLabelClassifier.load(folder, elmo)
    return TextClassifier.load(folder, elmo)


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
    from elmokit.errors import OutputError
    from elmokit.files import atomic_path

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


def _write_text(path: str, text: str) -> None:
    from elmokit.files import atomic_path

    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
