"""The tagger's training loop: epochs over stored vectors, the best epoch on the dev part kept, a snapshot after each.

Order and dropout of an epoch come from the seed and the epoch's number alone, so a run that is killed and resumed from
its snapshot takes the very steps that it would have taken. The caller's random generator is left as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elmokit.errors import OutputError, TrainingError
from elmokit.files import atomic_path
from elmokit.tasks.crf import Constraints
from elmokit.tasks.tag_network import TagNetwork
from elmokit.tasks.tag_options import TagOptions, TagReport
from elmokit.tasks.vector_store import VectorStore

_BATCH_WORDS = 8192
"""Words of a batch at most, padding included; a longer sentence is a batch of its own."""

_BUCKET = 20
"""Batches that are sorted by length together, so that little is padded."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learned from, and what the result is judged by.

    Args:
        store: vectors of the training sentences.
        tags: numbers of their tags, by sentence.
        dev: vectors of the dev sentences.
        judge: numbers of the tags predicted for them → a figure, the larger the better.
        constraints: of decoding.
    """

    store: VectorStore
    tags: Sequence[NDArray[np.int64]]
    dev: VectorStore
    judge: Callable[[list[list[int]]], float]
    constraints: Constraints | None


class TagTrainer:
    """One run.

    Args:
        lesson: what to learn.
        options: how.
        n_tags: K.
        snapshot: file that keeps the state of the run; None for none.
        identity: what a snapshot must be of to be gone on from.
        device: where to train.
    """

    def __init__(
        self,
        lesson: Lesson,
        options: TagOptions,
        n_tags: int,
        *,
        snapshot: Path | None = None,
        identity: str = "",
        device: str = "cpu",
    ) -> None:
        self.lesson, self.options, self.snapshot = lesson, options, snapshot
        self.identity, self.device = identity, torch.device(device)
        _, n_layers, width = lesson.store.vectors.shape
        with _own_randomness(options.seed, 0):
            self.network = TagNetwork(
                n_layers,
                width,
                n_tags,
                hidden_width=options.hidden_width,
                n_lstm_layers=options.n_lstm_layers,
                dropout=options.dropout,
            )
        mean, scale = lesson.store.mean_and_scale()
        self.network.mean.copy_(torch.from_numpy(mean))
        self.network.scale.copy_(torch.from_numpy(scale))
        self.network.to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        self.best_weights = self._weights()
        self.report = TagReport(epoch=0, loss=float("nan"), figure=-1.0, best=-1.0, best_epoch=0, seconds=0.0)

    def run(self, on_report: Callable[[TagReport], None] | None = None) -> TagReport:
        """Train to the end, from the snapshot if there is one; the network then has the weights of the best epoch.

        Args:
            on_report: called after each epoch.

        Returns:
            the last report.

        Raises:
            TrainingError: the loss is no number, or the snapshot is of another run.
        """
        if self.snapshot is not None and self.snapshot.is_file():
            self.restore(self.snapshot)
        while not self.report.stopped:
            self.report = self._epoch(self.report.epoch + 1)
            if self.snapshot is not None:
                self.save(self.snapshot)
            if on_report is not None:
                on_report(self.report)
        self.network.load_state_dict(self.best_weights)
        self.network.eval()
        return self.report

    def _epoch(self, epoch: int) -> TagReport:
        o, before, start = self.options, self.report, time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate * (1 - 0.9 * (epoch - 1) / max(o.n_epochs - 1, 1))
        self.network.train()
        with _own_randomness(o.seed, epoch):
            order = np.random.default_rng([o.seed, epoch])
            losses = [self._step(rows) for rows in batches(self.lesson.store.lengths, o.batch_size, order)]
        loss = float(np.average([loss for loss, _ in losses], weights=[n for _, n in losses]))
        if not np.isfinite(loss):
            raise TrainingError(f"the loss became {loss} in epoch {epoch}; train with a lower learning rate.")
        figure = self.lesson.judge(self.predict_dev())
        best, best_epoch = (figure, epoch) if figure > before.best else (before.best, before.best_epoch)
        if best_epoch == epoch:
            self.best_weights = self._weights()
        return TagReport(
            epoch=epoch,
            loss=loss,
            figure=figure,
            best=best,
            best_epoch=best_epoch,
            seconds=time.monotonic() - start,
            stopped=epoch >= o.n_epochs or epoch - best_epoch >= o.patience,
        )

    def _step(self, rows: NDArray[np.int64]) -> tuple[float, int]:
        layers, mask = padded([self.lesson.store.of(int(row)) for row in rows], self.device)
        tags = torch.zeros(mask.shape, dtype=torch.int64)
        for number, row in enumerate(rows):
            tags[number, : len(self.lesson.tags[row])] = torch.from_numpy(self.lesson.tags[row])
        loss: Tensor = self.network(layers, tags.to(self.device), mask)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.optimizer.step()
        return float(loss.detach()), len(rows)

    def predict_dev(self) -> list[list[int]]:
        """The tags that the network now gives to the dev part."""
        store = self.lesson.dev
        found: list[list[int]] = [[] for _ in store.lengths]
        for rows in batches(store.lengths, self.options.batch_size, None):
            texts = [store.of(int(row)) for row in rows]
            best = best_tags(self.network, texts, self.lesson.constraints, self.device)
            for row, tags in zip(rows, best, strict=True):
                found[row] = tags
        return found

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write a snapshot, whole or not at all.

        Args:
            path: the file.

        Raises:
            OutputError: it can't be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {f"now.{name}": tensor for name, tensor in self._weights().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_weights.items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": torch.as_tensor(x).cpu().clone() for name, x in values.items()}
        facts = {"identity": self.identity, "report": asdict(self.report)}
        with atomic_path(path) as temporary:
            try:
                save_file(tensors, str(temporary), metadata={"facts": json.dumps(facts)})
            except SafetensorError as error:  # how safetensors tells of a full disk
                raise OutputError(f"{path}: can't be written ({error}). The snapshot before it is kept.") from error

    def restore(self, path: Path) -> None:
        """Go back to where a snapshot was written.

        Args:
            path: the file.

        Raises:
            TrainingError: not a whole snapshot, or one of other data, model or options.
        """
        tensors, facts = _read(path)
        if facts["identity"] != self.identity:
            raise TrainingError(
                f"{path}: this run began with other sentences, options or another model. Go on with the same ones,"
                " or delete it to begin anew."
            )
        self.network.load_state_dict(_part(tensors, "now."))
        self.best_weights = _part(tensors, "best.")
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _part(tensors, "adam.").items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.report = TagReport(**facts["report"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: not a whole snapshot ({error}); delete it to begin anew.") from None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@contextmanager
def _own_randomness(seed: int, epoch: int) -> Iterator[None]:
    """PyTorch's generator is that of an epoch, and afterwards as it was before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed * 100_003 + epoch)
        yield


def batches(
    lengths: NDArray[np.int64], batch_size: int, order: np.random.Generator | None
) -> Iterator[NDArray[np.int64]]:
    """Row numbers by batch, sentences of like length together; sentences without words are left out.

    Args:
        lengths: words of each sentence. Shape (n,).
        batch_size: sentences in a batch at most.
        order: shuffles sentences and batches; None for sentences by length, which computes fastest.

    Yields:
        row numbers.

    Example:
        >>> [rows.tolist() for rows in batches(np.array([3, 0, 1, 2]), 2, None)]
        [[2, 3], [0]]
    """
    rows = np.flatnonzero(lengths)
    bucket = len(rows) if order is None else _BUCKET * batch_size
    if order is not None:
        rows = order.permutation(rows)
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), max(bucket, 1)):
        part = rows[start : start + bucket]
        part = part[np.argsort(lengths[part], kind="stable")]
        batch: list[int] = []
        for row in part:
            if len(batch) == batch_size or (len(batch) + 1) * lengths[row] > _BATCH_WORDS:
                found += [np.array(batch)] if batch else []
                batch = []
            batch.append(int(row))
        found += [np.array(batch)] if batch else []
    yield from found if order is None else (found[i] for i in order.permutation(len(found)))


def padded(texts: Sequence[NDArray[np.floating]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Sentences side by side.

    Args:
        texts: B arrays of shape (L, T, 2P), each with its own T.
        device: where to.

    Returns:
        layers, zero behind the words, and the mask of real words. Shapes (L, B, T, 2P), (B, T).
    """
    n_layers, _, width = texts[0].shape
    longest = max(text.shape[1] for text in texts)
    layers = np.zeros((n_layers, len(texts), longest, width), np.float32)
    mask = np.zeros((len(texts), longest), np.bool_)
    for row, text in enumerate(texts):
        layers[:, row, : text.shape[1]] = text
        mask[row, : text.shape[1]] = True
    return torch.from_numpy(layers).to(device), torch.from_numpy(mask).to(device)


def best_tags(
    network: TagNetwork, texts: Sequence[NDArray[np.floating]], constraints: Constraints | None, device: torch.device
) -> list[list[int]]:
    """The best tags of a batch.

    Args:
        network: that has learned.
        texts: B arrays of shape (L, T, 2P), T at least 1.
        constraints: of decoding.
        device: where the network lies.

    Returns:
        tag numbers by sentence.
    """
    network.eval()
    return network.best(*padded(texts, device), constraints)
