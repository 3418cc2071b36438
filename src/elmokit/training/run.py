"""`train` and `tune`: from names of corpus files to a checkpoint folder.

The run's own files (index, snapshots, log) lie in `OUT/run`; the checkpoint in native format in `OUT` itself. Both
functions resume: called again with the same arguments they go on from the newest snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from elmokit.checkpoints import Checkpoint, Softmax, save
from elmokit.config import ElmoConfig
from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path
from elmokit.text.vocab import Vocabulary
from elmokit.training.identity import IDENTITY, check_identity, check_vocabulary, identity_of, locked
from elmokit.training.loop import BEST, Trainer
from elmokit.training.options import Report, TrainingOptions
from elmokit.training.snapshot import model_tensors, read_snapshot, snapshots
from elmokit.training.sources import check_weights, open_store
from elmokit.training.store import Store
from elmokit.training.team import Team, joined_team
from elmokit.training.word_vectors import begin_with, read_word_vectors

OnReport = Callable[[Report], None]


VOCABULARY = "vocabulary.txt"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is read in training.

    Args:
        files: paths, folders, globs or "-"; one text a line, or tables with a column of texts.
        weights: how often each source (a file's name up to its first dot) is read per epoch; 1 where not named.
        column: the column of texts, in files that have columns.
        bad_rows: "stop" at a line that can't be read, or "skip" it.
        heldout_every: one text in so many is held out, by hash.
        n_processes: processes that cut texts into words.
    """

    files: Sequence[str | Path]
    weights: Mapping[str, float] | None = None
    column: str = "text"
    bad_rows: Literal["stop", "skip"] = "stop"
    heldout_every: int = 500
    n_processes: int = 2


def train(
    corpus: Corpus,
    out: str | Path,
    *,
    config: ElmoConfig,
    options: TrainingOptions,
    vocabulary: str | Path | None = None,
    word_vectors: str | Path | None = None,
    device: str = "cpu",
    resume: bool = False,
    name: str = "",
    on_report: OnReport | None = None,
    on_index: Callable[[str, int], None] | None = None,
) -> Report:
    """Train a biLM from a corpus.

    Args:
        corpus: what to read.
        out: folder of the checkpoint; made if it is not there.
        config: the model's sizes and tokenizer; see `elmokit.training.presets`.
        options: how to train.
        vocabulary: a file of words for the softmax; None takes the corpus's most frequent ones.
        word_vectors: a word2vec or fastText file (text form) to begin with; see `elmokit.training.word_vectors`.
        device: "cpu", "cuda" or "cuda:N".
        resume: go on from the newest snapshot in `out`; without one, start.
        name: of the model.
        on_report: called with each report.
        on_index: called while the corpus is indexed; see `build_store`.

    Returns:
        the last report; the checkpoint is in `out`.

    Raises:
        OutputError: `out` holds a run and `resume` was not asked for.
        InputError: a corpus that can't be read.
        TrainingError: training that can't go on.
    """

    def begin(trainer: Trainer, words: Vocabulary) -> None:
        if word_vectors is not None:
            begin_with(trainer.model, read_word_vectors(word_vectors), words, seed=options.seed)

    return _run(corpus, Path(out), config, options, vocabulary, device, resume, name, begin, on_report, on_index)


def tune(
    start: Checkpoint,
    corpus: Corpus,
    out: str | Path,
    *,
    options: TrainingOptions,
    device: str = "cpu",
    resume: bool = False,
    on_report: OnReport | None = None,
    on_index: Callable[[str, int], None] | None = None,
) -> Report:
    """Go on training a checkpoint's biLM on in-domain text.

    The softmax gets the corpus's own vocabulary; words that the checkpoint's softmax knows keep their vectors, and
    others begin as likely as known words of the same count. A checkpoint without softmax (as published ones are)
    starts with a fresh one: give `options.frozen_words`, so that it is fitted before the biLM moves.

    Args:
        start: the checkpoint to begin with.
        corpus: what to read.
        out: folder of the new checkpoint.
        options: how to train.
        device: "cpu", "cuda" or "cuda:N".
        resume: go on from the newest snapshot in `out`.
        on_report: called with each report; the first one, before any step, holds the perplexity at the start.
        on_index: called while the corpus is indexed.

    Returns:
        the last report; the checkpoint is in `out`.
    """

    def begin(trainer: Trainer, vocabulary: Vocabulary) -> None:
        _start_from(trainer, start, vocabulary)
        heldout = trainer.evaluate()
        if on_report is not None and trainer.team.leads:
            on_report(Report(0, 0, float("nan"), trainer.learning_rate(), 0.0, 0.0, heldout=heldout))

    known = start.words if start.config.word_table else None
    return _run(
        corpus, Path(out), start.config, options, None, device, resume, start.name, begin, on_report, on_index, known
    )


def _run(
    corpus: Corpus,
    out: Path,
    config: ElmoConfig,
    options: TrainingOptions,
    vocabulary_file: str | Path | None,
    device: str,
    resume: bool,
    name: str,
    begin: Callable[[Trainer, Vocabulary], None],
    on_report: OnReport | None,
    on_index: Callable[[str, int], None] | None,
    known_words: Sequence[str] | None = None,
) -> Report:
    folder = out / "run"
    if snapshots(folder) and not resume:
        raise OutputError(f"{out}: holds a training run already. Resume it (--resume), or choose another folder.")
    _make_folder(folder)
    with joined_team(device) as team, locked(folder) if team.leads else nullcontext():
        if team.leads:
            if not snapshots(folder):
                (folder / IDENTITY).unlink(missing_ok=True)  # of a run that never took a step
            check_identity(folder, identity_of(config, options, corpus.weights or {}))
            if resume:
                check_vocabulary(folder / VOCABULARY, vocabulary_file, known_words or ())
        team.wait()
        store = _store_of(corpus, folder, config, team, on_index)
        check_weights(corpus.weights or {}, store)
        vocabulary = _vocabulary_of(store, folder, vocabulary_file, options, team, known_words or ())
        if config.word_table:
            config = replace(config, word_table=len(vocabulary))
        trainer = Trainer(config, options, store, vocabulary, folder, weights=corpus.weights, device=device, team=team)
        if not (resume and trainer.resume()):
            begin(trainer, vocabulary)
        report = trainer.run(on_report)
        if team.leads:
            facts = _facts(corpus, options, report, store, device, team)
            save(checkpoint_of(folder, config, vocabulary, name=name, facts=facts), out)
    return report


def checkpoint_of(
    folder: str | Path, config: ElmoConfig, vocabulary: Vocabulary, *, name: str, facts: Mapping[str, Any]
) -> Checkpoint:
    """The checkpoint of a run: its best weights by held-out perplexity, else its newest.

    Args:
        folder: of the run.
        config: of the biLM.
        vocabulary: of the softmax.
        name: of the model.
        facts: about the training.

    Returns:
        the checkpoint, with softmax.

    Raises:
        TrainingError: the folder has no snapshot.
    """
    best = Path(folder) / BEST
    path = best if best.exists() else next(iter(reversed(snapshots(Path(folder)))), None)
    if path is None:
        raise TrainingError(f"{folder}: no snapshot to make a checkpoint from; train first.")
    tensors = model_tensors(read_snapshot(path)[0])
    arrays = {key: tensor.float().numpy() for key, tensor in tensors.items()}
    return Checkpoint(
        config=config,
        tensors={key: arrays[f"bilm.{key}"] for key in config.tensor_shapes()},
        words=vocabulary.words,
        word_counts=vocabulary.counts,
        softmax=Softmax(weight=arrays["softmax.weight"], bias=arrays["softmax.bias"]),
        name=name,
        metadata=facts,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder can't be created ({error.strerror}).") from error


def _store_of(
    corpus: Corpus, folder: Path, config: ElmoConfig, team: Team, on_index: Callable[[str, int], None] | None
) -> Store:
    """The indexed corpus: made by the leading process, opened by all."""
    if team.leads:
        open_store(
            corpus.files,
            folder / "store",
            tokenizer=config.tokenizer,
            column=corpus.column,
            bad_rows=corpus.bad_rows,
            heldout_every=corpus.heldout_every,
            n_processes=corpus.n_processes,
            on_progress=on_index,
            keep=bool(snapshots(folder)),
        )
    team.wait()
    return Store(folder / "store")


def _vocabulary_of(
    store: Store,
    folder: Path,
    given: str | Path | None,
    options: TrainingOptions,
    team: Team,
    known_words: Sequence[str],
) -> Vocabulary:
    """The softmax's words: given or the corpus's own, and behind them those that a word table knows already."""
    kept = folder / VOCABULARY
    if team.leads and not kept.exists():
        made = Vocabulary.from_file(given) if given else store.vocabulary(max_size=options.vocabulary_size)
        made = made.extended(known_words)
        with atomic_path(kept) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in made.lines()), encoding="utf-8", newline="\n")
    team.wait()
    return Vocabulary.from_file(kept)


def _start_from(trainer: Trainer, start: Checkpoint, vocabulary: Vocabulary) -> None:
    tensors = dict(start.tensors)
    if start.config.word_table:  # its rows are the softmax's, which follow the new vocabulary below
        tensors["word_table.weight"] = trainer.model.softmax.weight.detach().cpu().numpy()
    trainer.model.bilm.load_tensors(tensors)
    if start.softmax is None or start.words is None:
        return
    places = {word: number for number, word in enumerate(start.words)}
    pairs = [(own, places[word]) for own, word in enumerate(vocabulary.words) if word in places]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    weight, bias = _strangers(start.softmax, theirs, own, vocabulary)
    weight[own], bias[own] = start.softmax.weight[theirs], start.softmax.bias[theirs]
    with torch.no_grad():
        trainer.model.softmax.weight.copy_(torch.from_numpy(weight))
        trainer.model.softmax.bias.copy_(torch.from_numpy(bias))


def _strangers(
    softmax: Softmax, theirs: NDArray[np.int64], own: NDArray[np.int64], vocabulary: Vocabulary
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Softmax rows for words that the checkpoint does not know: as likely as known words of the same count.

    Fresh rows with a bias of 0 would take nearly all the probability, since trained biases lie far below.
    """
    log_counts = np.log(np.maximum(vocabulary.counts or [1] * len(vocabulary.words), 1)).astype(np.float32)
    n = len(log_counts)
    known = (
        (softmax.weight[theirs], softmax.bias[theirs] - log_counts[own]) if len(own) else (softmax.weight, softmax.bias)
    )
    return np.tile(known[0].mean(0), (n, 1)).astype(np.float32), (log_counts + known[1].mean()).astype(np.float32)


def _facts(
    corpus: Corpus, options: TrainingOptions, report: Report, store: Store, device: str, team: Team
) -> dict[str, Any]:
    shown = replace(report, loss=report.loss if report.loss == report.loss else 0.0)
    facts = {
        "corpus": {source.name: source.n_words for source in store.sources},
        "weights": dict(corpus.weights or {}),
        "options": asdict(options),
        "report": asdict(shown),
        "device": device,
        "processes": team.size,
    }
    return dict(json.loads(json.dumps(facts)))
