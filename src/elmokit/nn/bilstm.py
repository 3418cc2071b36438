"""One direction's stack of LSTM layers, with projection, clipping and skip connections.

Without clips PyTorch's fused kernels compute, several times faster in training; with clips, or where rows of different
length hand their final state on, a loop over time. The cell (Peters et al. 2018 as released): c = clip(σ(f)·c +
σ(i)·tanh(g)); h = clip(W_hr · σ(o)·tanh(c)). Gates are stacked i, f, g, o. From the second layer on, skip connections
add a layer's input to its output, not to its state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import BiLSTMConfig


@dataclass(frozen=True)
class TowerState:
    """What an LSTM tower carries from one piece of text to the next."""

    hidden: Tensor  # (layers, B, P) projected outputs
    cell: Tensor  # (layers, B, cell width)

    def detach(self) -> TowerState:
        """The same values, cut off from the gradient (truncated backpropagation)."""
        return TowerState(self.hidden.detach(), self.cell.detach())


class LSTMLayer(nn.Module):
    """One LSTM layer of one direction; see the module's docstring for the cell."""

    def __init__(self, config: BiLSTMConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.weight_ih = nn.Parameter(torch.empty(4 * config.cell_width, width))
        self.weight_hh = nn.Parameter(torch.empty(4 * config.cell_width, width))
        self.bias = nn.Parameter(torch.zeros(4 * config.cell_width))
        self.weight_hr = nn.Parameter(torch.empty(width, config.cell_width)) if config.projection else None
        bound = (3.0 / width) ** 0.5 / 2
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -bound, bound)
        if self.weight_hr is not None:
            nn.init.xavier_uniform_(self.weight_hr)
        with torch.no_grad():
            self.bias[config.cell_width : 2 * config.cell_width] = 1.0  # the forget gate starts open

    def forward(self, x: Tensor, h: Tensor, c: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Run over time: inputs (B, T, P), hidden state (B, P), cell (B, C) → outputs, final hidden state and cell.

        Where the mask (B, T) is False, the state stands still; None where all positions are real.
        """
        clips = self.config.cell_clip is not None or (
            self.config.projection and self.config.projection_clip is not None
        )
        if clips or mask is not None or x.shape[1] == 0:
            return self._loop(x, h, c, mask)
        weights = [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]
        if self.weight_hr is not None:
            weights.append(self.weight_hr)
        # arguments: biases, one layer, no dropout, training, one direction, batch first
        state = (h.unsqueeze(0), c.unsqueeze(0))
        out, h, c = torch._VF.lstm(x, state, weights, True, 1, 0.0, self.training, False, True)
        return out, h[0], c[0]

    def _loop(self, x: Tensor, h: Tensor, c: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []
        for t, gates in enumerate(F.linear(x, self.weight_ih, self.bias).unbind(dim=1)):
            new_h, new_c = self._cell(gates + F.linear(h, self.weight_hh), c)
            if mask is None:
                h, c = new_h, new_c
            else:
                real = mask[:, t, None]
                h, c = torch.where(real, new_h, h), torch.where(real, new_c, c)
            outputs.append(new_h)
        return (torch.stack(outputs, dim=1) if outputs else x), h, c

    def _cell(self, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        if self.config.cell_clip is not None:
            c = c.clamp(-self.config.cell_clip, self.config.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.weight_hr is not None:
            h = F.linear(h, self.weight_hr)
            if self.config.projection_clip is not None:
                h = h.clamp(-self.config.projection_clip, self.config.projection_clip)
        return h, c


class LSTMTower(nn.ModuleList):
    """The LSTM layers of one direction, reading in the order given; dropout on each layer's input in training."""

    def __init__(self, config: BiLSTMConfig, width: int, *, dropout: float = 0.0) -> None:
        super().__init__(LSTMLayer(config, width) for _ in range(config.n_layers))
        self.config, self.width, self.dropout = config, width, dropout

    def layer(self, number: int) -> LSTMLayer:
        """The layer of that number, from 0."""
        layer = self[number]
        assert isinstance(layer, LSTMLayer)
        return layer

    def initial_state(self, n_rows: int) -> TowerState:
        """The zero state of B rows, on the parameters' device and of their type."""
        weight = self.layer(0).weight_ih
        return TowerState(*(weight.new_zeros(len(self), n_rows, n) for n in (self.width, self.config.cell_width)))

    def forward(
        self, x: Tensor, state: TowerState | None = None, mask: Tensor | None = None
    ) -> tuple[list[Tensor], TowerState]:
        """Each layer's outputs (B, T, P) for token vectors (B, T, P) in reading order, and the final state.

        A mask (B, T) of real positions is needed only where the final state of rows of different length matters.
        """
        state = self.initial_state(x.shape[0]) if state is None else state
        outputs: list[Tensor] = []
        hidden, cell = [], []
        for number in range(len(self)):
            dropped = F.dropout(x, self.dropout, self.training)
            out, h, c = self.layer(number)(dropped, state.hidden[number], state.cell[number], mask)
            x = out + x if self.config.skip_connections and number > 0 else out
            outputs.append(x)
            hidden.append(h)
            cell.append(c)
        return outputs, TowerState(torch.stack(hidden), torch.stack(cell))
