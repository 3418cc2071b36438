"""What bilm-tf's training checkpoints and TF-Hub modules share: TensorFlow variables → the published format's names.

The same graph wrote both and, through `dump_weights`, the HDF5 files; only the names of the LSTM cells changed with
TensorFlow's versions. So variables are renamed to the HDF5 names here, and `allennlp` does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.tensor_bundle import Bundle
from elmokit.errors import CheckpointError
from elmokit.reading import printable

_CELL = re.compile(
    r"RNN_(\d)/(?:(?:RNN|rnn|MultiRNNCell|multi_rnn_cell|LSTMCell|lstm_cell|[Cc]ell_?(\d+))/)+"
    r"(kernel|bias|projection/kernel|W_0|B|W_P_0)"
)
_LEAVES = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_OTHER = re.compile(r"embedding|char_embed|CNN/[Wb]_cnn_\d+|CNN_high_\d+/[Wb]_(carry|transform)|CNN_proj/[Wb]_proj")


def published_name(name: str) -> str | None:
    """The HDF5 dataset that a variable of the biLM was dumped to."""
    cell = _CELL.fullmatch(name)
    if cell:
        leaf = _LEAVES.get(cell[3], cell[3])
        return f"RNN_{cell[1]}/RNN/MultiRNNCell/Cell{cell[2] or 0}/LSTMCell/{leaf}"
    return name if _OTHER.fullmatch(name) else None


def model_prefix(names: Iterable[str], place: Path) -> str:
    """What stands before the model's own names, for instance "lm/" or "bilm/"."""
    prefixes = {name[: match.start()] for name in names if (match := re.search(r"(?<![^/])RNN_0/", name))}
    prefixes = {p for p in prefixes if any(published_name(name.removeprefix(p)) for name in names)}
    if len(prefixes) != 1:
        some = ", ".join(map(printable, sorted(names)[:5]))
        what = "no ELMo" if not prefixes else f"several models ({', '.join(sorted(prefixes))})"
        raise CheckpointError(f"{place}: {what} among the variables of this TensorFlow checkpoint ({some}, …).")
    return prefixes.pop()


def read_bilm(bundle: Bundle, place: Path) -> dict[str, NDArray[Any]]:
    """A biLM's variables by the published format's names, as float32."""
    prefix = model_prefix(bundle.entries, place)
    arrays: dict[str, NDArray[Any]] = {}
    for name in bundle.entries:
        if name.startswith(prefix) and (published := published_name(name.removeprefix(prefix))):
            arrays[published] = bundle.read(name).astype(np.float32, copy=False)
    return arrays
