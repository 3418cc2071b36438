"""Which runtime computes what was asked for: the one place that knows them all.

float32 and bfloat16 on the CPU take the compiled loops where they run; float32 and float64 are NumPy's otherwise; the
rest (bfloat16 without the loops, int8, GPUs) is PyTorch's, imported only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from elmokit.config import ElmoConfig
from elmokit.errors import ConfigError
from elmokit.runtime.backends.native import NativeRuntime
from elmokit.runtime.kernels import native_precisions
from elmokit.runtime.numpy import NumpyRuntime
from elmokit.runtime.state import State
from elmokit.runtime.word_cache import CACHE_WORDS

Array = NDArray[Any]

PRECISIONS = ("float32", "float64", "bfloat16", "int8")


class Runtime(Protocol):
    """What all runtimes can do."""

    def layers(self, sentences: Sequence[Sequence[str]], *, state: State | None = None) -> Iterator[tuple[int, Array]]:
        """Index and layers (L, T, 2P) of every sentence, in the order of computation."""
        ...

    def step(self, sentences: Sequence[Sequence[str]], state: State | None) -> tuple[list[Array], State]:
        """One batch with carried state: layers of each sentence, and the state after it."""
        ...

    def after_boundary(self, state: State | None) -> State:
        """The state after begin (forward) and end (backward) of sentence."""
        ...


def make_runtime(
    config: ElmoConfig,
    tensors: Mapping[str, Array],
    *,
    words: Sequence[str] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    n_threads: int | None = None,
    cache_words: int = CACHE_WORDS,
) -> Runtime:
    """A biLM that computes layers, by the fastest way that there is here.

    Args:
        config: what it is made of.
        tensors: arrays by the names of `ElmoConfig.tensor_shapes()`.
        words: the vocabulary of a model without characters; a word's place is its id.
        device: "auto" (the CPU), "cpu", or a GPU's name.
        precision: "float32", "float64", "bfloat16" or "int8".
        n_threads: threads to compute on; None for one per core.
        cache_words: words whose token vectors are kept between calls.

    Returns:
        a `NativeRuntime`, `NumpyRuntime` or `TorchRuntime`; they have one interface.

    Raises:
        ConfigError: a device or precision that is not known, or that do not go together.
        MissingExtra: it needs PyTorch, which is not installed.

    Example:
        >>> from elmokit.config import BiLSTMConfig
        >>> config = ElmoConfig(projection_width=4, char_cnn=None, n_words=4, bilstm=BiLSTMConfig(cell_width=8))
        >>> import numpy as np
        >>> zeros = {name: np.zeros(shape) for name, shape in config.tensor_shapes().items()}
        >>> runtime = make_runtime(config, zeros, words=("<S>", "</S>", "<UNK>"))
        >>> [(i, layers.shape) for i, layers in runtime.layers([["a", "b"]])]
        [(0, (3, 2, 8))]
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(map(repr, PRECISIONS))}.")
    on_cpu = device in ("auto", "cpu")
    if precision == "float64" and not on_cpu:
        raise ConfigError(f"precision 'float64' is for the CPU, not {device!r}.")
    options: dict[str, Any] = {"words": words, "n_threads": n_threads, "cache_words": cache_words}
    if on_cpu and precision in native_precisions():
        return NativeRuntime(config, tensors, precision=precision, **options)
    if on_cpu and precision in ("float32", "float64"):
        return NumpyRuntime(config, tensors, dtype=precision, **options)
    from elmokit.runtime.torch import TorchRuntime

    return TorchRuntime(config, tensors, device="cpu" if on_cpu else device, precision=precision, **options)
