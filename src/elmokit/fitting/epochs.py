"""Fit small networks epoch by epoch: classifier heads, fine-tuning and taggers.

Shuffling and dropout of an epoch depend on the seed and its number alone, so a run that continues from its snapshot
takes the steps it would have taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from elmokit.errors import ConfigError, TrainingError
from elmokit.fitting.loop import FittingLoop, Weights, prefixed, reading_snapshot, write_snapshot

OnStep = Callable[[int, int], object]
"""Called with (steps done, steps at most)."""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How `fit` fits a network; ConfigError for a number out of range."""

    n_epochs: int  # passes over the rows, at most
    patience: int | None = None  # epochs without a better score after which fitting stops; None never stops early
    learning_rate: float = 1e-3  # peak rate of AdamW for the topmost part; it decays linearly to a tenth of it
    weight_decay: float = 0.0
    warm_up: float = 0.0  # share of the steps during which the rate rises from 0 (ULMFiT's slanted triangle: 0.1)
    slow_down: float = 1.0  # factor by which each part learns more slowly than the one above it (ULMFiT: 2.6)
    clip_norm: float = 1.0  # maximum norm of the gradient
    seed: int = 0  # of weights, shuffling and dropout

    def __post_init__(self) -> None:
        if self.n_epochs < 1 or (self.patience is not None and self.patience < 1):
            raise ConfigError(f"expected n_epochs ≥ 1 and patience ≥ 1; got {self.n_epochs} and {self.patience}.")
        if not (self.learning_rate > 0 and self.clip_norm > 0 and 0 <= self.warm_up < 1 and self.slow_down >= 1):
            raise ConfigError(
                f"expected learning_rate > 0, clip_norm > 0, 0 ≤ warm_up < 1 and slow_down ≥ 1; got {self}."
            )


@dataclass(frozen=True)
class EpochReport:
    """State of the fit after an epoch; scores are those of the held-out rows, larger is better."""

    epoch: int = 0
    loss: float = float("nan")
    score: float = -float("inf")
    best_score: float = -float("inf")
    best_epoch: int = 0
    seconds: float = 0.0
    stopped: bool = False


class Objective(Protocol):
    """What `fit` fits a network to."""

    def batches(self, rng: np.random.Generator) -> Sequence[Any]:
        """The batches of one epoch, shuffled by `rng`."""
        ...

    def loss(self, network: Any, batch: Any) -> Tensor:
        """Mean loss of a batch, a scalar."""
        ...

    def score(self, network: Any) -> float:
        """Score of the held-out rows; larger is better. The network is in evaluation mode."""
        ...


def fit(
    make_network: Callable[[], nn.Module],
    objective: Objective,
    options: FitOptions,
    *,
    parts: Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None = None,
    snapshot: Path | None = None,
    identity: str = "",
    on_step: OnStep | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[nn.Module, EpochReport]:
    """Fit a network epoch by epoch. The caller's random generator is left as it was.

    Args:
        make_network: creates the network; called once, under the seed.
        objective: batches, loss and score.
        options: how to fit.
        parts: splits the parameters from the top of the network to its bottom. The parts are unfrozen one after the
            other during the first half of the epochs (Howard & Ruder 2018); None trains all from the start.
        snapshot: file written after each epoch; if it exists, the run continues from it. None writes none.
        identity: names the data, model and options of the run; a snapshot of another identity is refused.
        on_step: called after each step.
        on_epoch: called after each epoch.

    Returns:
        the network in evaluation mode with the weights of its best epoch, and the last report.

    Raises:
        TrainingError: the loss is not finite, or the snapshot is damaged or belongs to another run.
    """
    with torch.random.fork_rng():
        torch.manual_seed(options.seed * 100_003)
        loop = _EpochLoop(make_network(), objective, options, parts, snapshot, identity, on_step, on_epoch)
        loop.run()
    loop.network.load_state_dict(loop.best)
    return loop.network.requires_grad_(True).eval(), loop.report


@dataclass(eq=False)
class _EpochLoop(FittingLoop):
    """The arguments and the state of `fit`."""

    network: nn.Module
    objective: Objective
    options: FitOptions
    split: Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None
    snapshot: Path | None
    identity: str
    on_step: OnStep | None
    on_epoch: Callable[[EpochReport], None] | None

    def __post_init__(self) -> None:
        o, parameters = self.options, self.network.parameters()
        self.parts = [list(part) for part in self.split(self.network)] if self.split else [list(parameters)]
        groups = [{"params": part} for part in self.parts]
        self.optimizer = torch.optim.AdamW(groups, lr=o.learning_rate, weight_decay=o.weight_decay)
        self.clip_norm, self.report, self.best = o.clip_norm, EpochReport(), _state(self.network)
        self.batches: Sequence[Any] = []
        self.losses: list[float] = []
        self.restore()

    def is_done(self) -> bool:
        return self.report.stopped

    def learning_rates(self) -> list[float]:
        o, place = self.options, self.report.epoch + len(self.losses) / max(len(self.batches), 1)
        progress = place / o.n_epochs
        rise = progress / o.warm_up if progress < o.warm_up else 1 - 0.9 * (progress - o.warm_up) / (1 - o.warm_up)
        return [o.learning_rate * rise / o.slow_down**number for number in range(len(self.parts))]

    def add_gradients(self) -> float:
        if not self.losses:
            self._begin_epoch()
        loss = self.objective.loss(self.network, self.batches[len(self.losses)])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _begin_epoch(self) -> None:
        seed, number = self.options.seed, self.report.epoch + 1
        self.started = time.monotonic()
        torch.manual_seed(seed * 100_003 + number)
        self.batches = self.objective.batches(np.random.default_rng([seed, number]))
        n_open = 1 + 2 * len(self.parts) * self.report.epoch // self.options.n_epochs  # one first, all by the middle
        for place, part in enumerate(self.parts):
            for parameter in part:
                parameter.requires_grad_(place < n_open)

    def after_step(self, loss: float) -> None:
        self.losses.append(loss)
        n_batches = len(self.batches)
        if self.on_step is not None:
            self.on_step(self.report.epoch * n_batches + len(self.losses), self.options.n_epochs * n_batches)
        if len(self.losses) == n_batches:
            self._end_epoch()

    def _end_epoch(self) -> None:
        o, before, number = self.options, self.report, self.report.epoch + 1
        self.network.eval()
        with torch.no_grad():
            score = self.objective.score(self.network)
        if not math.isfinite(score):
            raise TrainingError(f"the score of epoch {number} is {score}; check that the features are finite.")
        better = score > before.best_score
        best_score, best_epoch = (score, number) if better else (before.best_score, before.best_epoch)
        self.best = _state(self.network) if better else self.best
        stopped = number >= o.n_epochs or (o.patience is not None and number - best_epoch >= o.patience)
        loss, seconds = float(np.mean(self.losses)), time.monotonic() - self.started
        self.report = EpochReport(number, loss, score, best_score, best_epoch, seconds, stopped)
        self.losses = []
        if self.snapshot is not None:  # after the last epoch it holds the best weights only
            tensors = {f"best.{name}": tensor for name, tensor in self.best.items()}
            if not stopped:
                tensors |= {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
                tensors |= self.optimizer_tensors()
            write_snapshot(self.snapshot, tensors, {"identity": self.identity, "report": asdict(self.report)})
        if self.on_epoch is not None:
            self.on_epoch(self.report)

    def restore(self) -> None:
        """Continue from the snapshot, if there is one."""
        if self.snapshot is None or not self.snapshot.is_file():
            return
        shapes = {f"best.{name}": tuple(tensor.shape) for name, tensor in self.best.items()}
        with reading_snapshot(self.snapshot) as (tensors, metadata):
            if metadata["identity"] != self.identity:
                raise TrainingError(
                    f"{self.snapshot}: this run was started with other data, options or another model. Continue with"
                    " the same ones, or delete the file to start again."
                )
            if any(name not in tensors or tuple(tensors[name].shape) != shape for name, shape in shapes.items()):
                raise ValueError("its weights are not those of this network")
            report = EpochReport(**metadata["report"])
            self.best = prefixed(tensors, "best.")
            if not report.stopped:
                self.network.load_state_dict(prefixed(tensors, "model."))
                self.restore_optimizer(tensors)
            self.report = report


def _state(network: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
