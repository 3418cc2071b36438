"""The loop over epochs for heads, taggers and tuned biLMs; the steps and snapshots of training (extra `torch`).

Shuffling and dropout of an epoch depend on its number and the seed alone, so a run that continues from its snapshot
takes the steps it would have taken. Snapshots are safetensors files, written whole or not at all; opening one runs no
code.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from elmokit.errors import ConfigError, OutputError, TrainingError
from elmokit.files import atomic_path, make_folder
from elmokit.reading import MAX_JSON_BYTES, reading

Weights = dict[str, Tensor]


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
        counts = self.n_epochs >= 1 and (self.patience is None or self.patience >= 1)
        rates = self.learning_rate > 0 and self.clip_norm > 0 and 0 <= self.warm_up < 1 and self.slow_down >= 1
        if not counts or not rates:
            wanted = "n_epochs ≥ 1, patience ≥ 1, learning_rate > 0, clip_norm > 0, 0 ≤ warm_up < 1 and slow_down ≥ 1"
            raise ConfigError(f"expected {wanted}; got {self}.")

    def learning_rates(self, progress: float, n_parts: int) -> list[float]:
        """The rate of each part, the topmost first, after a share of the epochs."""
        warm_up = self.warm_up
        rise = progress / warm_up if progress < warm_up else 1 - 0.9 * (progress - warm_up) / (1 - warm_up)
        return [self.learning_rate * rise / self.slow_down**number for number in range(n_parts)]


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


def fit(
    make_network: Callable[[], Any],
    options: FitOptions,
    *,
    batches: Callable[[np.random.Generator], Sequence[Any]],
    loss: Callable[[Any, Any], Tensor],
    score: Callable[[Any], float],
    parts: Callable[[Any], Sequence[Sequence[nn.Parameter]]] | None = None,
    snapshots: str | Path | None = None,
    identity: bytes = b"",
    advance: Callable[[int], object] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[Any, EpochReport]:
    """Fit a network epoch by epoch. The caller's random generator is left as it was.

    Args:
        make_network, options: creates the network, once and under the seed; how to fit it.
        batches, loss: shuffles the rows of an epoch into batches; mean loss of a network on one, a scalar.
        score: score of a network in evaluation mode on the held-out rows; larger is better.
        parts: splits the parameters from the top of the network to its bottom. The parts are unfrozen one after the
            other during the first half of the epochs (Howard & Ruder 2018); None trains all from the start.
        snapshots: folder of a file that is written after each epoch, named after options and `identity`; if it is
            there, the run continues from it. None writes none. `remove_snapshots` removes it.
        identity: the data and the model.
        advance: called with 1 after each step, for a progress bar.
        on_epoch: called after each epoch.

    Returns the network in evaluation mode with the weights of its best epoch, and the last report. TrainingError if the
    loss is not finite or the snapshot is damaged.
    """
    o = options
    with torch.random.fork_rng():
        torch.manual_seed(o.seed * 100_003)
        network = make_network()
        groups = [list(part) for part in parts(network)] if parts else [list(network.parameters())]
        optimizer = torch.optim.AdamW([{"params": g} for g in groups], lr=o.learning_rate, weight_decay=o.weight_decay)
        report, best = EpochReport(), _state(network)
        name = hashlib.sha256(repr(o).encode() + identity).hexdigest()
        snapshot = None if snapshots is None else Path(snapshots) / f"fit-{name}.safetensors"
        if snapshot is not None and snapshot.is_file():
            report, best = _continued(snapshot, network, optimizer)
        while not report.stopped:
            number, started, losses = report.epoch + 1, time.monotonic(), list[float]()
            torch.manual_seed(o.seed * 100_003 + number)
            n_open = 1 + 2 * len(groups) * report.epoch // o.n_epochs  # one first, all by the middle
            for place, parameter in ((place, parameter) for place, part in enumerate(groups) for parameter in part):
                parameter.requires_grad_(place < n_open)
            todo = batches(np.random.default_rng([o.seed, number]))
            for done, batch in enumerate(todo):
                rates = o.learning_rates((report.epoch + done / len(todo)) / o.n_epochs, len(groups))
                network.train()
                batch_loss = loss(network, batch)
                batch_loss.backward()  # type: ignore[no-untyped-call]
                losses.append(float(batch_loss.detach()))
                take_step(network, optimizer, losses[-1], rates, o.clip_norm, report.epoch * len(todo) + done)
                if advance is not None:
                    advance(1)
            network.eval()
            with torch.no_grad():
                value = score(network)
            if not math.isfinite(value):
                raise TrainingError(f"the score of epoch {number} is {value}; check that the features are finite.")
            best_score, best_epoch = report.best_score, report.best_epoch
            if value > best_score:
                best_score, best_epoch, best = value, number, _state(network)
            stopped = number >= o.n_epochs or number - best_epoch >= (o.patience or math.inf)
            mean, seconds = float(np.mean(losses)), time.monotonic() - started
            report = EpochReport(number, mean, value, best_score, best_epoch, seconds, stopped)
            if snapshot is not None:  # after the last epoch it holds the best weights only
                rest = {} if stopped else {**_named("model", _state(network)), **optimizer_tensors(optimizer)}
                write_snapshot(snapshot, {**_named("best", best), **rest}, {"report": asdict(report)})
            if on_epoch is not None:
                on_epoch(report)
    network.load_state_dict(best)
    return network.requires_grad_(True).eval(), report


def _continued(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[EpochReport, Weights]:
    """The report and the best weights of a snapshot; network and optimizer are set to its state."""
    with reading_snapshot(path) as (tensors, metadata):
        report, best = EpochReport(**metadata["report"]), prefixed(tensors, "best.")
        if not report.stopped:
            network.load_state_dict(prefixed(tensors, "model."))
            restore_optimizer(optimizer, tensors)
    return report, best


def remove_snapshots(folder: str | Path) -> None:
    """Remove the snapshots of `fit`, and the folder if nothing else is in it."""
    for path in Path(folder).glob("fit-*.safetensors"):
        path.unlink()
    with suppress(OSError):
        Path(folder).rmdir()


def _state(network: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _named(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}.{name}": tensor for name, tensor in weights.items()}


def take_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: float, rates: list[float], clip_norm: float, step: int
) -> float:
    """Take a step down the gradients of a loss, at a learning rate per parameter group.

    Returns the norm of the gradient before clipping. TrainingError, before the step, if it or the loss is not finite.
    """
    norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), clip_norm))
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise TrainingError(
            f"the loss became {loss} and the norm of the gradient {norm} at step {step}, with a learning rate of"
            f" {rates[0]:.2g}. Check that the inputs are finite, or continue with a lower learning rate; the last"
            " snapshot is kept, if there is one."
        )
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Weights:
    """The moments of an optimizer, as `optimizer.NUMBER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": torch.as_tensor(x) for i, xs in state.items() for name, x in xs.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the moments of an optimizer; the inverse of `optimizer_tensors`."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, Weights] = {}
    for key, tensor in prefixed(tensors, "optimizer.").items():
        number, name = key.split(".", 1)
        if name != "step" and tensor.shape != parameters[int(number)].shape:
            raise ValueError(f"optimizer.{key} has the shape {tuple(tensor.shape)}")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def write_snapshot(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON values into one file."""
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    make_folder(path.parent)
    with atomic_path(path) as temporary:
        try:
            save_file(ready, str(temporary), metadata={"state": json.dumps(metadata)})
        except SafetensorError as error:  # a full disk
            raise OutputError(f"{path}: can't be written ({error}). The previous snapshot is kept.") from error


@contextmanager
def reading_snapshot(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Iterator[tuple[Weights, dict[str, Any]]]:
    """The tensors and metadata of a snapshot; `shapes` are of tensors that must be in it, checked before reading.

    Errors of reading and of using them in the block become a TrainingError that names the file.
    """
    with reading(path, what="complete snapshot; delete it", error=TrainingError):
        with path.open("rb") as start:
            if int.from_bytes(start.read(8), "little") > MAX_JSON_BYTES:  # safetensors would parse up to 100 MB
                raise ValueError("its header claims far too many bytes")
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["state"])
            names = set(file.keys())
            for name, shape in (shapes or {}).items():
                stored = tuple(file.get_slice(name).get_shape()) if name in names else None
                if stored != shape:
                    raise TrainingError(f"{path}: {name} has the shape {stored}; this run needs {shape}.")
            tensors = {name: file.get_tensor(name) for name in names}
        yield tensors, metadata


def prefixed(tensors: Mapping[str, Tensor], prefix: str) -> Weights:
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
