"""The training loop: windows → losses → steps, with snapshots, held-out perplexity and a clean stop.

A run is a folder: `store/` (the indexed corpus), `vocabulary.txt`, `step-*.safetensors` (snapshots, the newest few),
`best.safetensors` (weights of the best held-out perplexity), `log.jsonl` (a line per report). Everything random
comes from the seed and is kept in the snapshots, so a run that is killed and resumed takes the very steps that it
would have taken.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError, TrainingError
from elmokit.nn.bilstm import TowerState
from elmokit.text.vocab import Vocabulary
from elmokit.training.objective import BatchMaker, LanguageModel
from elmokit.training.options import Report, TrainingOptions
from elmokit.training.perplexity import heldout_perplexity
from elmokit.training.precision import autocast_type
from elmokit.training.snapshot import (
    model_tensors,
    optimizer_tensors,
    read_snapshot,
    restore_optimizer,
    snapshots,
    write_snapshot,
)
from elmokit.training.store import Store
from elmokit.training.stream import Position, Stream, Window
from elmokit.training.team import ALONE, Team

BEST = "best.safetensors"


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
        team: the processes that train together.
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
        team: Team = ALONE,
    ) -> None:
        if options.n_rows % team.size:
            raise ConfigError(f"n_rows ({options.n_rows}) must be a multiple of the {team.size} processes.")
        if config.char_cnn is None:
            raise ConfigError("training needs a model that reads characters; this one looks words up in a table.")
        torch.manual_seed(options.seed)
        self.options, self.folder, self.device, self.team = options, folder, torch.device(device), team
        self.model = LanguageModel(config, vocabulary.words, n_negatives=options.n_negatives, dropout=options.dropout)
        self.model.to(self.device)
        torch.manual_seed(options.seed + team.rank)  # dropout differs from process to process
        self.make_batch = BatchMaker(store, store.targets(vocabulary), config.char_cnn.max_characters)
        self.stream = self._stream_of(store, "train", weights)
        self.heldout = self._stream_of(store, "heldout", None) if store.n_texts("heldout") else None
        self.optimizer = _make_optimizer(self.model, options)
        self.generator = torch.Generator().manual_seed(options.seed + 1)
        self.autocast = autocast_type(options.precision, self.device)
        self.states = self.model.initial_states(self.n_own_rows)
        self.position = Position()
        self.step, self.n_words, self.seconds, self.gradient_norm = 0, 0, 0.0, 0.0
        self.best = math.inf
        self._stop = False

    def _stream_of(self, store: Store, part: str, weights: Mapping[str, float] | None) -> Stream:
        o = self.options
        return Stream(
            store, n_rows=o.n_rows, unroll=o.unroll, segment=o.segment, seed=o.seed, weights=weights, part=part
        )

    @property
    def n_own_rows(self) -> int:
        """Rows that this process reads."""
        return self.options.n_rows // self.team.size

    def run(self, on_report: Callable[[Report], None] | None = None, *, report_seconds: float = 10.0) -> Report:
        """Train until the words are read, or until asked to stop.

        SIGINT and SIGTERM end the run after the step at hand, with a snapshot.

        Args:
            on_report: called with each report.
            report_seconds: time between reports.

        Returns:
            the last report, with held-out perplexity.

        Raises:
            TrainingError: the loss or the gradient is no number. The last snapshot is kept.
            KeyboardInterrupt: asked to stop; the snapshot is written.
        """
        started = time.monotonic() - self.seconds
        said = saved = time.monotonic()
        losses: list[float] = []
        words_said = self.n_words
        parallel = self._parallel()
        report = Report(self.step, self.n_words, math.nan, self.learning_rate(), 0.0, self.seconds / 60)
        with self._stopping_on_signals():
            windows = self.stream.windows(self.position)
            while self.n_words < self.options.n_words:
                before = self.n_words
                if self._is_frozen() and before >= self.options.frozen_words:
                    parallel = self._parallel()
                losses.append(self._step(parallel, windows))
                now = time.monotonic()
                self.seconds = now - started
                evaluate = self._passed(before, self.options.evaluate_words) or self.n_words >= self.options.n_words
                if evaluate or now - said >= report_seconds:
                    speed = (self.n_words - words_said) / max(now - said, 1e-9)
                    report = Report(
                        step=self.step,
                        n_words=self.n_words,
                        loss=sum(losses) / len(losses),
                        learning_rate=self.learning_rate(),
                        words_per_second=speed,
                        minutes=self.seconds / 60,
                        gradient_norm=self.gradient_norm,
                        heldout=self.evaluate() if evaluate else None,
                    )
                    self._say(report, on_report)
                    said, words_said, losses = time.monotonic(), self.n_words, []
                stop = self._asked_to_stop()
                if stop or now - saved >= self.options.save_minutes * 60:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
        self.save()
        return report

    def _passed(self, before: int, every: int) -> bool:
        return before // every != self.n_words // every

    def _is_frozen(self) -> bool:
        return not self.model.bilm.forward_layers.layer(0).weight_ih.requires_grad

    def _parallel(self) -> nn.Module:
        """The model, joined with its like in the other processes; its biLM frozen while it should be."""
        self.model.bilm.requires_grad_(self.n_words >= self.options.frozen_words)
        return DistributedDataParallel(self.model) if self.team.size > 1 else self.model

    def _step(self, parallel: nn.Module, windows: Iterator[Window]) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.model.train()
        total = sum(self._add_gradients(parallel, next(windows)) for _ in range(self.options.accumulate))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm)
        self.gradient_norm = float(norm)
        if not math.isfinite(total) or not math.isfinite(self.gradient_norm):
            raise TrainingError(
                f"the loss became {total} and the gradient's norm {self.gradient_norm} at step {self.step},"
                f" with a learning rate of {self.learning_rate():.2g}. The last snapshot in {self.folder} is kept:"
                " resume from it with a lower learning rate."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total / self.options.accumulate

    def _add_gradients(self, parallel: nn.Module, window: Window) -> float:
        """Add one window's gradients; the loss is the mean over the targets of all processes."""
        if window.fresh:
            self.states = self.model.initial_states(self.n_own_rows)
        batch = self.make_batch(window.rows(self.team.rank, self.team.size)).to(self.device)
        negatives = self.model.softmax.draw(self.generator)
        with self._autocast():
            losses, counts, self.states = parallel(batch, self.states, negatives)
        sums = self.team.total(torch.cat([losses.detach().double(), counts.double()]))
        n_targets = float(sums[2] + sums[3])
        scale = self.team.size / n_targets / self.options.accumulate
        if self.options.optimizer == "adagrad":
            scale *= self.options.unroll  # as bilm-tf scales its loss; Adagrad's accumulator makes it matter
        (losses.sum() * scale).backward()
        self.n_words += int(sums[2])
        self.position = replace(window.position, window=window.position.window + 1)
        return float(sums[0] + sums[1]) / n_targets

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None)

    def learning_rate(self) -> float:
        """Warm-up, constant, then a linear fall over the last part of the words."""
        o = self.options
        warmed = (self.step + 1) / max(o.warmup, 1)
        left = (1.0 - self.n_words / o.n_words) / o.decay if o.decay else 1.0
        return o.learning_rate * max(0.0, min(1.0, warmed, left))

    def evaluate(self) -> dict[str, float] | None:
        """Held-out perplexity now, and the best weights kept; None where nothing is held out."""
        heldout = None
        if self.heldout is not None and self.team.leads:
            with self._autocast():
                heldout = heldout_perplexity(
                    self.model,
                    self.heldout,
                    self.make_batch,
                    max_windows=self.options.heldout_windows,
                    device=self.device,
                )
            if heldout["mean"] < self.best:
                self.best = heldout["mean"]
                self._write(self.folder / BEST, self._weights())
        self.team.wait()
        return heldout

    def _say(self, report: Report, on_report: Callable[[Report], None] | None) -> None:
        if not self.team.leads:
            return
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(report)) + "\n")
        if on_report is not None:
            on_report(report)

    def _weights(self) -> dict[str, Tensor]:
        return {f"model.{name}": tensor.detach() for name, tensor in self.model.named_parameters()}  # shared ones once

    def _write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        facts = {"step": self.step, "n_words": self.n_words, "seconds": self.seconds, "best": self.best}
        write_snapshot(path, tensors, {**facts, "position": asdict(self.position)})

    def save(self) -> None:
        """Write a snapshot and drop the oldest ones."""
        tensors = {**self._weights(), **optimizer_tensors(self.optimizer)}
        for name, state in zip(("forward", "backward"), self.states, strict=True):
            tensors[f"state.{name}.hidden"] = torch.cat(self.team.gather(state.hidden), dim=1)
            tensors[f"state.{name}.cell"] = torch.cat(self.team.gather(state.cell), dim=1)
        randomness = torch.get_rng_state().to(self.device)
        tensors["random.torch"] = torch.stack(self.team.gather(randomness))
        if self.device.type == "cuda":
            on_gpu = torch.cuda.get_rng_state(self.device).to(self.device)
            tensors["random.cuda"] = torch.stack(self.team.gather(on_gpu))
        tensors["random.negatives"] = self.generator.get_state()
        if self.team.leads:
            self._write(self.folder / f"step-{self.step:09d}.safetensors", tensors)
            for old in snapshots(self.folder)[: -self.options.keep]:
                old.unlink()
        self.team.wait()

    def resume(self) -> bool:
        """Go back to the newest whole snapshot of the folder.

        Returns:
            whether there was one.

        Raises:
            TrainingError: there are snapshots, but none can be read or fits the model.
        """
        damaged: TrainingError | None = None
        for path in reversed(snapshots(self.folder)):
            try:
                tensors, facts = read_snapshot(path, shapes=self._shapes())
            except TrainingError as error:
                damaged = damaged or error
                continue
            self._restore(tensors, facts)
            return True
        if damaged is not None:
            raise TrainingError(f"{damaged} No other snapshot of the run can be read: start anew in another folder.")
        return False

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """What a snapshot of this run holds of weights and states."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self._weights().items()}
        for name, state in zip(("forward", "backward"), self.states, strict=True):
            for part, tensor in (("hidden", state.hidden), ("cell", state.cell)):
                shapes[f"state.{name}.{part}"] = (tensor.shape[0], self.options.n_rows, tensor.shape[2])
        return shapes

    def _restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.model.load_state_dict(model_tensors(tensors))
        restore_optimizer(self.optimizer, tensors)
        forward, backward = (self._own_state(tensors, name) for name in ("forward", "backward"))
        self.states = (forward, backward)
        rank = min(self.team.rank, len(tensors["random.torch"]) - 1)
        torch.set_rng_state(tensors["random.torch"][rank])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"][rank], self.device)
        self.generator.set_state(tensors["random.negatives"])
        self.position = Position(**facts["position"])
        self.step, self.n_words = facts["step"], facts["n_words"]
        self.seconds, self.best = facts["seconds"], facts["best"]

    def _own_state(self, tensors: Mapping[str, Tensor], name: str) -> TowerState:
        own = slice(self.team.rank * self.n_own_rows, (self.team.rank + 1) * self.n_own_rows)
        hidden, cell = tensors[f"state.{name}.hidden"][:, own], tensors[f"state.{name}.cell"][:, own]
        return TowerState(hidden.contiguous().to(self.device), cell.contiguous().to(self.device))

    def _asked_to_stop(self) -> bool:
        if self.team.size == 1:
            return self._stop
        return bool(self.team.total(torch.tensor(float(self._stop), device=self.device)))

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


def _make_optimizer(model: LanguageModel, options: TrainingOptions) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if options.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=options.learning_rate, initial_accumulator_value=1.0)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98), fused=True)
