"""The whole encoder: character ids → the layers of every word; and their learned mix, one vector per word.

A sentence's rows are BOS, its words, EOS; the forward tower reads them as they stand, the backward tower each sentence
reversed within its own length; BOS and EOS are dropped at the end. State is passed in and comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elmokit.config import BiLSTMConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.nn.token_encoder import CharCNN, WordTable

TABLE_DROPOUT = 0.15  # how often training leaves a word's table row out, so that its characters learn the word too


@dataclass(frozen=True)
class TowerState:
    """What an LSTM tower carries from one piece of text to the next."""

    hidden: Tensor  # (layers, B, P) projected outputs
    cell: Tensor  # (layers, B, cell width)

    def detach(self) -> TowerState:
        """The same values, cut off from the gradient (truncated backpropagation)."""
        return TowerState(self.hidden.detach(), self.cell.detach())


class LSTMLayer(nn.Module):
    """One LSTM layer of one direction, with projection and clips (Peters et al. 2018 as released).

    c = clip(σ(f)·c + σ(i)·tanh(g)); h = clip(W_hr · σ(o)·tanh(c)). Gates are stacked i, f, g, o. Without clips
    PyTorch's fused kernels compute, several times faster in training; with clips or a mask, a loop over time.
    """

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
    """The LSTM layers of one direction, reading in the order given; dropout on each layer's input in training.

    From the second layer on, skip connections add a layer's input to its output, not to its state.
    """

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


@dataclass(frozen=True)
class Layers:
    """What a biLM says of a batch of sentences, boundaries dropped."""

    vectors: Tensor  # (L, B, T, 2P); zero where the mask is False
    mask: Tensor  # (B, T) real words
    states: tuple[TowerState, TowerState]  # final ones, forward and backward


class BiLM(nn.Module):
    """The bidirectional language model (Peters et al. 2018, §3).

    `dropout` is applied to the token vectors and between LSTM layers in training; `words` are the vocabulary of a model
    with a word table, in the order of its rows. ConfigError for a model with a dictionary of characters.
    """

    def __init__(self, config: ElmoConfig, *, dropout: float = 0.0, words: Sequence[str] | None = None) -> None:
        super().__init__()
        if config.word_width or (config.char_cnn is not None and config.char_cnn.characters is not None):
            raise ConfigError(
                "this model reads a dictionary of characters (ELMoForManyLangs); such models are run (Elmo.load), but"
                " there is no module to train them."
            )
        P = config.projection_width
        self.config = config
        if config.char_cnn is None:
            self.word_embedding = nn.Embedding(config.n_words, P, padding_idx=0)
        else:
            self.char_cnn = CharCNN(config.char_cnn, config.char_width)
            if config.word_table:
                drop = TABLE_DROPOUT if dropout else 0.0
                self.word_table = WordTable(words, P, max_characters=config.char_cnn.max_characters, dropout=drop)
        self.forward_layers = LSTMTower(config.bilstm, P, dropout=dropout)
        self.backward_layers = LSTMTower(config.bilstm, P, dropout=dropout)

    def load_tensors(self, tensors: Mapping[str, object]) -> BiLM:
        """Take a checkpoint's arrays, by the names of `ElmoConfig.tensor_shapes()`, as parameters."""
        self.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
        return self

    def embed(self, ids: Tensor) -> Tensor:
        """Token vectors of character ids, (…, C) → (…, P), or of word rows (…) of a model without char_cnn."""
        if self.config.char_cnn is None:
            return self.word_embedding(ids)  # type: ignore[no-any-return]
        rows = ids.reshape(-1, ids.shape[-1])
        vectors: Tensor = self.char_cnn(rows)
        if self.config.word_table:
            vectors = self.word_table(rows, vectors)
        return vectors.reshape(*ids.shape[:-1], self.config.projection_width)

    def forward(
        self, ids: Tensor, states: tuple[TowerState, TowerState] | None = None, *, keep_boundaries: bool = False
    ) -> Layers:
        """Layers of every word of sentences: rows BOS, words, EOS, then zeros.

        `ids` are (B, T + 2, C), or (B, T + 2) of a model without char_cnn; each tower starts from its state, None for
        zeros; `keep_boundaries` keeps the rows of BOS and EOS in vectors and mask.
        """
        mask = (ids > 0).any(dim=-1) if ids.dim() == 3 else ids > 0
        lengths = mask.sum(dim=1)
        tokens = self.embed(ids) * mask[..., None]
        back = _reversal(lengths, ids.shape[1])
        carry = None if states is None and not bool((lengths != lengths[:1]).any()) else mask
        forward_state, backward_state = states if states is not None else (None, None)
        forward_outputs, forward_state = self.forward_layers(tokens, forward_state, carry)
        backward_outputs, backward_state = self.backward_layers(_take(tokens, back), backward_state, carry)
        layers = [torch.cat([tokens, tokens], dim=-1)]
        for ahead, behind in zip(forward_outputs, backward_outputs, strict=True):
            layers.append(torch.cat([ahead, _take(behind, back)], dim=-1))
        if keep_boundaries:
            return Layers(torch.stack(layers) * mask[..., None], mask, (forward_state, backward_state))
        inner = mask[:, 2:]  # a sentence has two rows more than words
        vectors = torch.stack(layers)[:, :, 1:-1] * inner[..., None]
        return Layers(vectors, inner, (forward_state, backward_state))


class LayerMixer(nn.Module):
    """One vector per word: γ · Σ softmax(w)ₗ · hₗ over its layers (Peters et al. 2018, equation 1).

    With `layer_norm`, each layer is first normalised over the real words and dimensions of each text. The original
    normalises over the whole batch, which makes a text's vectors depend on its neighbours.
    """

    def __init__(self, n_layers: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        """Mix layers (L, B, T, 2P) to (B, T, 2P), zero where the mask (B, T) of real words is False."""
        real = mask[..., None].to(layers.dtype)
        if self.layer_norm:
            count = (real.sum(dim=1, keepdim=True) * layers.shape[-1]).clamp(min=1.0)
            mean = (layers * real).sum(dim=(2, 3), keepdim=True) / count
            variance = (((layers - mean) * real) ** 2).sum(dim=(2, 3), keepdim=True) / count
            layers = (layers - mean) / torch.sqrt(variance + 1e-12)
        shares = torch.softmax(self.weights, dim=0).to(layers.dtype)
        return self.gamma.to(layers.dtype) * torch.einsum("l,lbtd->btd", shares, layers) * real


def _reversal(lengths: Tensor, n_positions: int) -> Tensor:
    """Positions that reverse each row within its length and leave the rest. Shape (B, T)."""
    positions = torch.arange(n_positions, device=lengths.device)[None]
    ends = lengths[:, None]
    return torch.where(positions < ends, ends - 1 - positions, positions)


def _take(x: Tensor, positions: Tensor) -> Tensor:
    return x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))
