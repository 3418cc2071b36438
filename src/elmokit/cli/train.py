"""`elmokit train` and `elmokit tune`: text → a biLM, and a biLM → one that knows your texts."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elmokit.cli import options as shared
from elmokit.cli.app import argument, option
from elmokit.cli.screen import screen
from elmokit.errors import ConfigError

if TYPE_CHECKING:
    from elmokit.training import Corpus, TrainingOptions, TrainingReport

_ENDLESS = 10**15  # words of a run that a time limit ends
CORPUS = argument("CORPUS...", 'Files, folders or patterns; a text a line, also .gz .xz .zst; or "-".')
Out = Annotated[str, typer.Option("--out", "-o", help="Folder to write the model to.", metavar="FOLDER")]


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How to read the corpus."""

    weight: list[str] | None = option(None, "NAME=N: read a source (file name up to its first dot) N times per epoch.")
    column: shared.TextColumn = "text"
    encoding: shared.Encoding = "utf-8"
    bad_rows: str = option("stop", "What to do with rows that can't be read.", metavar="stop|skip")
    heldout_every: int = option(500, "Hold out one text in so many to measure perplexity.", min=0)

    def corpus(self, files: list[str]) -> Corpus:
        """The corpus that the options describe."""
        from elmokit.training import Corpus

        if self.bad_rows not in ("stop", "skip"):
            raise ConfigError(f"--bad-rows is {self.bad_rows!r}; expected stop or skip.")
        same = {name: getattr(self, name) for name in ("column", "encoding", "bad_rows", "heldout_every")}
        return Corpus(files=files, weights=numbers_by_name("--weight", self.weight, example="tweets=2"), **same)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How long, how fast and where to train."""

    words: float | None = option(None, "Total number of words to train on, such as 5e6.")
    minutes: float | None = option(None, "Time limit, the teacher included.")
    learning_rate: float | None = option(None, "Peak learning rate.")
    batch_size: int | None = option(None, "Sequences per batch.", "--batch-size", "--rows", min=1)
    precision: str = option("auto", '"float32", "bfloat16", or "auto": bfloat16 where it is fast.')
    device: str = option("cpu", '"cpu", "cuda" or "cuda:N".')
    resume: bool = option(False, "Continue from the newest snapshot in --out.", "--resume")
    seed: shared.Seed = 0
    save_minutes: float = option(10.0, "Minutes between snapshots.")

    def changed(self, options: TrainingOptions, **more: Any) -> TrainingOptions:
        """The training options with what the command line says otherwise."""
        words = int(self.words) if self.words is not None else _ENDLESS if self.minutes is not None else None
        given = {"n_words": words, **vars(self), **more}
        known = {one.name for one in fields(options)}
        return replace(options, **{x: value for x, value in given.items() if x in known and value is not None})


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions:
    """Which model to train."""

    preset: str = option("default", "Size: tiny, default, small, medium or original.")
    name: str = option("", "Name of the model.")
    tokenizer: str | None = option(None, "default, whitespace or characters.")
    word_table: int | None = option(None, "Frequent words with own vectors, tied to the softmax; 0: none.", min=0)
    teacher: str | None = option(None, "Also learn from a sentence-transformers folder, .npy or .vec.", metavar="PATH")
    loss_weight: list[str] | None = option(None, "NAME=N: weight of the loss lm, text, contrast, similarity or word.")


def train(
    *, corpus: list[str] = CORPUS, out: Out, model: PretrainingOptions, run: RunOptions, reading: CorpusOptions
) -> None:
    """Train a biLM on your own corpus (needs the extra "torch").

    Indexes the corpus, trains, keeps snapshots in OUT/run, and writes the checkpoint to OUT. Ctrl-C saves;
    --resume continues. On several GPUs or machines: torchrun ... -m elmokit train ...

    Example:  elmokit train tweets.txt --out my-model --preset tiny
    """
    from elmokit.training import get_preset, train

    preset = get_preset(model.preset, tokenizer=model.tokenizer)
    weights = numbers_by_name("--loss-weight", model.loss_weight, example="text=2")
    options = run.changed(preset.options, loss_weights=weights, vocabulary_size=model.word_table or None)
    config = preset.config if model.word_table is None else replace(preset.config, word_table=model.word_table)
    given = {name: getattr(model, name) for name in ("name", "teacher")}
    work = partial(train, reading.corpus(corpus), out, config=config, options=options, **given)
    _trained(work, out, run, options.n_words)


def tune(
    *,
    corpus: list[str] = CORPUS,
    out: Out,
    model: str = option("default", 'Model to start from: "default" or a folder.'),
    run: RunOptions = RunOptions(words=500_000, learning_rate=5e-4, batch_size=32),
    reading: CorpusOptions = CorpusOptions(heldout_every=50),
) -> None:
    """Continue training a model on your own texts (needs the extra "torch").

    Prints the held-out perplexity before and after. A model without softmax weights (published ones) first
    gets a new softmax, fitted on a fifth of the words with the biLM frozen.

    Example:  elmokit tune tweets.csv --column tweet --model default --out tuned-model
    """
    from elmokit.checkpoints import load
    from elmokit.elmo import EMBEDDED
    from elmokit.training import TrainingOptions, tune

    start = load(EMBEDDED if model == "default" else model)
    fifth = max(int(run.words or 500_000) // 5, 1)
    frozen = fifth if start.softmax is None else 0
    options = run.changed(TrainingOptions(decay=0.5, warmup=50, frozen_words=frozen, evaluate_words=fifth))
    if frozen:
        screen.note("the model has no softmax weights: a new softmax is fitted first, with the biLM frozen")
    _trained(partial(tune, start, reading.corpus(corpus), out, options=options), out, run, options.n_words)


def numbers_by_name(option: str, pairs: list[str] | None, *, example: str) -> dict[str, float]:
    """Parse the NAME=NUMBER values of an option; a ConfigError for another form."""
    numbers: dict[str, float] = {}
    for pair in pairs or ():
        name, _, number = pair.rpartition("=")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise ConfigError(f"{option} is {pair!r}; expected NAME=NUMBER, for instance {example}.") from None
    return numbers


def _trained(work: Callable[..., TrainingReport], out: str, run: RunOptions, n_words: int) -> None:
    """Train with reports (on a terminal in one line) and a picture of the loss."""
    from elmokit.plots import draw_curve

    one_line = sys.stderr.isatty() and not screen.quiet

    def show(line: str) -> None:
        if one_line:  # the cursor stays in the line
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]:<{width}}", end="", file=sys.stderr, flush=True)  # noqa: T201

    def tell(report: TrainingReport) -> None:
        line = _line(report, n_words)
        show(line)
        if not one_line or report.heldout is not None:
            screen.report(f"\n{line}" if one_line else line)

    with ExitStack() as stack:
        if one_line:
            stack.callback(sys.stderr.write, "\n")
        reports: Any = {"on_report": tell, "on_progress": lambda stage, done, _: show(f"{stage}: {done:,}")}
        report = work(device=run.device, resume=run.resume, **reports)
    if find_spec("matplotlib") is not None:
        draw_curve(Path(out) / "run" / "log.jsonl", Path(out) / "loss.png")
    else:
        screen.note("no picture of the loss: install it with  pip install 'elmokit[plots]'")
    screen.done(f"{out}: {_line(report, n_words)}")


def _line(report: TrainingReport, n_words: int) -> str:
    known = n_words < _ENDLESS
    parts = [f"{report.n_words:,} of {n_words:,} words" if known else f"{report.n_words:,} words"]
    if report.step:
        left = max(n_words - report.n_words, 0) / max(report.words_per_second, 1e-9) / 60
        ending = f"{left:.0f} min left" if known else f"{report.minutes:.1f} min"
        parts += [f"loss {report.loss:.3f}", f"{report.words_per_second:,.0f} words/s", ending]
        parts.append(f"learning rate {report.learning_rate:.2g}")
    if report.heldout is not None:
        values = ", ".join(f"{name} {value:.1f}" for name, value in report.heldout.items())
        parts.append(f"held-out perplexity {values}")
    if report.teacher_similarity is not None:
        parts.append(f"similarity to the teacher {report.teacher_similarity:.3f}")
    return " · ".join(parts)
