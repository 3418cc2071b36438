"""`train` and `tune`: from names of corpus files to a checkpoint folder.

The run's own files (index, snapshots, log) lie in `OUT/run`, the checkpoint in native format in `OUT`. Called again
with the same arguments and `resume=True`, both continue from the newest snapshot.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elmokit.checkpoints import Checkpoint, Softmax, save
from elmokit.config import ElmoConfig, LayerMix
from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.files import atomic_path, locked, make_folder, write_json
from elmokit.fitting import prefixed, reading_snapshot
from elmokit.nn.softmax import SampledSoftmax
from elmokit.reading import read_json
from elmokit.text.vocab import Vocabulary, write_words
from elmokit.training.loop import BEST, OnReport, Trainer, process_group, snapshots
from elmokit.training.options import FIXED_OPTIONS, TrainingOptions, TrainingReport
from elmokit.training.sources import Corpus, open_store
from elmokit.training.store import CorpusStore, OnProgress
from elmokit.training.teacher import Teacher, TeacherTargets, build_targets, open_teacher

VOCABULARY = "vocabulary.txt"
_IDENTITY_FORMAT = 2
_WORDS_OF_A_TEXT = 15
_TEACHER_SHARE = 0.4  # share of the minutes that a teacher may take at most


def train(
    corpus: Corpus,
    out: str | Path,
    *,
    config: ElmoConfig,
    options: TrainingOptions,
    teacher: str | Path | None = None,
    device: str = "cpu",
    resume: bool = False,
    name: str = "",
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingReport:
    """Train a biLM from a corpus.

    Args:
        corpus, out: what to read; folder of the checkpoint, created if it does not exist.
        config, options: sizes and tokenizer of the model, how to train; see `elmokit.training.PRESETS`. A word table
            gets the size of the vocabulary.
        teacher: model or vectors to learn from beside the corpus; see `elmokit.training.teacher.open_teacher`.
        device: "cpu", "cuda" or "cuda:N".
        resume: continue from the newest snapshot in `out`; without one, start.
        name: name of the model.
        on_report, on_progress: called with each report; and while the corpus is indexed and the teacher encodes.

    Returns:
        the last report; the checkpoint is in `out`.

    Raises:
        OutputError: `out` holds a run and `resume` is False.
        ConfigError: the run was begun with other options.
        InputError: a corpus or teacher that can't be read.
        TrainingError: training can't go on, or the run was begun by an older version.
    """
    opened = None if teacher is None else open_teacher(teacher, device=device)
    run = _Run(corpus, Path(out), config, options, device, resume, name, on_report, on_progress, teacher=opened)
    return run.execute()


def tune(
    start: Checkpoint,
    corpus: Corpus,
    out: str | Path,
    *,
    options: TrainingOptions,
    device: str = "cpu",
    resume: bool = False,
    on_report: OnReport | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingReport:
    """Continue training a checkpoint's biLM on in-domain text.

    The softmax gets the corpus's own vocabulary; words that the checkpoint's softmax knows keep their vectors, and
    others start as likely as known words of the same count. A checkpoint without softmax (as published ones are)
    starts with a new one: set `options.frozen_words`, so that it is fitted before the biLM changes.

    Arguments, result and errors are those of `train`, but for `start`, the checkpoint to start from, and the first
    report, before any step, which holds the perplexity at the start.
    """
    run = _Run(corpus, Path(out), start.config, options, device, resume, start.name, on_report, on_progress, start)
    return run.execute()


@dataclass(frozen=True)
class _Run:
    """The arguments of `train` or `tune`."""

    corpus: Corpus
    out: Path
    config: ElmoConfig
    options: TrainingOptions
    device: str
    resume: bool
    name: str
    on_report: OnReport | None
    on_progress: OnProgress | None
    start: Checkpoint | None = None
    teacher: Teacher | None = None

    def execute(self) -> TrainingReport:
        """Train, or continue, and write the checkpoint."""
        folder, weights = self.out / "run", self.corpus.weights or {}
        if snapshots(folder) and not self.resume:
            raise OutputError(f"{self.out}: holds a training run. Continue it with --resume, or choose another folder.")
        make_folder(folder)
        busy = f"{self.out}: another process is training in this folder; wait for it, or choose another folder."
        with (
            process_group(self.device) as group,
            locked(folder / "lock", busy) if group.rank == 0 else nullcontext(),
        ):
            if group.rank == 0:
                self._prepare(folder)
            group.barrier()
            store, vocabulary = CorpusStore(folder / "store"), Vocabulary.from_file(folder / VOCABULARY)
            targets = None if self.teacher is None else TeacherTargets(folder / "teacher", store)
            config = replace(self.config, word_table=len(vocabulary)) if self.config.word_table else self.config
            trainer = Trainer(
                config, self.options, store, vocabulary, folder,
                weights=weights, teacher=targets, device=self.device, group=group,
            )  # fmt: skip
            trainer.seconds = 0.0 if targets is None else targets.seconds
            if not (self.resume and trainer.resume()):
                self._begin(trainer, vocabulary)
            report = trainer.fit(self.on_report)
            if group.rank == 0:
                metadata = {
                    "corpus": {source.name: source.n_words for source in store.sources}, "weights": dict(weights),
                    "options": asdict(self.options), "device": self.device, "processes": group.size,
                    "report": asdict(replace(report, loss=report.loss if math.isfinite(report.loss) else 0.0)),
                    "teacher": None if targets is None else targets.identity,
                }  # fmt: skip
                save(self._checkpoint(folder, config, vocabulary, metadata), self.out)
        return report

    def _prepare(self, folder: Path) -> None:
        """Make what all processes read: the indexed corpus, the vocabulary and the teacher's vectors.

        The softmax's words are the corpus's own, and behind them those that a word table knows already.
        """
        begun, o, kept = bool(snapshots(folder)), self.options, folder / VOCABULARY
        if begun:
            self._check_identity(folder)
        else:
            write_json(folder / "identity.json", self._identity(), indent=2)
        store = open_store(
            self.corpus, folder / "store", tokenizer=self.config.tokenizer, on_progress=self.on_progress, keep=begun
        )
        self.corpus.check_weights(store)
        if not (kept.exists() and begun):
            known = self.start.words or () if self.start and self.start.config.word_table else ()
            made = store.vocabulary(max_size=o.vocabulary_size).extended(known)
            with atomic_path(kept) as temporary:
                write_words(temporary, made.words, made.counts)
        if self.teacher is not None:
            seconds, width = o.minutes and o.minutes * 60 * _TEACHER_SHARE, self.config.projection_width
            build_targets(
                self.teacher, store, folder / "teacher", max_words=o.teacher_words, max_word_width=width,
                seed=o.seed, seconds=seconds, on_progress=self.on_progress,
            )  # fmt: skip

    def _identity(self) -> dict[str, Any]:
        """What must stay the same while a run is resumed, as JSON values by name."""
        values: dict[str, Any] = {"format": _IDENTITY_FORMAT}
        values |= {f"model: {name}": value for name, value in self.config.to_dict().items() if name != "word_table"}
        values |= {f"option: {name}": asdict(self.options)[name] for name in FIXED_OPTIONS}
        values["word table"] = bool(self.config.word_table)
        values["teacher"] = None if self.teacher is None else self.teacher.identity
        values["weights of sources"] = {name: float(x) for name, x in sorted((self.corpus.weights or {}).items())}
        return dict(json.loads(json.dumps(values)))

    def _check_identity(self, folder: Path) -> None:
        """Refuse to resume a run that was begun with other values (ConfigError) or by an older elmokit."""
        path, now = folder / "identity.json", self._identity()
        stored = read_json(path, what="identity of a training run", error=TrainingError) if path.exists() else {}
        if stored.get("format") != _IDENTITY_FORMAT:
            raise TrainingError(
                f"{self.out}: the run in this folder was begun by an older elmokit (0.1.0 or before), whose snapshots"
                " this one can't continue. Finish it with that version, or train anew in another folder (a finished"
                " model can be tuned further: `elmokit tune`)."
            )
        if differing := [
            name for name, value in now.items() if stored.get(name, False) != value
        ]:  # older ones lack some
            name, more = differing[0], f" ({len(differing) - 1} more differ)" if differing[1:] else ""
            raise ConfigError(
                f"{self.out}: can't be resumed with another {name}: the run has {stored.get(name)!r}, now it is"
                f" {now[name]!r}{more}. Resume with the values it began with, or choose another folder."
            )

    def _begin(self, trainer: Trainer, vocabulary: Vocabulary) -> None:
        """Set the weights that training starts from, where they are not random."""
        targets = trainer.make_batch.teacher
        if self.start is not None:
            _start_from(trainer, self.start, vocabulary)
            heldout, _ = trainer.evaluate()
            if self.on_report is not None and trainer.group.rank == 0:
                self.on_report(TrainingReport(0, 0, math.nan, trainer.learning_rate(), 0.0, 0.0, heldout=heldout))
        elif targets is not None and targets.widths[1]:
            _start_from_vectors(trainer.model.softmax, *targets.word_list(trainer.make_batch.store), vocabulary)

    def _checkpoint(
        self, folder: Path, config: ElmoConfig, vocabulary: Vocabulary, metadata: Mapping[str, Any]
    ) -> Checkpoint:
        """The best weights by held-out text, else the newest, with the layer mix that a teacher taught."""
        path = folder / BEST if (folder / BEST).exists() else next(iter(reversed(snapshots(folder))), None)
        if path is None:
            raise TrainingError(f"{folder}: no snapshot to make a checkpoint from; train first.")
        with reading_snapshot(path) as (tensors, _):
            arrays = {key: tensor.float().numpy() for key, tensor in prefixed(tensors, "model.").items()}
            if config.word_table:
                arrays["softmax.weight"] = arrays["bilm.word_table.weight"]
            layer_mix = self.start.layer_mix if self.start else LayerMix()
            if "heads.mix" in arrays:
                layer_mix = LayerMix(weights=tuple(arrays["heads.mix"].tolist()))
            weights = {key: arrays[f"bilm.{key}"] for key in config.tensor_shapes()}
            softmax = Softmax(weight=arrays["softmax.weight"], bias=arrays["softmax.bias"])
            words = (vocabulary.words, vocabulary.counts)
            whitening = self.start.whitening if self.start else None
            return Checkpoint(config, weights, layer_mix, *words, softmax, self.name, metadata, whitening)


def _start_from(trainer: Trainer, start: Checkpoint, vocabulary: Vocabulary) -> None:
    """Set the weights of a checkpoint, and for words that its softmax does not know the mean of the known ones."""
    tensors = dict(start.tensors)
    if start.config.word_table:  # its rows are the softmax's, which follow the new vocabulary below
        tensors["word_table.weight"] = trainer.model.softmax.weight.detach().cpu().numpy()
    trainer.model.bilm.load_tensors(tensors)
    if start.softmax is None or start.words is None:
        return
    places = {word: number for number, word in enumerate(start.words)}
    pairs = [(own, places[word]) for own, word in enumerate(vocabulary.words) if word in places]
    own, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    # New words are as likely as known words of the same count: rows with a bias of 0 would take nearly all the
    # probability, since trained biases lie far below.
    weight, bias = start.softmax.weight, start.softmax.bias
    log_counts = np.log(np.maximum(vocabulary.counts or [1] * len(vocabulary), 1)).astype(np.float32)
    known, offset = (weight[theirs], bias[theirs] - log_counts[own]) if len(own) else (weight, bias)
    new_weight = np.tile(known.mean(0), (len(vocabulary), 1)).astype(np.float32)
    new_bias = (log_counts + offset.mean()).astype(np.float32)
    new_weight[own], new_bias[own] = weight[theirs], bias[theirs]
    with torch.no_grad():
        trainer.model.softmax.weight.copy_(torch.from_numpy(new_weight))
        trainer.model.softmax.bias.copy_(torch.from_numpy(new_bias))


def _start_from_vectors(
    softmax: SampledSoftmax, words: Sequence[str], vectors: NDArray[np.float32], vocabulary: Vocabulary
) -> None:
    """Set the softmax's rows of words with vectors (n, D), without their mean and of one length, and all its biases.

    Narrower vectors leave the rest of a row as it is (Mu and Viswanath 2018; Pinter et al. 2017).
    """
    width, centered = vectors.shape[1], vectors - vectors.mean(axis=0)
    rows = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-9) * np.sqrt(width)
    place = {word: row for row, word in enumerate(words)}
    pairs = [(number, place[word]) for number, word in enumerate(vocabulary.words) if word in place]
    own, theirs = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    counts = torch.tensor(vocabulary.counts or [0] * len(vocabulary), dtype=torch.float64) + 1.0
    counts[[vocabulary.bos_id, vocabulary.eos_id]] = counts.sum() / _WORDS_OF_A_TEXT  # not in the counts
    with torch.no_grad():  # rows as long as those of a new softmax
        given = torch.from_numpy(rows.astype(np.float32))[theirs] * softmax.weight.shape[1] ** -0.5
        softmax.weight[own, :width] = given.to(softmax.weight.device)
        softmax.bias.copy_(torch.log(counts / counts.sum()))
