"""PyTorch (extra `torch`): everything on a GPU, and bfloat16 on CPUs without compiled loops for it.

The modules of `elmokit.nn` embed words; the LSTMs run packed, both directions in one product.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.nn.token_encoder import CharCNN
from elmokit.runtime.batches import Batch, State, step_blocks

Array = NDArray[Any]

BLOCK_ROWS = 4096  # rows whose input products lie on the GPU at a time (256 MB at 4C = 16,384 in float32)


def as_tensor(vectors: Array) -> Tensor:
    """Vectors as a tensor that shares their memory."""
    return torch.from_numpy(vectors)


class TorchBackend:
    """A `Backend` on a device, without gradients: weights in float32 or bfloat16, states and results in float32."""

    splits: Sequence[tuple[int, ...]] = ((0, 1),)
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self, config: ElmoConfig, tensors: Mapping[str, Array], *, device: str = "cpu", precision: str = "float32"
    ) -> None:
        self.config, self.device = config.bilstm, device
        self.type = torch.float32 if precision == "float32" else torch.bfloat16
        try:
            self.place = torch.device(device)
            torch.empty(0, device=self.place)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ConfigError(f"device {device!r} can't be used here: {str(error).splitlines()[0]}") from error

        def load(name: str) -> Tensor:
            return torch.from_numpy(np.array(tensors[name], np.float32)).to(self.place, self.type)

        def both(name: str) -> Tensor:
            """Forward and backward, transposed. Shape (2, K, N) or, of a bias, (2, 1, N)."""
            stacked = torch.stack([load(f"{d}_layers.{name}") for d in ("forward", "backward")])
            return stacked[:, None] if stacked.dim() == 2 else stacked.mT.contiguous()

        if config.char_cnn is not None:
            names = [name for name in tensors if name.startswith("char_cnn.")]
            weights = {name.removeprefix("char_cnn."): load(name) for name in names}
            if config.word_width:  # the columns behind those of the word table
                weights["projection.weight"] = weights["projection.weight"][:, config.word_width :]
            with torch.random.fork_rng(devices=[]):  # whose random numbers stay as they were
                self.cnn = CharCNN(config.char_cnn, config.char_width)
            self.cnn.load_state_dict(weights, assign=True)
        names = ["weight_ih", "weight_hh", "bias", *(["weight_hr"] if self.config.projection else [])]
        self.layers = [[both(f"{k}.{name}") for name in names] for k in range(self.config.n_layers)]

    @torch.inference_mode()
    def embed(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Pass character ids (D, C) through the character CNN: token vectors (D, P)."""
        vectors: Array = self.cnn(torch.from_numpy(ids).to(self.place).long()).float().cpu().numpy()
        return vectors

    @torch.inference_mode()
    def read(
        self, batch: Batch, tokens: Array, start: State, slab: Array, after: State, directions: Sequence[int]
    ) -> None:
        """Read a batch through all LSTM layers; see `elmokit.runtime.backends.Backend.read`."""
        assert tuple(directions) == (0, 1), "both directions are read together"
        numbers = torch.from_numpy(batch.numbers).to(self.place)
        places = torch.from_numpy(batch.places).to(self.place)
        x = torch.from_numpy(tokens).to(self.place, non_blocking=True)[numbers]  # (2, N, P)
        hidden, cell = (torch.tensor(a, dtype=torch.float32, device=self.place) for a in (start.hidden, start.cell))
        for k, layer in enumerate(self.layers):
            out, hidden[:, k], cell[:, k] = self._read(layer, batch, x, hidden[:, k].clone(), cell[:, k].clone())
            x = out + x if k > 0 and self.config.skip_connections else out
            ordered = [x[direction][places[direction]] for direction in (0, 1)]
            slab[k + 1] = torch.cat(ordered, dim=1).cpu().numpy()
        after.hidden[:], after.cell[:] = hidden.cpu().numpy(), cell.cpu().numpy()

    def _read(
        self, layer: Sequence[Tensor], batch: Batch, x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer over all steps: outputs (2, N, P) and final states; `h`, `c` (2, B, ·) are updated in place."""
        of_input, of_hidden, bias, *projection = layer
        out = torch.empty_like(x)
        starts, counts = batch.starts.tolist(), batch.counts.tolist()
        for first, end in step_blocks(batch.starts, BLOCK_ROWS):
            ahead = torch.baddbmm(bias, x[:, starts[first] : starts[end]].to(self.type), of_input)
            for t in range(first, end):
                n, row = counts[t], starts[t] - starts[first]
                z = torch.baddbmm(ahead[:, row : row + n], h[:, :n].to(self.type), of_hidden)
                h[:, :n], c[:, :n] = self._cell(projection, z.float(), c[:, :n])
                out[:, starts[t] : starts[t + 1]] = h[:, :n]
        return out, h, c

    def _cell(self, projection: Sequence[Tensor], z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One step: gates before their non-linearity and old cell → new hidden and cell."""
        i, f, g, o = z.chunk(4, dim=2)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        if self.config.cell_clip is not None:
            c.clamp_(-self.config.cell_clip, self.config.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        for weight in projection:
            h = torch.bmm(h.to(self.type), weight).float()
            if self.config.projection_clip is not None:
                h.clamp_(-self.config.projection_clip, self.config.projection_clip)
        return h, c
