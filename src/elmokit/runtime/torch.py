"""The same plan with PyTorch's products: bfloat16 and int8 on the CPU, all of it on a GPU (extra `torch`).

On the CPU the loop, the element-wise work and the plan are the NumPy runtime's, in float32; what changes is how a
weight multiplies: PyTorch in float32, oneDNN with packed bfloat16 weights, or int8 with one scale per weight row and
one per input row. One scale per *row* of the input keeps a sentence independent of its neighbours, which the usual
dynamic quantisation (one scale per batch) does not. On a GPU the LSTMs run there, both directions in one product.

What is promised of a text alone against the same text in a batch: bfloat16 and int8 on the CPU: the same bits on the
processors measured (AVX-512 with bfloat16); float32: 1e-6 relative; on a GPU: to rounding of the precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.numpy import NumpyRuntime
from elmokit.runtime.plan import Batch, Sentence, step_blocks
from elmokit.runtime.rows import MULTIPLE, least_rows
from elmokit.runtime.state import State
from elmokit.runtime.threads import Workers
from elmokit.runtime.word_cache import CACHE_WORDS

Array = NDArray[Any]
Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")

BLOCK_ROWS = 4096
"""Rows whose input products lie on the GPU at a time (256 MB at 4C = 16,384 in float32)."""


class TorchRuntime:
    """A biLM that computes layers with PyTorch, without gradients; the interface of `NumpyRuntime`.

    Args:
        config: what it is made of.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        words: the vocabulary of a model without characters; a word's place is its id.
        device: "cpu", "cuda", "cuda:1" ….
        precision: "float32", "bfloat16", or (on the CPU) "int8" of the large weights. Results are float32.
        n_threads: threads to compute on; None for one per core.
        batch_words: words that are read together; bounds the memory.
        cache_words: words whose token vectors are kept between calls.

    Raises:
        ConfigError: a precision that is not known, or int8 on a GPU; a device that is not there.

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=4, bilstm=BiLSTMConfig(cell_width=8))
        >>> ones = {name: np.ones(shape) for name, shape in config.tensor_shapes().items()}
        >>> runtime = TorchRuntime(config, ones, words=("<S>", "</S>", "<UNK>"), precision="bfloat16")
        >>> [(i, layers.shape) for i, layers in runtime.layers([["a", "b"]])]
        [(0, (3, 2, 8))]
    """

    def __init__(
        self,
        config: ElmoConfig,
        tensors: Mapping[str, Array],
        *,
        words: Sequence[str] | None = None,
        device: str = "cpu",
        precision: str = "float32",
        n_threads: int | None = None,
        batch_words: int = 4096,
        cache_words: int = CACHE_WORDS,
    ) -> None:
        self.config, self.precision = config, precision
        self.device = _device(device, precision)
        on_cpu = self.device.type == "cpu"

        def make_product(weight: Array) -> TorchProduct:
            return TorchProduct(weight, precision, self.device)

        self._runtime = NumpyRuntime(
            config,
            tensors,
            words=words,
            batch_words=batch_words,
            cache_words=cache_words,
            make_product=make_product,
            towers=None if on_cpu else DeviceTowers(config, tensors, self.device, _dtype(precision)),
            workers=Workers(n_threads if on_cpu else 1, prepare=_one_torch_thread),
        )

    def layers(
        self, sentences: Sequence[Sentence], *, state: State | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """All layers of all sentences; see `NumpyRuntime.layers`.

        Args:
            sentences: lists of words.
            state: one row, from which every sentence starts; None for zeros.

        Returns:
            an iterator over the index of a sentence and its layers, (L, T, 2P), float32.
        """
        return self._runtime.layers(sentences, state=state)

    def step(self, sentences: Sequence[Sentence], state: State | None) -> tuple[list[NDArray[Any]], State]:
        """One batch with carried state; see `NumpyRuntime.step`.

        Args:
            sentences: one batch of lists of words.
            state: where the rows start; None for zeros.

        Returns:
            each sentence's layers, (L, T, 2P), and the state after it.
        """
        return self._runtime.step(sentences, state)

    def after_boundary(self, state: State | None) -> State:
        """The state after begin and end of sentence; see `NumpyRuntime.after_boundary`.

        Args:
            state: one row to start from; None for zeros.

        Returns:
            one row.
        """
        return self._runtime.after_boundary(state)


def _device(name: str, precision: str) -> torch.device:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(map(repr, PRECISIONS))}.")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} can't be used here: {str(error).splitlines()[0]}") from error
    if precision == "int8" and device.type != "cpu":
        raise ConfigError(f"precision 'int8' is for the CPU; take 'bfloat16' on {name!r}.")
    return device


def _dtype(precision: str) -> torch.dtype:
    return torch.float32 if precision == "float32" else torch.bfloat16


def _one_torch_thread() -> None:
    """Keep PyTorch to one core on the calling thread, and on no other (`torch.set_num_threads` would)."""
    from threadpoolctl import threadpool_limits

    torch.get_num_threads()  # takes the process's setting now, so that it can't undo ours later
    threadpool_limits(limits=1, user_api="openmp")


class TorchProduct:
    """Multiplication by one weight, packed for its precision; NumPy float32 in and out.

    Args:
        weight: Shape (K, N).
        precision: "float32", "bfloat16" or "int8".
        device: where to multiply.

    Example:
        >>> product = TorchProduct(np.eye(16, dtype=np.float32), "int8", torch.device("cpu"))
        >>> x = np.full((8, 16), 0.5, dtype=np.float32)
        >>> bool(np.allclose(product(x, np.empty_like(x)), x))
        True
    """

    def __init__(self, weight: Array, precision: str, device: torch.device) -> None:
        self.n_outputs = int(weight.shape[1])
        self.least_rows = least_rows(weight) if precision == "float32" else MULTIPLE
        w = torch.tensor(np.ascontiguousarray(weight.T), dtype=torch.float32)  # (N, K)
        self.scale: Tensor | None = None
        self.multiply = self._in_float32
        if device.type != "cpu":
            self.weight = w.to(device, _dtype(precision))
            self.multiply = self._on_device
        elif precision == "bfloat16":
            self.weight, self.multiply = torch.ops.mkldnn._reorder_linear_weight(w.bfloat16(), 128), self._in_bfloat16
        elif precision == "int8":
            self.scale = w.abs().amax(dim=1).clamp_min_(1e-30) / 127
            self.weight, self.multiply = (w / self.scale[:, None]).round_().to(torch.int8), self._in_int8
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

    def _in_int8(self, x: Tensor, out: Tensor) -> None:
        assert self.scale is not None
        scale = x.abs().amax(dim=1, keepdim=True).clamp_min_(1e-30) / 127
        out.copy_(torch._int_mm((x / scale).round_().to(torch.int8), self.weight.t()))
        out.mul_(self.scale).mul_(scale)

    def _on_device(self, x: Tensor, out: Tensor) -> None:
        out.copy_(torch.nn.functional.linear(x.to(self.weight.device, self.weight.dtype), self.weight))


class DeviceTowers:
    """Both directions on a GPU: one product per step for the two of them, states in float32.

    Args:
        config: the model.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        device: where to compute.
        dtype: of weights and products.
    """

    def __init__(
        self, config: ElmoConfig, tensors: Mapping[str, Array], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.config, self.device, self.dtype = config.bilstm, device, dtype

        def both(name: str) -> Tensor:
            """Forward and backward, transposed. Shape (2, K, N) or, of a bias, (2, 1, N)."""
            arrays = [np.asarray(tensors[f"{d}_layers.{name}"], np.float32) for d in ("forward", "backward")]
            stacked = torch.from_numpy(np.stack([np.atleast_2d(a) for a in arrays]))
            return (stacked if arrays[0].ndim == 1 else stacked.mT.contiguous()).to(device, dtype)

        self.layers = [
            (both(f"{k}.weight_ih"), both(f"{k}.weight_hh"), both(f"{k}.bias"), both(f"{k}.weight_hr"))
            if self.config.projection
            else (both(f"{k}.weight_ih"), both(f"{k}.weight_hh"), both(f"{k}.bias"), None)
            for k in range(self.config.n_layers)
        ]

    @torch.inference_mode()
    def run(self, batch: Batch, tokens: Array, start: State, slab: Array) -> State:
        """Read a batch and write all LSTM layers; see `elmokit.runtime.lstm.Towers.run`.

        Args:
            batch: its layout.
            tokens: token vectors by word number. Shape (D, P).
            start: where each row starts.
            slab: takes the layers, from index 1 on. Shape (L, N, 2P).

        Returns:
            the rows' final states.
        """
        numbers = torch.from_numpy(batch.numbers).to(self.device)
        places = torch.from_numpy(batch.places).to(self.device)
        x = torch.from_numpy(tokens).to(self.device, non_blocking=True)[numbers]  # (2, N, P)
        hidden, cell = (torch.from_numpy(a).to(self.device, torch.float32) for a in (start.hidden, start.cell))
        for k, layer in enumerate(self.layers):
            out, hidden[:, k], cell[:, k] = self._read(layer, batch, x, hidden[:, k].clone(), cell[:, k].clone())
            x = out + x if k > 0 and self.config.skip_connections else out
            ordered = [x[direction][places[direction]] for direction in (0, 1)]
            slab[k + 1] = torch.cat(ordered, dim=1).cpu().numpy()
        return State(hidden.cpu().numpy(), cell.cpu().numpy())

    def _read(
        self, layer: tuple[Tensor, Tensor, Tensor, Tensor | None], batch: Batch, x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer over all steps: outputs (2, N, P) and final states; `h`, `c` (2, B, ·) are updated in place."""
        of_input, of_hidden, bias, _ = layer
        out = torch.empty_like(x)
        starts, counts = batch.starts.tolist(), batch.counts.tolist()
        for first, end in step_blocks(batch.starts, BLOCK_ROWS):
            ahead = torch.baddbmm(bias, x[:, starts[first] : starts[end]].to(self.dtype), of_input)
            for t in range(first, end):
                n, row = counts[t], starts[t] - starts[first]
                z = torch.baddbmm(ahead[:, row : row + n], h[:, :n].to(self.dtype), of_hidden)
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
        h = torch.bmm(h.to(self.dtype), projection).float()
        if self.config.projection_clip is not None:
            h.clamp_(-self.config.projection_clip, self.config.projection_clip)
        return h, c
