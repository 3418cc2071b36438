"""Parts of networks over the layers of words: padded batches, a packed BiLSTM, saved weights (extra `torch`)."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from elmokit.tasks.saved import SavedHead

Network = TypeVar("Network", bound=nn.Module)


def pad_layers(texts: Sequence[NDArray[Any]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """B arrays (L, T, 2P), each with its own T → layers (L, B, T, 2P), zero behind the words, and their mask (B, T)."""
    n_layers, _, width = texts[0].shape
    longest = max(1, *(text.shape[1] for text in texts))
    layers = np.zeros((n_layers, len(texts), longest, width), np.float32)
    mask = np.zeros((len(texts), longest), np.bool_)
    for row, text in enumerate(texts):
        layers[:, row, : text.shape[1]] = text
        mask[row, : text.shape[1]] = True
    return torch.from_numpy(layers).to(device), torch.from_numpy(mask).to(device)


class PackedLSTM(nn.LSTM):
    """A BiLSTM that reads packed texts, so it never sees padding."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__(width, hidden_width, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]  # (B, T, W), (B,) → (B, T, 2H)
        """Read texts of these lengths, all at least 1; what lies behind them comes out as zeros."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(super().forward(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def restore_weights(network: Network, saved: SavedHead, *, left_out: str = "-") -> Network:
    """Copy saved arrays into a network, checked by its shapes; names that start with `left_out` are not saved."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not name.startswith(left_out):
                array = saved.array(name, *(tensor.shape or (1,)))  # safetensors keeps no scalars
                tensor.copy_(torch.from_numpy(array).reshape(tensor.shape))
    return network.eval()
