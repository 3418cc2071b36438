"""`elmokit tag`: column files of words and tags → a tagger; a tagger and words → tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options
from elmokit.cli.commands import Commands

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.data.conll import ColumnSentence

app = Commands(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tag words: names, chunks, parts of speech (needs the extra torch).",
)

Source = Annotated[
    str, typer.Argument(metavar="FILE", help='A column file (CoNLL), also .gz .xz .zst; or "-". .conllu is CoNLL-U.')
]
Folder = Annotated[str, typer.Argument(metavar="MODEL", help="The folder that `tag train` wrote.")]
WordColumn = Annotated[
    int | None, typer.Option("--word", help="The column of the words, from 0, if not as in training.")
]
TagColumn = Annotated[
    int | None, typer.Option("--tag", help="The column of the tags, from 0, -1 for the last, if not as in training.")
]
Moved = Annotated[str | None, typer.Option("--model", help="The ELMo model, if it has moved.")]
Device = Annotated[str, typer.Option(help='Where the head runs: "cpu", "cuda" or "cuda:N".')]


@app.command(no_args_is_help=True)
def train(
    ctx: typer.Context,
    source: Source,
    out: Annotated[str, typer.Option("--out", "-o", help="The folder to write the tagger to.")],
    dev: Annotated[
        str | None, typer.Option("--dev", help="A file to choose the best epoch by; else a tenth of FILE.")
    ] = None,
    word: Annotated[int, typer.Option("--word", help="The column of the words, from 0.")] = 0,
    tag: Annotated[int, typer.Option("--tag", help="The column of the tags, from 0, or -1 for the last.")] = -1,
    scheme: Annotated[
        str, typer.Option(metavar="auto|IOB1|IOB2|BIOES|none", help="How tags mark spans; none for parts of speech.")
    ] = "auto",
    layers: Annotated[str, typer.Option(help='"learned" for a learned mix of all, or the number of one.')] = "learned",
    epochs: Annotated[int, typer.Option(help="Times each sentence is seen, at most.")] = 20,
    patience: Annotated[int, typer.Option(help="Epochs without a better figure until training stops.")] = 4,
    hidden_width: Annotated[int, typer.Option(help="Of the LSTM in each direction.")] = 200,
    dropout: Annotated[float, typer.Option(help="On the way into the BiLSTM and out of it.")] = 0.5,
    learning_rate: Annotated[float, typer.Option(help="At first.")] = 3e-3,
    batch_size: Annotated[int, typer.Option(help="Sentences that are learned from together.")] = 32,
    seed: Annotated[int, typer.Option(help="Of weights, order and dropout.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    model: options.ModelName = "default",
    device: Device = "cpu",
    encoding: options.Encoding = "utf-8",
) -> None:
    """Learn to tag words from a column file: a word a line, an empty line between sentences.

    Tags that break their scheme's rules are mended, and said so. Ctrl-C keeps the last epoch; --resume goes on.

    Example:  elmokit tag train eng.train --dev eng.testa --tag 3 --out ner/
    """
    from pathlib import Path

    from elmokit.elmo import Elmo
    from elmokit.tasks.bio import check_tags
    from elmokit.tasks.tag import Tagger
    from elmokit.tasks.tag_options import TagOptions

    screen: Screen = ctx.obj
    words, tags = _columns(source, word, tag, encoding)
    checked = check_tags(tags, _scheme(scheme))
    if checked.remark:
        screen.note(f"{source}: {checked.remark}")
    judged = None
    if dev is not None:
        judged = _columns(dev, word, tag, encoding)
        remark = check_tags(judged[1], checked.scheme).remark
        if remark:
            screen.note(f"{dev}: {remark}")
    chosen = TagOptions(
        hidden_width=hidden_width,
        dropout=dropout,
        learning_rate=learning_rate,
        batch_size=batch_size,
        n_epochs=epochs,
        patience=patience,
        seed=seed,
    )
    tagger = Tagger(Elmo.load(model), layers=_layers(layers), scheme=checked.scheme, options=chosen, device=device)
    what = "accuracy" if checked.scheme is None else "F1"
    with screen.progress() as advance:
        tagger.fit(
            words,
            checked.tags,
            dev=judged,
            folder=Path(out) / "run",
            resume=resume,
            on_progress=lambda done, total: advance("encoding: sentences", done, total),
            on_report=lambda report: _tell(screen, report, epochs, what),
        )
    tagger.save(out, facts={"word": word, "tag": tag, "model": model})
    assert tagger.report_ is not None
    best = f"{what} {tagger.report_.best:.3f} on the dev part in epoch {tagger.report_.best_epoch}"
    screen.done(f"{out}: {best}, shares of the layers {', '.join(f'{x:.2f}' for x in tagger.layer_shares_)}")


@app.command(no_args_is_help=True)
def predict(
    ctx: typer.Context,
    folder: Folder,
    source: Source,
    out: Annotated[
        str, typer.Option("--out", "-o", help='Where to: the columns that were read, and the tags; "-" prints.')
    ] = "-",
    word: WordColumn = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="FILE is plain text, a sentence a line; it is cut into words.")
    ] = False,
    model: Moved = None,
    device: Device = "cpu",
    encoding: options.Encoding = "utf-8",
) -> None:
    """Tag the words of a column file, or of plain text: the tags are put behind the columns that were read.

    Example:  elmokit tag predict ner/ eng.testb --out tagged.conll
    """
    from elmokit.data.blocks import blocks
    from elmokit.data.conll import column_file
    from elmokit.data.streams import STDIN

    screen: Screen = ctx.obj
    tagger, facts = _load(folder, model, device)
    place = facts["word"] if word is None else word
    if plain:
        place, read = 0, _plain_sentences(source, encoding, tagger.elmo.config.tokenizer)
    else:
        read = _read(source, [place], encoding)
    n_sentences = 0
    with column_file(out) as write, screen.progress() as advance:
        for block in blocks(read, 8192):
            for sentence, tags in zip(block, tagger.predict([s.column(place) for s in block]), strict=True):
                write(sentence, [tags])
            n_sentences += len(block)
            advance("tagging: sentences", n_sentences, None)
    if out != STDIN:
        screen.done(f"{out}: {n_sentences:,} sentences")


@app.command(no_args_is_help=True)
def evaluate(
    ctx: typer.Context,
    folder: Folder,
    source: Source,
    word: WordColumn = None,
    tag: TagColumn = None,
    json_file: Annotated[str | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
    model: Moved = None,
    device: Device = "cpu",
    encoding: options.Encoding = "utf-8",
) -> None:
    """Tell how good a tagger is on a column file: F1 of spans (seqeval's definition), or accuracy.

    Example:  elmokit tag evaluate ner/ eng.testb --json scores.json
    """
    import json
    from dataclasses import asdict

    from rich.table import Table

    from elmokit.files import atomic_path

    screen: Screen = ctx.obj
    tagger, facts = _load(folder, model, device)
    columns = facts["word"] if word is None else word, facts["tag"] if tag is None else tag
    words, tags = _columns(source, *columns, encoding)
    with screen.progress() as advance:
        scores = tagger.evaluate(
            words, tags, on_progress=lambda done, total: advance("tagging: sentences", done, total)
        )
    if json_file is not None:
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(asdict(scores), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if scores.spans is not None:
        table = Table(title=f"{source}: {len(words):,} sentences, {scores.n_words:,} words")
        table.add_column("spans")
        for name in ("precision", "recall", "F1", "support"):
            table.add_column(name, justify="right")
        for one in (*scores.labels, scores.spans):
            numbers = [f"{value:.3f}" for value in (one.precision, one.recall, one.f1)]
            table.add_row(one.label[:40], *numbers, str(one.support))
        screen.table(table)
    screen.say(f"accuracy {scores.accuracy:.4f} of {scores.n_words:,} words")


def _read(source: str, columns: list[int], encoding: str) -> Iterator[ColumnSentence]:
    from elmokit.data.conll import read_columns

    return read_columns(source, columns=columns, encoding=encoding)


def _columns(source: str, word: int, tag: int, encoding: str) -> tuple[list[list[str]], list[list[str]]]:
    from elmokit.errors import InputError

    sentences = list(_read(source, [word, tag], encoding))
    if not sentences:
        raise InputError(f"{source}: no sentences; expected a word and its tag on each line.")
    return [one.column(word) for one in sentences], [one.column(tag) for one in sentences]


def _plain_sentences(source: str, encoding: str, tokenizer: str) -> Iterator[ColumnSentence]:
    from elmokit.data.conll import ColumnSentence
    from elmokit.data.tables import TEXT_COLUMN, Table
    from elmokit.text.tokens import get_tokenizer

    cut = get_tokenizer(tokenizer)
    for row in Table(source=source, format="txt", encoding=encoding, bad_rows="keep").rows([TEXT_COLUMN]):
        words = tuple((token.word,) for token in cut(row.values[TEXT_COLUMN]))
        if words:
            yield ColumnSentence(words, row.number)


def _scheme(text: str) -> Any:
    return None if text == "none" else text


def _layers(text: str) -> Any:
    from elmokit.errors import ConfigError

    if text == "learned":
        return text
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f'--layers is {text!r}; expected "learned" or the number of a layer.') from None


def _load(folder: str, model: str | None, device: str) -> tuple[Any, dict[str, Any]]:
    from elmokit.elmo import Elmo
    from elmokit.tasks.saved_head import read_head_config
    from elmokit.tasks.tag import Tagger

    facts = {"word": 0, "tag": -1, "model": "default", **read_head_config(folder, "tag")["facts"]}
    return Tagger.load(folder, Elmo.load(model or facts["model"]), device=device), facts


def _tell(screen: Screen, report: Any, n_epochs: int, what: str) -> None:
    if not screen.quiet:
        mark = " (best so far)" if report.best_epoch == report.epoch else ""
        line = f"epoch {report.epoch} of {n_epochs} · loss {report.loss:.3f} · {what} {report.figure:.4f}{mark}"
        typer.echo(f"{line} · {report.seconds:.0f} s", err=True)
