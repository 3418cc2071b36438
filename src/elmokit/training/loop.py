"""Pretraining: windows → losses → steps, with snapshots, held-out perplexity and a clean stop.

The folder of a run holds `store/` (the indexed corpus), `vocabulary.txt`, `step-*.safetensors` (the newest snapshots),
`best.safetensors` (the best weights by held-out text), `log.jsonl` (a line per report), and `teacher/`.
"""

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from elmokit import fitting
from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError, TrainingError
from elmokit.nn.bilm import TowerState
from elmokit.perplexity import PerplexityMeter
from elmokit.runtime.backends import cpu_has_bfloat16
from elmokit.text.vocab import Vocabulary
from elmokit.training.objective import BatchMaker, PretrainingModel
from elmokit.training.options import TrainingOptions, TrainingReport
from elmokit.training.store import CorpusStore
from elmokit.training.stream import Position, Stream, Window
from elmokit.training.teacher import TeacherTargets

BEST = "best.safetensors"
OnReport = Callable[[TrainingReport], None]


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together; each reads its share of every batch, and 0 writes the files."""

    rank: int = 0
    size: int = 1

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> list[Tensor]:
        """The values of all processes by rank, on the CPU."""
        if self.size == 1:
            return [values.detach().cpu()]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.detach().contiguous())
        return [part.cpu() for part in parts]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The group that `torchrun` describes in the environment (gloo, or NCCL on "cuda"), or one process alone."""
    if (size := int(os.environ.get("WORLD_SIZE", "1"))) == 1:
        yield ProcessGroup()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products run in, or None for float32; ConfigError for an unknown precision."""
    if precision not in ("float32", "bfloat16", "auto"):
        raise ConfigError(f"precision is {precision!r}; expected 'float32', 'bfloat16' or 'auto'.")
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bfloat16()
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and fast) else None


def snapshots(folder: Path) -> list[Path]:
    """The snapshots of a run, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


class Trainer:
    """A pretraining run: takes steps until the words or minutes are used up.

    ConfigError for a batch size that the processes can't share, or a model without characters. `weights`: see `Stream`.
    """

    def __init__(
        self,
        config: ElmoConfig,
        options: TrainingOptions,
        store: CorpusStore,
        vocabulary: Vocabulary,
        folder: Path,
        *,
        weights: Mapping[str, float] | None = None,
        teacher: TeacherTargets | None = None,
        device: str = "cpu",
        group: ProcessGroup = ProcessGroup(),
    ) -> None:
        if options.batch_size % group.size:
            raise ConfigError(f"batch_size ({options.batch_size}) must be a multiple of the {group.size} processes.")
        if config.char_cnn is None:
            raise ConfigError("training needs a model that reads characters; this one looks words up in a table.")
        torch.manual_seed(options.seed)
        self.options, self.folder, self.device, self.group = options, folder, torch.device(device), group
        widths = None if teacher is None else teacher.widths
        self.model = PretrainingModel(config, vocabulary.words, options, widths).to(self.device)
        torch.manual_seed(options.seed + group.rank)  # dropout differs from process to process
        self.make_batch = BatchMaker(store, store.targets(vocabulary), config.char_cnn.max_characters, teacher)
        stream = partial(
            Stream, store, batch_size=options.batch_size, bptt=options.bptt if teacher is None else None,
            segment=options.segment, seed=options.seed,
        )  # fmt: skip
        self.stream = stream(weights=weights)
        self.heldout = stream(part="heldout") if store.n_texts("heldout") else None
        self.optimizer = _make_optimizer(self.model, options)
        self.generator = torch.Generator().manual_seed(options.seed + 1)
        dtype = autocast_type(options.precision, self.device)
        self.autocast = torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
        self.own_rows = options.batch_size // group.size
        self.states = self.model.initial_states(self.own_rows)
        self.position = Position()
        self.step, self.n_words, self.seconds, self.best, self.gradient_norm = 0, 0, 0.0, math.inf, 0.0
        self.losses: list[float] = []
        self._stop = False

    def fit(self, on_report: OnReport | None = None, *, report_seconds: float = 10.0) -> TrainingReport:
        """Train to the end; return the last report, with held-out perplexity.

        SIGINT and SIGTERM end the run after the step, with a snapshot and KeyboardInterrupt. TrainingError: the loss or
        the gradient is not finite; the last snapshot is kept.
        """
        self._on_report, self._report_seconds = on_report, report_seconds
        self._started = time.monotonic() - self.seconds
        self._reported = self._saved = time.monotonic()
        self._words_reported = self._words_evaluated = self.n_words
        self.report = TrainingReport(self.step, self.n_words, math.nan, self.learning_rate(), 0.0, self.seconds / 60)
        self._windows, self._parallel = self.stream.windows(self.position), self._joined()
        with self._stopping_on_signals():
            while self.progress() < 1:
                self._after_step(self.take_step())
        self.save()
        return self.report

    def progress(self) -> float:
        """Share of the words or minutes that is used up."""
        o = self.options
        return max(self.n_words / o.n_words, self.seconds / (o.minutes * 60) if o.minutes else 0.0)

    def learning_rate(self) -> float:
        """Warm-up, constant, then a linear fall over the last part of the run."""
        o = self.options
        left = (1.0 - self.progress()) / o.decay if o.decay else 1.0
        return o.learning_rate * max(0.0, min(1.0, (self.step + 1) / max(o.warmup, 1), left))

    def take_step(self) -> float:
        """Take a step over the next windows; return the mean language model loss."""
        n, rates = self.options.gradient_accumulation_steps, [self.learning_rate()] * len(self.optimizer.param_groups)
        self.model.train()
        frozen = not self.model.bilm.forward_layers.layer(0).weight_ih.requires_grad
        if frozen and self.n_words >= self.options.frozen_words:
            self._parallel = self._joined()
        loss = sum(self._add_window(next(self._windows)) for _ in range(n)) / n
        norm = fitting.take_step(self.model, self.optimizer, loss, rates, self.options.clip_norm, self.step)
        self.gradient_norm, self.step = norm, self.step + 1
        return loss

    def _joined(self) -> nn.Module:
        """The model, joined with those of the other processes; its biLM frozen at the start where asked."""
        self.model.bilm.requires_grad_(self.n_words >= self.options.frozen_words)
        return DistributedDataParallel(self.model) if self.group.size > 1 else self.model

    def _add_window(self, window: Window) -> float:
        """Add one window's gradients; the loss is the mean over the targets of all processes."""
        o = self.options
        if window.fresh:
            self.states = self.model.initial_states(self.own_rows)
        batch = self.make_batch(window.shard(self.group.rank, self.group.size)).to(self.device)
        negatives = self.model.softmax.draw(self.generator)
        with self.autocast:
            losses, counts, self.states, taught, _ = self._parallel(batch, self.states, negatives)
        sums = self.group.sum(torch.cat([losses.detach().double(), counts.double()]))
        n_targets = float(sums[2] + sums[3])
        scale = self.group.size / n_targets * o.all_loss_weights["lm"]
        if o.optimizer == "adagrad":
            scale *= o.bptt  # as bilm-tf scales its loss; Adagrad's accumulator makes it matter
        ((losses.sum() * scale + taught) / o.gradient_accumulation_steps).backward()
        self.n_words += int(sums[2])
        self.position = replace(window.position, window=window.position.window + 1)
        return float(sums[0] + sums[1]) / n_targets

    def _after_step(self, loss: float) -> None:
        """Evaluate, report, save and stop where due."""
        now = time.monotonic()
        self.losses.append(loss)
        self.seconds = now - self._started
        every = self.options.evaluate_words
        evaluate = self._words_evaluated // every != self.n_words // every or self.progress() >= 1
        if evaluate or now - self._reported >= self._report_seconds:
            heldout, similarity = self.evaluate() if evaluate else (None, None)
            mean = sum(self.losses) / len(self.losses)
            speed = (self.n_words - self._words_reported) / max(now - self._reported, 1e-9)
            self.report = TrainingReport(
                self.step, self.n_words, mean, self.learning_rate(), speed, self.seconds / 60,
                self.gradient_norm, heldout, similarity,
            )  # fmt: skip
            if self.group.rank == 0:
                with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(asdict(self.report)) + "\n")
                if self._on_report is not None:
                    self._on_report(self.report)
            self._reported, self._words_reported, self.losses = time.monotonic(), self.n_words, []
        self._words_evaluated = self.n_words
        stop = bool(self.group.sum(torch.tensor(float(self._stop), device=self.device)))
        if stop or now - self._saved >= self.options.save_minutes * 60:
            self.save()
            self._saved = time.monotonic()
        if stop:
            raise KeyboardInterrupt

    def evaluate(self) -> tuple[dict[str, float] | None, float | None]:
        """Held-out perplexity and similarity to the teacher, where there are such; the best weights are kept."""
        perplexity, similarity = None, None
        if self.heldout is not None and self.group.rank == 0:
            perplexity, similarity = self.heldout_scores(self.options.heldout_windows)
            weights = self.options.all_loss_weights
            score = weights["lm"] * math.log(perplexity["mean"]) + weights["text"] * (1 - (similarity or 0.0))
            if score < self.best:
                self.best = score
                self._write(self.folder / BEST, self._weights())
        self.group.barrier()
        return perplexity, similarity

    @torch.no_grad()
    def heldout_scores(self, max_windows: int) -> tuple[dict[str, float], float | None]:
        """Perplexity with the full softmax by "forward", "backward" and "mean", and mean cosine to the teacher.

        `</S>` (backward: `<S>`) counts as a word, and words outside the vocabulary count as `<UNK>`, as in bilm-tf.
        """
        assert self.heldout is not None
        self.model.eval()
        meter, cosines = PerplexityMeter(), torch.zeros(2)
        make_batch, states = replace(self.make_batch, part="heldout"), self.states
        for number, window in enumerate(self.heldout.windows()):
            if number >= max_windows or window.position.epoch > 0:
                break
            states = self.model.initial_states(len(window.texts)) if window.fresh else states
            with self.autocast:
                losses, counts, states, _, similarity = self.model(make_batch(window).to(self.device), states, None)
            meter.add(losses.double().cpu().numpy(), counts.cpu().numpy())
            cosines += similarity.cpu()
        self.model.train()
        scores = {name: getattr(meter.result, name) for name in ("forward", "backward", "mean")}
        return scores, float(cosines[0] / cosines[1]) if cosines[1] else None

    def _weights(self) -> dict[str, Tensor]:
        """The parameters by name, tied ones once."""
        return {f"model.{name}": parameter.detach() for name, parameter in self.model.named_parameters()}

    def _carried(self) -> dict[str, Tensor]:
        """The LSTM states of this process's rows, by the names that they have in a snapshot."""
        states = zip(("forward", "backward"), self.states, strict=True)
        return {f"state.{name}.{part}": getattr(x, part) for name, x in states for part in ("hidden", "cell")}

    def _write(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        state = {"step": self.step, "n_words": self.n_words, "seconds": self.seconds, "best": self.best}
        fitting.write_snapshot(path, tensors, {**state, "position": asdict(self.position)})

    def save(self) -> None:
        """Write a snapshot and remove the oldest ones."""
        tensors = {**self._weights(), **fitting.optimizer_tensors(self.optimizer)}
        tensors |= {name: torch.cat(self.group.gather(state), dim=1) for name, state in self._carried().items()}
        generators = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        for name, generator in generators.items():
            tensors[f"random.{name}"] = torch.stack(self.group.gather(generator.to(self.device)))
        tensors["random.negatives"] = self.generator.get_state()
        if self.group.rank == 0:
            self._write(self.folder / f"step-{self.step:09d}.safetensors", tensors)
            for old in snapshots(self.folder)[: -self.options.keep]:
                old.unlink()
        self.group.barrier()

    def resume(self) -> bool:
        """Continue from the newest snapshot that can be read; return whether there was one.

        TrainingError: there are snapshots, but none can be read or fits the model.
        """
        damaged: TrainingError | None = None
        shapes = {name: tuple(weight.shape) for name, weight in self._weights().items()}
        shapes |= {name: (len(own), self.options.batch_size, own.shape[2]) for name, own in self._carried().items()}
        for path in reversed(snapshots(self.folder)):
            try:
                with fitting.reading_snapshot(path, shapes=shapes) as (tensors, state):
                    self._restore(tensors, state)
                return True
            except TrainingError as error:
                damaged = damaged or error
        if damaged is not None:
            raise TrainingError(f"{damaged} No other snapshot of the run can be read: start anew in another folder.")
        return False

    def _restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.model.load_weights(fitting.prefixed(tensors, "model."))
        fitting.restore_optimizer(self.optimizer, tensors)
        own = slice(self.group.rank * self.own_rows, (self.group.rank + 1) * self.own_rows)
        parts = [tensors[name][:, own].contiguous().to(self.device) for name in self._carried()]
        self.states = TowerState(*parts[:2]), TowerState(*parts[2:])
        rank = min(self.group.rank, len(tensors["random.torch"]) - 1)
        torch.set_rng_state(tensors["random.torch"][rank])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"][rank], self.device)
        self.generator.set_state(tensors["random.negatives"])
        self.position = Position(**state["position"])
        self.step, self.n_words = int(state["step"]), int(state["n_words"])
        self.seconds, self.best = float(state["seconds"]), float(state["best"])

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        def ask(*_: object) -> None:
            self._stop = True

        with ExitStack() as stack:
            with suppress(ValueError):  # not the main thread: the caller handles signals
                for number in (signal.SIGINT, signal.SIGTERM):
                    stack.callback(signal.signal, number, signal.signal(number, ask))
            yield


def _make_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    matrices, rest = ([p for p in model.parameters() if (p.dim() > 1) is matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if options.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=options.learning_rate, initial_accumulator_value=1.0)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98), fused=True)
