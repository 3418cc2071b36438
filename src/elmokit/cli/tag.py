"""`elmokit tag`: train a tagger on column files, tag words, evaluate."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import elmokit
from elmokit.blocks import blocks
from elmokit.cli import options
from elmokit.cli.app import Commands, argument, option
from elmokit.cli.screen import screen
from elmokit.data.conll import ColumnSentence, column_file, read_columns
from elmokit.data.streams import STDIN
from elmokit.errors import InputError

app = Commands("Tag words: names, chunks, parts of speech (extra torch).")
SOURCE = argument("FILE", 'Column file (CoNLL), also .gz .xz .zst; "-" for stdin. .conllu: CoNLL-U.')
FOLDER = argument("TAGGER", "Folder that `tag train` wrote.")
_COLUMNS = {"word": 0, "tag": -1}


@dataclass(frozen=True, kw_only=True)
class TagColumns:
    """Columns of a file, from 0, or from the end with -1 for the last."""

    word: int | None = option(None, "Column of the words, from 0 (0, or as in training).")
    tag: int | None = option(None, "Column of the tags, from 0, -1: the last (-1, or as in training).")

    def places(self, folder: str | None = None) -> tuple[int, int]:
        """Columns of words and tags; those not given are as saved in the folder, or the defaults."""
        known = _COLUMNS if folder is None else options.trained_on(folder, "tagger", _COLUMNS)
        word, tag = (known[name] if value is None else value for name, value in vars(self).items())
        return word, tag


@dataclass(frozen=True, kw_only=True)
class TaggerOptions:
    """How a tagger is trained (see `elmokit.Tagger`)."""

    learning_rate: float = option(3e-3, "Learning rate at the start.")
    batch_size: int = option(32, "Sentences per step.", min=1)
    epochs: int = option(20, "Passes over the sentences at most.", min=1)
    patience: int = option(4, "Epochs without a better score until training stops.", min=1)
    seed: options.Seed = 0


@app.command()
def train(
    *,
    source: str = SOURCE,
    out: str = option(..., "Folder to write the tagger to.", "--out", "-o", metavar="FOLDER"),
    dev: str | None = option(None, "File that chooses the best epoch; a tenth of FILE if not given."),
    columns: TagColumns,
    scheme: str = option("auto", "How tags mark spans; none for parts of speech.", metavar="auto|IOB1|IOB2|BIOES|none"),
    layers: str = option("learned", '"learned" for a learned mix of all, or the number of one.'),
    training: TaggerOptions,
    json_file: options.JsonFile = None,
    model: options.ModelOptions,
    encoding: options.Encoding = "utf-8",
) -> None:
    """Train a tagger on a column file: a word a line, an empty line between sentences.

    Tags of other schemes are converted and invalid ones repaired; a note says so. Ctrl-C keeps the last epoch: run the
    same command again to continue.

    Example:  elmokit tag train eng.train --dev eng.testa --tag 3 --out ner/
    """
    places = columns.places()
    words, tags, known_scheme = _checked(source, places, encoding, None if scheme == "none" else scheme)
    judged = None if dev is None else _checked(dev, places, encoding, known_scheme)[:2]
    settings: dict[str, Any] = {"layers": options.number_or("--layers", layers, "learned", int), **asdict(training)}
    tagger = elmokit.Tagger(model.load(), scheme=known_scheme, device=model.device, **settings)
    what = "accuracy" if known_scheme is None else "F1"

    def show(report: Any) -> None:
        best = " (best so far)" if report.best_epoch == report.epoch else ""
        numbers = f"loss {report.loss:.3f} · {what} {report.score:.4f}{best} · {report.seconds:.0f} s"
        screen.report(f"epoch {report.epoch} of {training.epochs} · {numbers}")

    bar: dict[str, Any] = {"show_progress": screen.show_progress, "on_epoch": show}
    tagger.fit(words, tags, dev=judged, folder=Path(out, options.RUN), **bar)
    tagger.save(out, metadata=dict(zip(_COLUMNS, places, strict=True)))
    options.remove_snapshots(out)
    weights, report = tagger.layer_weights_, tagger.report_
    assert report is not None
    record = {"scheme": known_scheme, "metric": what, **asdict(report), "layer_weights": weights}
    options.write_json(json_file, record)
    best = f"{what} {report.best_score:.3f} on the dev part in epoch {report.best_epoch}"
    screen.done(f"{out}: {best}; layer weights {', '.join(f'{x:.2f}' for x in weights)}")


@app.command()
def predict(
    *,
    folder: str = FOLDER,
    source: str = SOURCE,
    out: str = option("-", 'Output: the columns that were read and the tags; "-" prints them.', "--out", "-o"),
    columns: TagColumns,
    plain: bool = option(False, "FILE is plain text, a sentence a line, which is split into words.", "--plain"),
    model: options.MovedModel = None,
    device: options.Device = "cpu",
    encoding: options.Encoding = "utf-8",
) -> None:
    """Tag the words of a column file, or of plain text; the tags become the last column.

    Example:  elmokit tag predict ner/ eng.testb --out tagged.conll
    """
    place = 0 if plain else columns.places(folder)[0]

    def read(tokenizer: str) -> Iterator[ColumnSentence]:
        if plain:
            return _plain_sentences(source, encoding, tokenizer)
        return read_columns(source, columns=[place], encoding=encoding)

    if source != STDIN:
        deque(read("whitespace"), maxlen=0)  # errors come before PyTorch is imported and before the work
    tagger, n_sentences = elmokit.Tagger.load(folder, options.moved_model(model), device=device), 0
    with column_file(out) as write:
        for block in blocks(read(tagger.elmo.config.tokenizer), 8192):
            tags = tagger.predict([one.column(place) for one in block], show_progress=screen.show_progress)
            for sentence, of_one in zip(block, tags, strict=True):
                write(sentence, [of_one])
            n_sentences += len(block)
    screen.done(f"{out}: {n_sentences:,} sentences", out)


@app.command()
def evaluate(
    *,
    folder: str = FOLDER,
    source: str = SOURCE,
    columns: TagColumns,
    json_file: options.JsonFile = None,
    model: options.MovedModel = None,
    device: options.Device = "cpu",
    encoding: options.Encoding = "utf-8",
) -> None:
    """Evaluate a tagger on a column file: F1 of spans as seqeval defines it, and accuracy.

    Example:  elmokit tag evaluate ner/ eng.testb --json scores.json
    """
    words, tags = _columns(source, columns.places(folder), encoding)
    tagger = elmokit.Tagger.load(folder, options.moved_model(model), device=device)
    metrics = tagger.evaluate(words, tags, show_progress=screen.show_progress)
    options.write_json(json_file, asdict(metrics))
    screen.say(f"{source}: {len(words):,} sentences\n{metrics}")


def _columns(source: str, places: tuple[int, int], encoding: str) -> tuple[list[list[str]], list[list[str]]]:
    sentences = list(read_columns(source, columns=places, encoding=encoding))
    if not sentences:
        raise InputError(f"{source}: no sentences; expected a word and its tag on each line.")
    return [one.column(places[0]) for one in sentences], [one.column(places[1]) for one in sentences]


def _checked(source: str, places: tuple[int, int], encoding: str, scheme: Any) -> tuple[Any, Any, Any]:
    """Words, valid tags and their scheme; a note says what was converted or repaired."""
    from elmokit.tasks.tagging.bioes import check_tags

    words, tags = _columns(source, places, encoding)
    try:
        checked = check_tags(tags, scheme)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if checked.remark:
        screen.note(f"{source}: {checked.remark}")
    return words, checked.tags, checked.scheme


def _plain_sentences(source: str, encoding: str, tokenizer: str) -> Iterator[ColumnSentence]:
    from elmokit.data.tables import TEXT_COLUMN, Table
    from elmokit.text.tokens import get_tokenizer

    tokenize = get_tokenizer(tokenizer)
    for row in Table(source=source, format="txt", encoding=encoding, bad_rows="keep").rows([TEXT_COLUMN]):
        words = tuple((token.word,) for token in tokenize(row.values[TEXT_COLUMN]))
        if words:
            yield ColumnSentence(words, row.number)
