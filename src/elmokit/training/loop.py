"""The training run: windows → losses → steps, with snapshots, held-out perplexity and a clean stop.

A run is a folder: `run.json` (its settings), `store/` (the indexed corpus), `vocabulary.txt`, `step-*.safetensors`
(snapshots: the newest few and the best), `log.jsonl` (a line per report). Everything random comes from the seed and
is kept in the snapshots, so a run that is killed and resumed takes the very steps that it would have taken.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from elmokit.config import ElmoConfig
from elmokit.errors import TrainingError
from elmokit.training.objective import BatchMaker, LanguageModel, States
from elmokit.training.snapshot import (
    optimizer_tensors,
    read_snapshot,
    restore_optimizer,
    snapshots,
    write_snapshot,
)
from elmokit.training.store import Store
from elmokit.training.stream import Position, Stream
from elmokit.nn.bilstm import TowerState
from elmokit.text.vocab import Vocabulary


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a biLM is trained; the sizes of the model are its `ElmoConfig`.

    Args:
        n_rows: B, texts read side by side.
        unroll: words of truncated backpropagation.
        segment: words that a row reads before its state is set to zero.
        n_words: words to train on in all, counted per direction.
        vocabulary_size: words of the softmax, the special ones included.
        n_negatives: words proposed per step by the sampled softmax.
        learning_rate: of AdamW, after warm-up.
        warmup: steps until the learning rate is reached.
        decay: last part of the run in which the learning rate falls linearly to zero.
        weight_decay: on matrices.
        clip_norm: bound on the gradient's norm.
        dropout: see `LanguageModel`.
        precision: "float32", "bfloat16", or "auto" (bfloat16 where the processor computes in it).
        accumulate: windows whose gradients are added up for one step.
        seed: of weights, order, negatives and dropout.
        save_minutes: time between snapshots.
        keep: newest snapshots kept.
        evaluate_words: words between two held-out evaluations.
        heldout_windows: windows of a held-out evaluation at most.
    """

    n_rows: int = 128
    unroll: int = 32
    segment: int = 128
    n_words: int = 10_000_000
    vocabulary_size: int = 30_000
    n_negatives: int = 2048
    learning_rate: float = 2e-3
    warmup: int = 200
    decay: float = 0.2
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float = 0.1
    precision: str = "auto"
    accumulate: int = 1
    seed: int = 0
    save_minutes: float = 10.0
    keep: int = 2
    evaluate_words: int = 1_000_000
    heldout_windows: int = 40


@dataclass(frozen=True)
class Report:
    """What a run says of itself, every few seconds and at each evaluation.

    Args:
        step: steps taken.
        n_words: words read.
        loss: mean sampled loss since the last report, in nats.
        learning_rate: now.
        words_per_second: since the last report.
        heldout: held-out perplexity by direction ("forward", "backward", "mean"), where just measured.
        minutes: since the start of the run, resumed parts included.
    """

    step: int
    n_words: int
    loss: float
    learning_rate: float
    words_per_second: float
    minutes: float
    heldout: Mapping[str, float] | None = None


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products run in, or None for float32.

    Args:
        precision: "float32", "bfloat16" or "auto".
        device: where they run.

    Raises:
        TrainingError: another precision.
    """
    if precision not in ("float32", "bfloat16", "auto"):
        raise TrainingError(f"precision is {precision!r}; expected 'float32', 'bfloat16' or 'auto'.")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@torch.no_grad()
def heldout_perplexity(
    model: LanguageModel, stream: Stream, make_batch: BatchMaker, *, max_windows: int, device: torch.device
) -> dict[str, float]:
    """Perplexity with the full softmax: exp of the mean loss per word, `</S>` (backward: `<S>`) included.

    Words outside the vocabulary count as `<UNK>`, as in bilm-tf.

    Args:
        model: the language model.
        stream: of held-out texts; read once at most.
        make_batch: windows → batches.
        max_windows: windows read at most.
        device: where the model is.

    Returns:
        perplexity by "forward", "backward" and "mean" (of the two losses).
    """
    model.eval()
    losses, counts = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    states = model.initial_states(stream.n_rows)
    for number, window in enumerate(stream.windows()):
        if number >= max_windows or window.position.epoch > 0:
            break
        states = model.initial_states(stream.n_rows) if window.fresh else states
        loss, count, states = model(make_batch(window).to(device), states, None)
        losses += loss.double().cpu()
        counts += count.cpu()
    model.train()
    each = (losses / counts.clamp(min=1)).tolist()
    return {"forward": math.exp(each[0]), "backward": math.exp(each[1]), "mean": math.exp(sum(each) / 2)}


class Trainer:
    """One run: takes steps until the words are read, from a fresh start or from its newest snapshot.

    Args:
        config: of the biLM.
        options: how to train.
        store: the corpus.
        vocabulary: of the softmax.
        folder: the run's folder.
        weights: how often each source is read; see `Stream`.
        device: where to train.
    """

    def __init__(
        self,
        config: ElmoConfig,
        options: TrainingOptions,
        store: Store,
        vocabulary: Vocabulary,
        folder: Path,
        *,
        weights: Mapping[str, float] | None = None,
        device: str = "cpu",
    ) -> None:
        if options.segment % options.unroll:
            raise TrainingError(f"segment ({options.segment}) must be a multiple of unroll ({options.unroll}).")
        torch.manual_seed(options.seed)
        self.options, self.folder, self.device = options, folder, torch.device(device)
        self.vocabulary = vocabulary
        self.model = LanguageModel(config, len(vocabulary), n_negatives=options.n_negatives, dropout=options.dropout)
        self.model.to(self.device)
        n_characters = config.char_cnn.max_characters if config.char_cnn else 3
        self.make_batch = BatchMaker(store, store.targets(vocabulary), n_characters)
        sizes = {"n_rows": options.n_rows, "unroll": options.unroll, "segment": options.segment}
        self.stream = Stream(store, **sizes, seed=options.seed, weights=weights)
        self.heldout = Stream(store, **sizes, part="heldout") if store.n_texts("heldout") else None
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98), fused=True)
        self.generator = torch.Generator().manual_seed(options.seed + 1)
        self.autocast = autocast_type(options.precision, self.device)
        self.states = self.model.initial_states(options.n_rows)
        self.position = Position()
        self.step, self.n_words, self.seconds = 0, 0, 0.0
        self.best = math.inf
        self._stop = False

    def run(self, on_report: Callable[[Report], None] | None = None, *, report_seconds: float = 10.0) -> Report:
        """Train until the words are read, or until asked to stop.

        SIGINT and SIGTERM end the run after the step at hand, with a snapshot.

        Args:
            on_report: called with each report.
            report_seconds: time between reports.

        Returns:
            the last report, with held-out perplexity.

        Raises:
            TrainingError: the loss is no number. The last snapshot is kept.
            KeyboardInterrupt: asked to stop; the snapshot is written.
        """
        started = time.monotonic() - self.seconds
        said, saved = time.monotonic(), time.monotonic()
        loss_sum, n_said, words_said = 0.0, 0, self.n_words
        next_evaluation = (self.n_words // self.options.evaluate_words + 1) * self.options.evaluate_words
        with self._stopping_on_signals():
            windows = self.stream.windows(self.position)
            while self.n_words < self.options.n_words:
                loss, rate = self._step(windows)
                loss_sum, n_said = loss_sum + loss, n_said + 1
                now = time.monotonic()
                self.seconds = now - started
                evaluate = self.n_words >= next_evaluation or self.n_words >= self.options.n_words
                if evaluate or now - said >= report_seconds:
                    speed = (self.n_words - words_said) / max(now - said, 1e-9)
                    report = Report(self.step, self.n_words, loss_sum / n_said, rate, speed, self.seconds / 60)
                    if evaluate:
                        report = replace(report, heldout=self.evaluate())
                        next_evaluation += self.options.evaluate_words
                        self._keep_best(report)
                    self._say(report, on_report)
                    said, words_said, loss_sum, n_said = time.monotonic(), self.n_words, 0.0, 0
                if self._stop or now - saved >= self.options.save_minutes * 60:
                    self.save()
                    saved = time.monotonic()
                if self._stop:
                    raise KeyboardInterrupt
        self.save()
        return report

    def _step(self, windows: Iterator[Any]) -> tuple[float, float]:
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        total, n = 0.0, 0
        for _ in range(self.options.accumulate):
            window = next(windows)
            if window.fresh:
                self.states = self.model.initial_states(self.options.n_rows)
            batch = self.make_batch(window).to(self.device)
            negatives = self.model.softmax.draw(self.generator)
            with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
                losses, counts, self.states = self.model(batch, self.states, negatives)
            loss = losses.sum() / counts.sum()
            (loss / self.options.accumulate).backward()
            total += float(loss.detach())
            n += int(counts[0])
            self.position = replace(window.position, window=window.position.window + 1)
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss became {total} at step {self.step} (learning rate {rate:.2g}). The last snapshot in"
                f" {self.folder} is kept: resume from it with a lower learning rate."
            )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.n_words = self.step + 1, self.n_words + n
        return total / self.options.accumulate, rate

    def _learning_rate(self) -> float:
        """Warm-up, constant, then linear decay over the last part of the words."""
        o = self.options
        left = 1.0 - self.n_words / max(o.n_words, 1)
        return o.learning_rate * min(1.0, (self.step + 1) / max(o.warmup, 1), max(left / o.decay, 0.0) if o.decay else 1.0)

    def evaluate(self) -> dict[str, float] | None:
        """Held-out perplexity now; None where nothing is held out."""
        if self.heldout is None:
            return None
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            return heldout_perplexity(
                self.model, self.heldout, self.make_batch, max_windows=self.options.heldout_windows, device=self.device
            )

    def _say(self, report: Report, on_report: Callable[[Report], None] | None) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(report)) + "\n")
        if on_report is not None:
            on_report(report)

    def _keep_best(self, report: Report) -> None:
        if report.heldout is not None and report.heldout["mean"] < self.best:
            self.best = report.heldout["mean"]
            self._write(self.folder / "best.safetensors", self._weights())

    def _weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}

    def _write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        facts = {"step": self.step, "n_words": self.n_words, "seconds": self.seconds, "best": self.best}
        write_snapshot(path, tensors, {**facts, "position": asdict(self.position)})

    def save(self) -> None:
        """Write a snapshot and drop the oldest ones."""
        tensors = {**self._weights(), **optimizer_tensors(self.optimizer)}
        for name, state in zip(("forward", "backward"), self.states, strict=True):
            tensors[f"state.{name}.hidden"], tensors[f"state.{name}.cell"] = state.hidden, state.cell
        tensors["random.torch"], tensors["random.negatives"] = torch.get_rng_state(), self.generator.get_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        self._write(self.folder / f"step-{self.step:09d}.safetensors", tensors)
        for old in snapshots(self.folder)[: -self.options.keep]:
            old.unlink()

    def resume(self) -> bool:
        """Go back to the newest whole snapshot of the folder.

        Returns:
            whether there was one.
        """
        for path in reversed(snapshots(self.folder)):
            try:
                tensors, facts = read_snapshot(path)
            except TrainingError:
                continue
            self._restore(tensors, facts)
            return True
        return False

    def _restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.model.load_state_dict({k.removeprefix("model."): t for k, t in tensors.items() if k.startswith("model.")})
        restore_optimizer(self.optimizer, tensors)
        self.states = _states_from(tensors, self.device)
        torch.set_rng_state(tensors["random.torch"])
        self.generator.set_state(tensors["random.negatives"])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.position = Position(**facts["position"])
        self.step, self.n_words = facts["step"], facts["n_words"]
        self.seconds, self.best = facts["seconds"], facts["best"]

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        def ask(_signal: int, _frame: FrameType | None) -> None:
            self._stop = True

        try:
            before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: the caller handles signals
            before = {}
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)


def _states_from(tensors: Mapping[str, Tensor], device: torch.device) -> States:
    forward, backward = (
        TowerState(tensors[f"state.{name}.hidden"].to(device), tensors[f"state.{name}.cell"].to(device))
        for name in ("forward", "backward")
    )
    return forward, backward
