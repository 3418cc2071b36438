"""`elmokit classify`: labelled texts → a classifier and its report; a classifier and texts → labels."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import elmokit
from elmokit.cli import options
from elmokit.cli.app import Commands, argument, option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError, InputError, OutputError
from elmokit.files import atomic_path, make_folder

app = Commands("Train a text classifier, and use it.")


@dataclass(frozen=True, kw_only=True)
class ColumnOptions(options.TextOptions):
    """A table, its columns with texts and labels, and how to read it."""

    label: str = option("label", "Column with the labels.", metavar="COLUMN")
    separator: str | None = option(None, 'Separator of several labels, such as ";".', "--labels-separator")

    def labelled(self) -> tuple[list[str], list[Any]]:
        """Texts, and the label or the labels of each; checked before the texts are encoded."""
        table = self.table(self.source)
        rows = [row.values for row in table.rows([self.text, self.label], labels=[self.label])]
        screen.end_notes()
        words, labels = [row[self.text] for row in rows], [row[self.label] for row in rows]
        if self.separator is not None:
            return words, [[part.strip() for part in cell.split(self.separator) if part.strip()] for cell in labels]
        n_rows, n_classes = len(labels), len(set(labels))
        counts = f"{self.source}: {n_rows} rows, {n_classes} different values of {self.label!r}"
        if n_classes < 2:
            raise InputError(f"{counts}; it takes two labels to learn.")
        if n_classes > max(20, n_rows // 2):
            raise InputError(f"{counts}; is it the column with the labels (--label)?")
        return words, labels


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What learns, and how."""

    head: str = option(
        "logistic", '"logistic"; with the extra "torch" also "bilstm" (reads words in order), "finetune".'
    )
    join: str | None = option(None, '"tfidf": put counted character n-grams beside the vectors (logistic head).')
    strength: str = option("cv", 'Inverse of the penalty; "cv" chooses it by cross-validation.', "--C", metavar="C")
    balance: bool = option(True, "Give rare classes more weight.")
    threshold: float = option(0.5, "Probability that predicts the positive of two classes.", metavar="PROBABILITY")
    positive: str | None = option(None, "Positive one of two classes; the last in sorted order if not given.")
    over: str = option("attention", 'How the words of "bilstm" become one vector: "attention" or "max".')
    epochs: int | None = option(None, 'Passes over the rows at most ("bilstm", "finetune").', min=1)

    def settings(self, out: str) -> dict[str, Any]:
        """The arguments of `TextClassifier`."""
        from elmokit.tasks.classify.features import new_head

        head: Any = self.head
        if self.head == "bilstm":
            head = new_head(self.head, over=self.over, epochs=self.epochs)
        elif self.head == "finetune":
            head = new_head(self.head, epochs=self.epochs, snapshots=Path(out, options.RUN))
        return {"head": head, "join": self.join, "threshold": self.threshold, "positive": self.positive}


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How to evaluate, and what to show."""

    test_size: float = option(0.2, "Share of the rows held out.")
    seed: options.Seed = 42
    folds: int = option(0, "Also cross-validate over all rows, with this many folds.")
    baseline: bool = option(True, "Show TF-IDF baselines beside it.")
    learning_curve: bool = option(False, "Also train on a tenth, a quarter and half of the rows.", "--learning-curve")
    mistakes: int = option(0, "Number of most confident mistakes to show, at most 10.", min=0)
    details: bool = option(False, "Also show calibration, and precision by recall.", "--details")
    json_file: options.JsonFile = None
    html: str | None = option(None, 'Also write the report as a page with figures (extra "plots").', metavar="FILE")


@app.command()
def train(
    *,
    table: ColumnOptions,
    out: str = option(..., "Folder to write the classifier to.", "--out", "-o", metavar="FOLDER"),
    cleaning: str = option("", 'Cleaning steps, separated by commas, as in "elmokit clean".'),
    head: HeadOptions,
    report: ReportOptions,
    vectors: options.VectorOptions = options.VectorOptions(pooling="mean+max", layers="mix"),
    model: options.ModelOptions,
) -> None:
    """Train a classifier on labelled texts and report how good it is.

    The report is made on held-out rows (scikit-learn's train_test_split with the same seed); the
    classifier that is saved is then trained on all rows. An interrupted --head finetune continues
    after the last complete epoch when the same command is run again.

    Example:  elmokit classify train tweets.csv --text tweet --label label --out model/ --folds 5
    """
    from elmokit.plots import check_plots
    from elmokit.tasks.classify.evaluate import fit_and_report
    from elmokit.tasks.classify.html_report import report_page

    several = table.separator is not None
    if several and (head.head, head.join, head.threshold, head.positive) != ("logistic", None, 0.5, None):
        raise ConfigError(
            "--labels-separator goes with the logistic head: leave out --head, --join, --threshold, --positive."
        )
    if table.bad_rows == "keep" and not several:
        raise ConfigError("--bad-rows keep makes no sense for training: 'stop' at incomplete rows, or 'skip' them.")
    if report.html is not None:
        check_plots("the HTML report")
    rows, labels = table.labelled()
    for path in filter(None, (out, report.json_file, report.html)):
        _check_writable(path)
    classifier: Any = (elmokit.MultiLabelClassifier if several else elmokit.TextClassifier)(
        **({} if several else head.settings(out)),
        elmo=model.load(),
        encoding=vectors.encoding(),
        cleaning=options.split_names(cleaning),
        C=options.number_or("--C", head.strength, "cv"),
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
        learning_curve=report.learning_curve,
    )
    show_report(evaluated, report)
    values = evaluated.to_dict()
    recorded = {"text": table.text, "label": table.label, "labels_separator": table.separator, "report": values}
    classifier.save(out, metadata=recorded)
    options.remove_snapshots(out)
    for path in filter(None, (report.json_file, report.html)):
        make_folder(Path(path).parent)
    options.write_json(report.json_file, values)
    if report.html is not None:
        with atomic_path(report.html) as temporary:
            temporary.write_text(report_page(evaluated, source=table.source), encoding="utf-8")
    screen.done(f"Saved, trained on all {len(rows):,} rows: {out}")


def show_report(evaluated: Any, shown: ReportOptions) -> None:
    """Print the tables of a report that were asked for."""
    from elmokit.tasks.classify.report import report_tables

    shown_of = {"calibration": shown.details, "precision": shown.details, "mistakes": shown.mistakes}
    for name, table in report_tables(evaluated, most_classes=4).items():
        if shown_of.get(name, True):
            rows = table.rows[: shown.mistakes] if name == "mistakes" else table.rows
            screen.table(table.names, rows, title=table.title, caption=table.caption)


@app.command()
def predict(
    *,
    folder: str = argument("MODEL", "Folder that `classify train` wrote."),
    source: options.Source,
    out: options.TableOut = "-",
    text: str | None = option(None, "Column with the texts, if not as in training.", "--text", "--column", "-c"),
    id_column: options.IdColumn = None,
    proba: options.Proba = False,
    model: options.MovedModel = None,
    reading: options.ReadingOptions,
) -> None:
    """Label texts with a saved classifier: a table of id and label.

    The column "id", if there is one, names the rows; otherwise their numbers do.

    Example:  elmokit classify predict model/ test.csv --out submission.csv
    """
    from elmokit.tasks.classify import load_any

    recorded = options.trained_on(folder, "classifier", {"text": "text", "label": "label", "labels_separator": ";"})
    table = reading.table(source)
    column = "text" if table.kind == "txt" else text or recorded["text"]
    checked = options.RowResults(table, [column], id_column)
    classifier = load_any(folder, options.moved_model(model)).set_params(show_progress=False)

    def results(rows: list[Any]) -> list[list[Any]]:
        probabilities = classifier.predict_proba([row.values[column] for row in rows])
        best = classifier.decide(probabilities)
        labels = [recorded["labels_separator"].join(one) if isinstance(one, tuple) else one for one in best]
        return options.with_probabilities(labels, probabilities if proba else None)

    names = [recorded["label"], *(f"probability_{label}" for label in classifier.classes_ if proba)]
    checked.write(out, names, results)


def _check_writable(path: str) -> None:
    whole = Path(path).absolute()
    place = next(part for part in (whole, *whole.parents) if part.exists())
    folder = place if place.is_dir() or place != whole else place.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: can't be created: {folder} is a file, or may not be written to.")
