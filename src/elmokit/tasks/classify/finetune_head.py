"""Fine-tuning of the biLM with the classes: words → biLM → learned layer mix → pooling → classes (extra `torch`).

Follows ULMFiT (Howard & Ruder 2018): the new layers train alone at first, the LSTM layers are unfrozen from the top
down, the character CNN last; each part learns 2.6 times more slowly than the one above it, and the rate rises for a
tenth of the steps and decays linearly. Words are pooled to their mean and maximum.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from elmokit.checkpoints import Checkpoint
from elmokit.config import LayerMix
from elmokit.errors import ConfigError, needing
from elmokit.text.char_ids import padded_char_ids

with needing("PyTorch", "torch", "fine-tuning"):
    import torch
    from torch import Tensor, nn

from elmokit.nn.bilm import BiLM, LayerMixer
from elmokit.tasks.classify.torch_head import Array, TorchHead

Words = Sequence[str]

LONGEST = 400  # words read of a text; training keeps about 100 KB of activations per word


class _Network(nn.Module):
    def __init__(self, start: Checkpoint, n_classes: int) -> None:
        super().__init__()
        config = start.config
        self.bilm = BiLM(config, dropout=0.1, words=start.words).load_tensors(start.tensors)
        self.mix = LayerMixer(config.n_layers)
        self.dropout = nn.Dropout(0.3)
        self.classes = nn.Linear(2 * config.dim, n_classes)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T + 2, C) → (B, K)
        layers = self.bilm(ids)
        words, mask = self.mix(layers.vectors, layers.mask), layers.mask[..., None]  # (B, T, 2P), (B, T, 1)
        if words.shape[1] == 0:  # texts without words
            words, mask = words.new_zeros(len(words), 1, words.shape[2]), mask.new_zeros(len(words), 1, 1)
        mean = words.sum(1) / mask.sum(1).clamp(min=1)
        largest = words.masked_fill(~mask, -torch.inf).amax(1).masked_fill(~mask.any(1), 0.0)
        logits: Tensor = self.classes(self.dropout(torch.cat([mean, largest], 1)))
        return logits


@dataclass(eq=False, repr=False)
class FinetuneHead(TorchHead):
    """A biLM and a layer of classes on top of it, trained together.

    `snapshots` is a folder where the state of each epoch is kept; an interrupted `fit` continues from it. `start` gives
    the biLM that training starts from, in a `TextClassifier` that of its model. ConfigError in `fit` for none, or for
    one that does not read characters.
    """

    snapshots: str | Path | None = None
    start: Callable[[], Checkpoint] | None = None

    default_epochs: ClassVar[int] = 6
    least_steps: ClassVar[int] = 240
    rates: ClassVar[dict[str, float]] = {"learning_rate": 1e-3, "warm_up": 0.1, "slow_down": 2.6}

    def _make_network(self, X: Any, n_classes: int) -> nn.Module:  # noqa: ARG002
        return _Network(self._checkpoint(), n_classes)

    def _inputs(self, network: _Network, X: Sequence[Words], rows: Array) -> tuple[Tensor, ...]:
        """Character ids with boundary rows, zeros behind each text. Shape (B, T + 2, C)."""
        assert network.bilm.config.char_cnn is not None
        width = network.bilm.config.char_cnn.max_characters
        return (torch.from_numpy(padded_char_ids([X[int(row)][:LONGEST] for row in rows], width)),)

    def _parts(self, network: _Network) -> list[list[nn.Parameter]]:
        """Classes with the mix, the LSTM layers of both directions from the top down, the token layer."""
        bilm = network.bilm
        layers = zip(reversed(bilm.forward_layers), reversed(bilm.backward_layers), strict=True)
        lstm = [[*forward.parameters(), *backward.parameters()] for forward, backward in layers]
        table = bilm.word_table.parameters() if bilm.config.word_table else ()
        return [
            [*network.classes.parameters(), *network.mix.parameters()],
            *lstm,
            [*bilm.char_cnn.parameters(), *table],
        ]

    def _checkpoint(self) -> Checkpoint:
        if self.start is None:
            raise ConfigError("no biLM to start from: use FinetuneHead in a TextClassifier with a loaded `Elmo`.")
        start = self.start()
        if start.config.char_cnn is None:
            raise ConfigError(
                f"{start.name}: this model looks words up in a table; only models that read characters can be"
                " fine-tuned with the classes."
            )
        return start

    def _snapshots(self, X: Sequence[Words], *arrays: Array) -> dict[str, Any]:
        if self.snapshots is None:
            return {}
        start = self._checkpoint()
        about = repr((start.config, start.words, self.batch_size, list(X)))  # the repr of a long array is cut
        digest = hashlib.sha256(about.encode("utf-8", "surrogatepass"))
        for array in (*start.tensors.values(), *arrays):
            digest.update(np.ascontiguousarray(array).tobytes())
        return {"snapshots": self.snapshots, "identity": digest.digest()}

    def checkpoint(self) -> Checkpoint:
        """The tuned biLM with its layer mix, without softmax, for `elmokit.checkpoints.save`."""
        network: Any = self.network_
        mix, start = network.mix, self._checkpoint()
        bilm = {name.removeprefix("bilm."): x for name, x in self.arrays().items() if name.startswith("bilm.")}
        return replace(
            start,
            tensors=bilm,
            layer_mix=LayerMix(weights=tuple(mix.weights.tolist()), gamma=mix.gamma.item()),
            name=f"{start.name}, tuned with classes",
            softmax=None,
        )
