"""TensorFlow's ELMos without TensorFlow: bilm-tf's training checkpoints, TF-Hub modules, and names of HDF5 files.

Variables are renamed to those of the HDF5 files. TensorFlow computes y = x·W + b; its LSTM has one kernel (P + P, 4C),
gates in the order input, candidate, forget, output, and adds 1 to the forget gate while running; the character table
has no padding row. Variables lie in a "tensor bundle": `X.data-00000-of-00001`, and `X.index`, a table in LevelDB's
layout whose values are small protocol buffers. Sources: bilm-tf `model.py`, `training.py`, `dump_weights`; AllenNLP 0.9
`elmo.py`; LevelDB's table_format.md; tensorflow/core/protobuf/tensor_bundle.proto.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints import mapping
from elmokit.checkpoints.checkpoint import Checkpoint, CheckpointFiles, Format, Softmax, vocabulary_beside
from elmokit.checkpoints.mapping import (
    ASSUMED,
    DROP_AXIS,
    PAD_ROW,
    PARTS,
    Names,
    Rule,
    convert,
    read_options,
    transpose,
)
from elmokit.config import LayerMix
from elmokit.errors import CheckpointError
from elmokit.reading import printable, read_bytes, reading

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES, _BLOCK_TRAILER_BYTES = 48, 5
_MAX_INDEX_BYTES, _MAX_KEY_BYTES = 4 << 20, 4096
_MAX_AXES = 8
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


@dataclass(frozen=True)
class Variable:
    """Where one variable lies; `type` is TensorFlow's number."""

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


@dataclass(frozen=True)
class Bundle:
    """The variables of one checkpoint."""

    prefix: Path
    entries: dict[str, Variable]
    n_shards: int

    def read(self, name: str) -> NDArray[Any]:
        """One variable."""
        entry = self.entries[name]
        path = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.n_shards:05d}")
        with reading(path, what=f"data file of TensorFlow: the variable {name}"):
            if entry.type not in _TYPES or len(entry.shape) > _MAX_AXES:
                raise ValueError(f"type {entry.type} with {len(entry.shape)} axes; only ordinary arrays are read")
            dtype, n_numbers = np.dtype(_TYPES[entry.type]), math.prod(entry.shape)
            end, n_bytes = entry.offset + entry.size, path.stat().st_size
            if entry.size != n_numbers * dtype.itemsize or end > n_bytes:
                place = f"{entry.shape} at bytes {entry.offset:,} to {end:,}"
                raise ValueError(f"it should lie {place}, but the file has {n_bytes:,}: was it cut off?")
            return np.fromfile(path, dtype=dtype, count=n_numbers, offset=entry.offset).reshape(entry.shape)


def open_bundle(index_path: Path) -> Bundle:
    """Read the index of a bundle."""
    data = read_bytes(index_path, max_bytes=_MAX_INDEX_BYTES)
    with reading(index_path, what="index of a TensorFlow checkpoint; is it whole?"):
        pairs = dict(_table(data))
        n_shards = _first(pairs.pop(b"", b""), 1, 1)
        entries = {key.decode("utf-8"): _entry(value) for key, value in pairs.items()}
    return Bundle(index_path.with_name(index_path.name.removesuffix(".index")), entries, n_shards)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(data) < _FOOTER_BYTES or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it lacks the closing signature")
    footer = _Reader(data[-_FOOTER_BYTES:])
    _, _, offset, size = (footer.varint() for _ in range(4))  # the meta index, which bundles do not use, and the index
    for _, place in _block(data, offset, size):
        reader = _Reader(place)
        yield from _block(data, reader.varint(), reader.varint())


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _BLOCK_TRAILER_BYTES > len(data) or size < 4:
        raise ValueError(f"a block at byte {offset} reaches beyond the end")
    if data[offset + size] != 0:
        raise ValueError("a block is compressed, which TensorFlow does not do")
    block = data[offset : offset + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise ValueError(f"the block at byte {offset} has no room for its restart points")
    reader, key = _Reader(block[:end]), b""
    while reader.left:
        n_shared, n_own, n_value = reader.varint(), reader.varint(), reader.varint()
        if n_shared > len(key) or n_shared + n_own > _MAX_KEY_BYTES:
            raise ValueError(f"a name in the block at byte {offset} is out of bounds")
        key = key[:n_shared] + reader.take(n_own)
        yield key, reader.take(n_value)


class _Reader:
    """Takes numbers and bytes from the front of a byte string."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise ValueError(f"{n} bytes are wanted where {self.left} are left")
        self._place += n
        return self._data[self._place - n : self._place]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number is longer than ten bytes")


def _message(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer: number and value, an integer or bytes."""
    reader = _Reader(data)
    while reader.left:
        number, kind = divmod(reader.varint(), 8)
        if kind == 0:
            yield number, reader.varint()
        elif kind == 2:
            yield number, reader.take(reader.varint())
        elif kind in (1, 5):
            yield number, int.from_bytes(reader.take(8 if kind == 1 else 4), "little")
        else:
            raise ValueError(f"a value has a field of kind {kind}")


def _first(data: bytes, number: int, default: int = 0) -> int:
    return next((int(value) for n, value in _message(data) if n == number), default)


def _entry(data: bytes) -> Variable:
    fields = list(_message(data))
    numbers = dict(reversed([(n, value) for n, value in fields if isinstance(value, int)]))
    shapes = [value for n, value in fields if n == 2 and isinstance(value, bytes)][-1:]
    sizes = [size for shape in shapes for n, size in _message(shape) if n == 2 and isinstance(size, bytes)]
    shard, offset, size = (numbers.get(n, 0) for n in (3, 4, 5))
    return Variable(numbers.get(1, 0), tuple(_first(size, 1) for size in sizes), shard, offset, size)


_CELL = re.compile(
    r"RNN_(\d)/(?:(?:RNN|rnn|MultiRNNCell|multi_rnn_cell|LSTMCell|lstm_cell|[Cc]ell_?(\d+))/)+"
    r"(kernel|bias|projection/kernel|W_0|B|W_P_0)"
)
_LEAVES = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_OTHER = re.compile(
    r"embedding|char_embed|CNN/[Wb]_cnn_\d+|CNN_high_\d+/[Wb]_(carry|transform)|CNN_proj/[Wb]_proj|softmax/[Wb]"
)


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


def read_bilm(bundle: Bundle, place: Path, *, with_softmax: bool = False) -> dict[str, NDArray[Any]]:
    """A biLM's variables by the published format's names, as float32."""
    prefix = model_prefix(bundle.entries, place)
    arrays: dict[str, NDArray[Any]] = {}
    for name in bundle.entries:
        published = published_name(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if published and (with_softmax or not published.startswith("softmax/")):
            arrays[published] = bundle.read(name).astype(np.float32, copy=False)
    return arrays


def take_softmax(arrays: dict[str, NDArray[Any]], shared: NDArray[Any] | None = None) -> Softmax | None:
    """Take the softmax out of a file's arrays; `shared` is its weight where it has none of its own."""
    weight, bias = arrays.pop("softmax/W", shared), arrays.pop("softmax/b", None)
    return None if weight is None or bias is None else Softmax(weight, bias)


_CELL_ARRAYS = "RNN_0/RNN/MultiRNNCell/Cell{i}/LSTMCell/"
NAMES = Names(
    table="char_embed",
    convolution="CNN/W_cnn_{i}",
    highway="CNN_high_{i}/W_carry",
    projection="CNN_proj/W_proj",
    cell=_CELL_ARRAYS + "W_0",
    cell_projection=_CELL_ARRAYS + "W_P_0",
    tensorflow=True,
)
_TF_GATES = mapping.reorder_blocks((0, 2, 1, 3))
TABLE = (
    Rule("embedding", ("word_embedding.weight",), (PAD_ROW,)),
    Rule("char_embed", ("char_cnn.embedding.weight",), (PAD_ROW,)),
    Rule("CNN/W_cnn_{i}", ("char_cnn.convolutions.{i}.weight",), (DROP_AXIS, transpose((2, 1, 0)))),
    Rule("CNN/b_cnn_{i}", ("char_cnn.convolutions.{i}.bias",)),
    Rule("CNN_high_{i}/W_carry", ("char_cnn.highways.{i}.gate.weight",), (transpose(),)),
    Rule("CNN_high_{i}/b_carry", ("char_cnn.highways.{i}.gate.bias",)),
    Rule("CNN_high_{i}/W_transform", ("char_cnn.highways.{i}.transform.weight",), (transpose(),)),
    Rule("CNN_high_{i}/b_transform", ("char_cnn.highways.{i}.transform.bias",)),
    Rule("CNN_proj/W_proj", ("char_cnn.projection.weight",), (transpose(),)),
    Rule("CNN_proj/b_proj", ("char_cnn.projection.bias",)),
    Rule(
        "RNN_{d}/RNN/MultiRNNCell/Cell{i}/LSTMCell/W_0",
        ("{direction}_layers.{i}.weight_ih", "{direction}_layers.{i}.weight_hh"),
        (transpose(), _TF_GATES),
        axis=1,
    ),
    Rule(
        "RNN_{d}/RNN/MultiRNNCell/Cell{i}/LSTMCell/B",
        ("{direction}_layers.{i}.bias",),
        (_TF_GATES, mapping.change_block(1, 4, lambda x: x + 1, lambda x: x - 1)),
    ),
    Rule("RNN_{d}/RNN/MultiRNNCell/Cell{i}/LSTMCell/W_P_0", ("{direction}_layers.{i}.weight_hr",), (transpose(),)),
)


def _read_training(source: CheckpointFiles) -> Checkpoint:
    """Read a folder of a training run, or one of its checkpoints by its .index file; optimiser slots are left out."""
    index_path = _newest_index(source)
    options_path = source.folder / "options.json"
    options = read_options(options_path)
    bundle = open_bundle(index_path)
    arrays = read_bilm(bundle, index_path, with_softmax=source.with_softmax)
    softmax = take_softmax(arrays, arrays.get("embedding") if options.get("share_embedding_softmax") else None)
    if "char_cnn" in options:
        arrays.pop("embedding", None)
    config, tensors = convert(options, arrays, NAMES, TABLE, options_path, index_path)
    words, counts, problem = vocabulary_beside(options_path, needed=config.char_cnn is None)
    metadata = {name: value for name, value in options.items() if name not in PARTS} | problem
    if "global_step" in bundle.entries:
        metadata["global_step"] = int(bundle.read("global_step").item())
    return Checkpoint(config, tensors, words=words, word_counts=counts, softmax=softmax, metadata=metadata)


def _newest_index(source: CheckpointFiles) -> Path:
    """The .index file that `checkpoint` names, by a path of the machine it was written on, or of the highest step."""
    if source.path.is_file():
        return source.path
    indexes = source.files(".index")
    if source.has("checkpoint"):
        text = (source.path / "checkpoint").read_bytes()[:65536].decode("utf-8", "replace")
        named = re.search(r'^model_checkpoint_path:\s*"([^"\n]+)"', text, re.MULTILINE)
        wanted = re.split(r"[/\\]", named[1])[-1] + ".index" if named else None
        if any(path.name == wanted for path in indexes):
            return source.path / str(wanted)
    return max(indexes, key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)[-1:]])


def _recognise_training(source: CheckpointFiles) -> bool:
    return bool(source.files(".index")) and source.folder.name != "variables"  # of a SavedModel


def _recognise_hub(source: CheckpointFiles) -> bool:
    return (source.has("saved_model.pb") or source.has("tfhub_module.pb")) and (source.path / "variables").is_dir()


def _read_hub(source: CheckpointFiles) -> Checkpoint:
    """Read the variables of a SavedModel (`google/elmo/2`, `/3`, DeepPavlov's); its graph is not read.

    What the graph alone knows is taken from an `options.json` beside it, or else from what Google's module is.
    """
    index_path = source.path / "variables" / "variables.index"
    bundle = open_bundle(index_path)
    arrays = read_bilm(bundle, index_path)
    options_path = source.path / "options.json"
    known = options_path.is_file()
    options = read_options(options_path) if known else NAMES.options(arrays, index_path)
    if "char_embed" in arrays and len(arrays["char_embed"]) == 262:
        arrays["char_embed"] = arrays["char_embed"][1:]  # exports that feed shifted ids have the padding row inside
    place = options_path if known else index_path
    config, tensors = convert(options, arrays, NAMES, TABLE, place, index_path)
    return Checkpoint(config, tensors, _layer_mix(bundle), metadata={} if known else ASSUMED)


def _layer_mix(bundle: Bundle) -> LayerMix:
    def find(*endings: str) -> NDArray[Any] | None:
        names = [name for name in bundle.entries if name.endswith(endings)]
        return np.ravel(bundle.read(names[0])) if names else None

    weights, gamma = find("aggregation/weights", "_ELMo_W"), find("aggregation/scaling", "_ELMo_gamma")
    return LayerMix(
        weights=None if weights is None else tuple(map(float, weights)),
        gamma=1.0 if gamma is None or gamma.size != 1 else float(gamma[0]),
    )


_TITLE = "bilm-tf training checkpoint (model.ckpt-N.index, options.json)"
TRAINING = Format("bilm-tf", _TITLE, _recognise_training, _read_training)
HUB = Format("tfhub", "TF-Hub module (saved_model.pb, variables/)", _recognise_hub, _read_hub)
