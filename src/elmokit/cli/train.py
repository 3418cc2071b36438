"""`elmokit train` and `elmokit tune`: text → a biLM, and a biLM → one that knows your texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli.options import TextColumn

if TYPE_CHECKING:
    from elmokit.cli.screen import Screen
    from elmokit.training import Report

Corpus = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS...", help='Files, folders or patterns; a text a line, also .gz .xz .zst; or "-".'),
]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder of the new model.")]
Words = Annotated[float | None, typer.Option("--words", help="Words to train on in all, for instance 5e6.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="After warm-up.")]
Rows = Annotated[int | None, typer.Option("--rows", help="Texts read side by side (batch size).")]
Weights = Annotated[
    list[str], typer.Option("--weight", help="NAME=N: read the source (file name up to its first dot) N times.")
]
Column = TextColumn
BadRows = Annotated[str, typer.Option(metavar="stop|skip", help="What to do with a line that can't be read.")]
Heldout = Annotated[int, typer.Option("--heldout-every", help="One text in so many is held out to measure perplexity.")]
Precision = Annotated[str, typer.Option(help='"float32", "bfloat16", or "auto": bfloat16 where the processor has it.')]
Device = Annotated[str, typer.Option(help='"cpu", "cuda" or "cuda:N".')]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest snapshot in --out.")]
Seed = Annotated[int, typer.Option(help="Of weights, order, negatives and dropout.")]
SaveMinutes = Annotated[float, typer.Option(help="Time between snapshots.")]
TensorBoard = Annotated[
    str | None, typer.Option("--tensorboard", metavar="FOLDER", help="Also write event files there.")
]


def train(
    ctx: typer.Context,
    corpus: Corpus,
    out: Out,
    preset: Annotated[str, typer.Option(help="Size: tiny, default, small, medium or original.")] = "default",
    name: Annotated[str, typer.Option(help="Of the model.")] = "",
    tokenizer: Annotated[str | None, typer.Option(help="default, whitespace or characters.")] = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="A file of the softmax's words; else the most frequent ones.")
    ] = None,
    word_vectors: Annotated[
        str | None, typer.Option(help="A word2vec or fastText file in text form to begin with.")
    ] = None,
    words: Words = None,
    learning_rate: Rate = None,
    rows: Rows = None,
    weight: Weights = [],  # noqa: B006 - typer copies it
    column: Column = "text",
    bad_rows: BadRows = "stop",
    heldout_every: Heldout = 500,
    precision: Precision = "auto",
    device: Device = "cpu",
    resume: Resume = False,
    seed: Seed = 0,
    save_minutes: SaveMinutes = 10.0,
    tensorboard: TensorBoard = None,
) -> None:
    """Train a biLM on your own corpus (needs the extra "torch").

    Indexes the corpus, trains, keeps snapshots in OUT/run, and writes the checkpoint to OUT. Ctrl-C saves;
    --resume goes on. On several GPUs or machines: torchrun ... -m elmokit train ...

    Example:  elmokit train tweets.txt --out my-model --preset tiny
    """
    from elmokit.training import get_preset, train

    chosen = get_preset(preset, tokenizer=tokenizer)
    options = _changed(chosen.options, words, learning_rate, rows, precision, seed, save_minutes)
    screen: Screen = ctx.obj
    with _reporting(screen, tensorboard, options.n_words) as tell:
        report = train(
            _corpus(corpus, weight, column, bad_rows, heldout_every),
            out,
            config=chosen.config,
            options=options,
            vocabulary=vocabulary,
            word_vectors=word_vectors,
            device=device,
            resume=resume,
            name=name,
            on_report=tell,
            on_index=_index_progress(screen),
        )
    _draw_curve(screen, out)
    screen.done(f"{out}: {_line(report, options.n_words)}")


def tune(
    ctx: typer.Context,
    corpus: Corpus,
    out: Out,
    model: Annotated[str, typer.Option("--model", help='The model to begin with: "default" or a folder.')] = "default",
    words: Annotated[float, typer.Option("--words", help="Words to train on in all.")] = 500_000,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="After warm-up.")] = 5e-4,
    rows: Annotated[int, typer.Option("--rows", help="Texts read side by side (batch size).")] = 32,
    weight: Weights = [],  # noqa: B006 - typer copies it
    column: Column = "text",
    bad_rows: BadRows = "stop",
    heldout_every: Heldout = 50,
    precision: Precision = "auto",
    device: Device = "cpu",
    resume: Resume = False,
    seed: Seed = 0,
    save_minutes: SaveMinutes = 10.0,
    tensorboard: TensorBoard = None,
) -> None:
    """Go on training a model on your own texts (needs the extra "torch").

    Prints the held-out perplexity before and after. A model without softmax weights (published ones) first
    gets a fresh softmax, fitted on a fifth of the words with the biLM frozen.

    Example:  elmokit tune tweets.csv --column tweet --model default --out tuned-model
    """
    from elmokit.checkpoints import load
    from elmokit.elmo import EMBEDDED
    from elmokit.training import TrainingOptions, tune

    screen: Screen = ctx.obj
    start = load(EMBEDDED if model == "default" else model)
    fresh = start.softmax is None
    options = TrainingOptions(
        n_rows=rows, n_words=int(words), decay=0.5, warmup=50, frozen_words=int(words) // 5 if fresh else 0,
        evaluate_words=max(int(words) // 5, 1), learning_rate=learning_rate, precision=precision, seed=seed,
        save_minutes=save_minutes,
    )  # fmt: skip
    if fresh:
        screen.note("the model has no softmax weights: a fresh softmax is fitted first, with the biLM frozen")
    with _reporting(screen, tensorboard, options.n_words) as tell:
        report = tune(
            start,
            _corpus(corpus, weight, column, bad_rows, heldout_every),
            out,
            options=options,
            device=device,
            resume=resume,
            on_report=tell,
            on_index=_index_progress(screen),
        )
    _draw_curve(screen, out)
    screen.done(f"{out}: {_line(report, options.n_words)}")


def _corpus(files: list[str], weights: list[str], column: str, bad_rows: str, heldout_every: int) -> Any:
    from elmokit.errors import ConfigError
    from elmokit.training import Corpus

    found: dict[str, float] = {}
    for pair in weights:
        name, _, number = pair.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise ConfigError(f"--weight is {pair!r}; expected NAME=NUMBER, for instance tweets=2.") from None
    if bad_rows not in ("stop", "skip"):
        raise ConfigError(f"--bad-rows is {bad_rows!r}; expected stop or skip.")
    policy: Any = bad_rows
    return Corpus(files=files, weights=found, column=column, bad_rows=policy, heldout_every=heldout_every)


def _changed(
    options: Any, words: float | None, rate: float | None, rows: int | None, precision: str, seed: int, minutes: float
) -> Any:
    """A preset's options with what the command line says otherwise."""
    from dataclasses import replace

    changes: dict[str, Any] = {"precision": precision, "seed": seed, "save_minutes": minutes}
    if words is not None:
        changes["n_words"] = int(words)
    if rate is not None:
        changes["learning_rate"] = rate
    if rows is not None:
        changes["n_rows"] = rows
    return replace(options, **changes)


def _index_progress(screen: Screen) -> Callable[[str, int], None]:
    import sys
    import time

    said = [time.monotonic()]

    def tell(source: str, n_words: int) -> None:
        if not screen.quiet and sys.stderr.isatty() and time.monotonic() - said[0] > 1:
            said[0] = time.monotonic()
            typer.echo(f"indexing {source}: {n_words:,} words", err=True)

    return tell


def _reporting(screen: Screen, tensorboard: str | None, n_words: int) -> Any:
    """A context whose function prints each report, and writes event files where asked."""
    from contextlib import contextmanager

    @contextmanager
    def reporting() -> Any:
        events = None
        if tensorboard is not None:
            from elmokit.training.tensorboard import EventFiles

            events = EventFiles(tensorboard)

        def tell(report: Report) -> None:
            if not screen.quiet:
                typer.echo(_line(report, n_words), err=True)
            if events is not None:
                events.add(report)

        try:
            yield tell
        finally:
            if events is not None:
                events.close()

    return reporting()


def _line(report: Report, n_words: int) -> str:
    """One report as a line of text."""
    import resource
    import sys

    parts = [f"{report.n_words:,} of {n_words:,} words"]
    if report.step:
        left = (n_words - report.n_words) / max(report.words_per_second, 1e-9) / 60
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
        parts += [
            f"loss {report.loss:.3f}",
            f"learning rate {report.learning_rate:.2g}",
            f"{report.words_per_second:,.0f} words/s",
            f"{max(left, 0):.0f} min left",
            f"{peak:.1f} GiB",
        ]
    if report.heldout is not None:
        parts.append(
            "held-out perplexity " + ", ".join(f"{name} {value:.1f}" for name, value in report.heldout.items())
        )
    return " · ".join(parts)


def _draw_curve(screen: Screen, out: str) -> None:
    """The loss as a picture beside the checkpoint, where matplotlib is installed."""
    from importlib.util import find_spec
    from pathlib import Path

    if find_spec("matplotlib") is not None:
        from elmokit.training.curve import draw_curve

        draw_curve(Path(out) / "run" / "log.jsonl", Path(out) / "loss.png")
    else:
        screen.note("no picture of the loss: install it with  pip install 'elmokit[plots]'")
