"""PyTorch (extra `torch`): bfloat16 on CPUs without compiled loops for it, and everything on a GPU.

On the CPU the loop and the element-wise work are NumPy's, in float32; what changes is how a weight multiplies: oneDNN
with packed bfloat16 weights. On a GPU the LSTMs run there, both directions in one product. A text alone and the same
text in a batch agree to the bit in bfloat16 on the CPUs measured, and to rounding of the precision on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends.numpy import CpuBackend, NumpyHighway, Parts, TokenCNN, Tower, char_cnn_of, least_rows
from elmokit.runtime.batches import MULTIPLE, Batch, BufferPool, State, step_blocks

Array = NDArray[Any]

BLOCK_ROWS = 4096
"""Rows whose input products lie on the GPU at a time (256 MB at 4C = 16,384 in float32)."""


def torch_backend(
    config: ElmoConfig, tensors: Mapping[str, Array], *, device: str = "cpu", precision: str = "float32"
) -> CpuBackend | DeviceBackend:
    """A backend that computes with PyTorch, without gradients, in "float32" or "bfloat16"; results are float32.

    ConfigError for another precision, or a device that is not there.
    """
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f"precision is {precision!r}; PyTorch computes in 'float32' or 'bfloat16'.")
    place = _device(device)
    make_product = partial(TorchProduct, precision=precision, device=place)
    parts = Parts(make_product, highway=partial(NumpyHighway, make_product=make_product))
    cnn = char_cnn_of(config, tensors, "float32", parts)
    if place.type != "cpu":
        return DeviceBackend(config, tensors, cnn, place, _dtype(precision))
    towers = [Tower(config, tensors, d, "float32", make_product) for d in ("forward", "backward")]
    return CpuBackend(cnn, towers, "float32", prepare_thread=one_torch_thread)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} can't be used here: {str(error).splitlines()[0]}") from error
    return device


def _dtype(precision: str) -> torch.dtype:
    return torch.float32 if precision == "float32" else torch.bfloat16


def as_tensor(vectors: Array) -> Tensor:
    """Vectors as a tensor that shares their memory."""
    return torch.from_numpy(vectors)


def one_torch_thread() -> None:
    """Keep PyTorch to one core on the calling thread, and on no other (`torch.set_num_threads` would)."""
    from threadpoolctl import threadpool_limits

    torch.get_num_threads()  # takes the process's setting now, so that it can't undo ours later
    threadpool_limits(limits=1, user_api="openmp")


class TorchProduct:
    """Multiplication by one weight (K, N), packed for its precision and device; NumPy float32 in and out."""

    def __init__(self, weight: Array, precision: str, device: torch.device) -> None:
        self.n_outputs = int(weight.shape[1])
        self.least_rows = least_rows(weight) if precision == "float32" else MULTIPLE
        w = torch.tensor(np.ascontiguousarray(weight.T), dtype=torch.float32)  # (N, K)
        self.multiply: Callable[[Tensor, Tensor], None] = self._in_float32
        if device.type != "cpu":
            self.weight = w.to(device, _dtype(precision))
            self.multiply = self._on_device
        elif precision == "bfloat16":
            self.weight, self.multiply = torch.ops.mkldnn._reorder_linear_weight(w.bfloat16(), 128), self._in_bfloat16
        else:
            self.weight = w.t().contiguous()

    def __call__(self, x: Array, out: Array) -> Array:
        """Put `x @ weight` into `out`, (n, K) → (n, N), and give it back."""
        with torch.inference_mode():
            self.multiply(torch.from_numpy(x), torch.from_numpy(out))
        return out

    def _in_float32(self, x: Tensor, out: Tensor) -> None:
        torch.mm(x, self.weight, out=out)

    def _in_bfloat16(self, x: Tensor, out: Tensor) -> None:
        out.copy_(torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.weight, None, "none", [], ""))

    def _on_device(self, x: Tensor, out: Tensor) -> None:
        out.copy_(torch.nn.functional.linear(x.to(self.weight.device, self.weight.dtype), self.weight))


class DeviceBackend:
    """A `Backend` on a GPU: one product per step for both directions, weights in `dtype`, states in float32."""

    splits: Sequence[tuple[int, ...]] = ((0, 1),)
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        cnn: TokenCNN | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.cnn, self.torch_dtype = config.bilstm, cnn, dtype
        self.place, self.device = device, str(device)
        self._buffers = BufferPool(self.dtype)
        self.prepare_thread: Callable[[], object] | None = one_torch_thread

        def both(name: str) -> Tensor:
            """Forward and backward, transposed. Shape (2, K, N) or, of a bias, (2, 1, N)."""
            arrays = [np.asarray(tensors[f"{d}_layers.{name}"], np.float32) for d in ("forward", "backward")]
            stacked = torch.from_numpy(np.stack([np.atleast_2d(a) for a in arrays]))
            return (stacked if arrays[0].ndim == 1 else stacked.mT.contiguous()).to(device, dtype)

        names = ("weight_ih", "weight_hh", "bias", "weight_hr" if self.config.projection else "")
        self.layers = [[both(f"{k}.{name}") if name else None for name in names] for k in range(self.config.n_layers)]

    def embed(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Pass character ids (D, C) through the character CNN: token vectors (D, P)."""
        assert self.cnn is not None, "a model without characters has no character ids"
        with self._buffers.borrowed() as buffers:
            return self.cnn.encode_ids(ids, buffers)

    @torch.inference_mode()
    def read(
        self, batch: Batch, tokens: Array, start: State, slab: Array, after: State, directions: Sequence[int]
    ) -> None:
        """Read a batch through all LSTM layers; see `elmokit.runtime.backends.Backend.read`."""
        assert tuple(directions) == (0, 1), "both directions are read together"
        numbers = torch.from_numpy(batch.numbers).to(self.place)
        places = torch.from_numpy(batch.places).to(self.place)
        x = torch.from_numpy(tokens).to(self.place, non_blocking=True)[numbers]  # (2, N, P)
        hidden, cell = (torch.from_numpy(a).to(self.place, torch.float32) for a in (start.hidden, start.cell))
        for k, layer in enumerate(self.layers):
            out, hidden[:, k], cell[:, k] = self._read(layer, batch, x, hidden[:, k].clone(), cell[:, k].clone())
            x = out + x if k > 0 and self.config.skip_connections else out
            ordered = [x[direction][places[direction]] for direction in (0, 1)]
            slab[k + 1] = torch.cat(ordered, dim=1).cpu().numpy()
        after.hidden[:], after.cell[:] = hidden.cpu().numpy(), cell.cpu().numpy()

    def _read(self, layer: Any, batch: Batch, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One layer over all steps: outputs (2, N, P) and final states; `h`, `c` (2, B, ·) are updated in place."""
        of_input, of_hidden, bias, _ = layer
        out = torch.empty_like(x)
        starts, counts = batch.starts.tolist(), batch.counts.tolist()
        for first, end in step_blocks(batch.starts, BLOCK_ROWS):
            ahead = torch.baddbmm(bias, x[:, starts[first] : starts[end]].to(self.torch_dtype), of_input)
            for t in range(first, end):
                n, row = counts[t], starts[t] - starts[first]
                z = torch.baddbmm(ahead[:, row : row + n], h[:, :n].to(self.torch_dtype), of_hidden)
                h[:, :n], c[:, :n] = self._cell(layer[3], z.float(), c[:, :n])
                out[:, starts[t] : starts[t + 1]] = h[:, :n]
        return out, h, c

    def _cell(self, projection: Tensor | None, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One step: gates before their non-linearity and old cell → new hidden and cell."""
        i, f, g, o = z.chunk(4, dim=2)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        if self.config.cell_clip is not None:
            c.clamp_(-self.config.cell_clip, self.config.cell_clip)
        h = torch.sigmoid(o) * torch.tanh(c)
        if projection is None:
            return h, c
        h = torch.bmm(h.to(self.torch_dtype), projection).float()
        if self.config.projection_clip is not None:
            h.clamp_(-self.config.projection_clip, self.config.projection_clip)
        return h, c
