"""Make the files that `tests/test_release.py` loads: models as 0.1.0 wrote them, and files to be refused.

    python tests/data/make_data.py native     # native_v1/: only when a format version is new; old ones stay as they are
    python tests/data/make_data.py hostile    # hostile/: broken, odd and malicious files, small ones

`native_v1` must never be made again: it stands for the files that people have. A later format version gets a folder of
its own beside it. `hostile` is the corpus of inputs that `load` must answer with one of our errors; what a fuzzer or a
user finds joins it. In `hostile/parts` lies one file of a native model, whose other files are native_v1's; in
`hostile/whole` what a user would point at. The malicious pickles would make a folder named `it-ran`.
"""

import io
import json
import os
import pickle
import shutil
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent
SENTENCES = [["The", "cat", "sat", "."], ["naïve", "日本語", "🙂", "x" * 60], ["again"], []]
WORDS = ("<S>", "</S>", "<UNK>", "the", "cat", "sat")


def native(folder: Path) -> None:
    from elmokit import BiLSTMConfig, CharCNNConfig, Checkpoint, Elmo, ElmoConfig
    from elmokit.checkpoints import Softmax, save
    from elmokit.config import LayerMix

    config = ElmoConfig(
        projection_width=6,
        char_cnn=CharCNNConfig(embedding_width=4, filters=((1, 4), (2, 8), (3, 12)), n_highway=1),
        bilstm=BiLSTMConfig(cell_width=16),
        tokenizer="default",
    )
    rng = np.random.default_rng(1)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 4
        tensors[name] = (rng.standard_normal(shape) * 1.3 / np.sqrt(fan_in)).astype(np.float32)
    tensors["char_cnn.embedding.weight"][0] = 0
    softmax = Softmax(rng.standard_normal((6, 6)).astype(np.float32), rng.standard_normal(6).astype(np.float32))
    mix = LayerMix(weights=(0.5, -0.25, 1.0), gamma=1.5)
    model = Checkpoint(config, tensors, mix, WORDS, (9, 9, 1, 5, 3, 2), softmax, "stored", {"made_by": "0.1.0"})
    for storage in ("float32", "float16", "int8"):
        save(model, folder / storage, storage=storage)
        elmo = Elmo.load(folder / storage)
        layers = {f"layers_{i}": f.vectors for i, f in enumerate(elmo.encode_words(SENTENCES, layers="each"))}
        np.savez_compressed(folder / storage / "vectors.npz", texts=elmo.encode(SENTENCES), **layers)


def hostile(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for room in ("parts", "whole"):
        (folder / room).mkdir(parents=True)
    weights = (HERE / "native_v1" / "float32" / "model.safetensors").read_bytes()
    config = json.loads((HERE / "native_v1" / "float32" / "config.json").read_text(encoding="utf-8"))
    for name, data in tensor_files(weights).items():
        (folder / "parts" / f"{name}.safetensors").write_bytes(data)
    for name, text in configurations(config).items():
        (folder / "parts" / f"{name}.json").write_text(text, encoding="utf-8")
    for name, text in {"not-utf8": b"the\n\xff\xfe\n", "too-few": b"the\t1\n", "empty": b""}.items():
        (folder / "parts" / f"{name}.txt").write_bytes(text)
    for fill in (archives, hdf5_files, pickles, tensorflow):
        fill(folder / "whole")


def safetensors(header: object, body: bytes = bytes(64)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor_files(whole: bytes) -> dict[str, bytes]:
    def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> bytes:
        return safetensors({"char_cnn.embedding.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})

    return {
        "empty": b"",
        "seven-bytes": b"\x01" * 7,
        "cut-off": whole[:3000],
        "header-beyond-end": struct.pack("<Q", 1 << 60) + b"{}",
        "header-of-16-exabytes": struct.pack("<Q", (1 << 64) - 1) + b"{}",
        "header-not-json": safetensors(b"\x00\xff not json"),
        "header-a-list": safetensors([1, 2, 3]),
        "header-deep": safetensors(b"[" * 3000),
        "header-empty": safetensors({}),
        "a-web-page": b"<!DOCTYPE html><title>404</title>",
        "unknown-type": one("F8_E4M3"),
        "type-a-number": one(7),
        "type-a-list": one(["F32"]),
        "shape-huge": one(shape=[1 << 40, 1 << 40], offsets=[0, 8]),
        "shape-negative": one(shape=[-2, -1]),
        "shape-of-booleans": one(shape=[True, 2]),
        "shape-a-string": one(shape="2"),
        "shape-of-fractions": one(shape=[2.0]),
        "offsets-beyond-end": one(shape=[1000], offsets=[0, 4000]),
        "offsets-backwards": one(offsets=[8, 0]),
        "offsets-negative": one(offsets=[-8, 0]),
        "offsets-three": one(offsets=[0, 4, 8]),
        "offsets-not-whole": one(offsets=[0, 7]),
        "entry-a-string": safetensors({"a": "b"}),
        "int8-without-scale": one("I8", [8, 1]),
        "pickle": pickle.dumps({"a": 1}),
    }


def configurations(good: dict) -> dict[str, str]:
    def with_(path: str, value: object) -> str:
        values = json.loads(json.dumps(good))
        *parents, last = path.split(".")
        place = values
        for parent in parents:
            place = place[parent]
        place[last] = value
        return json.dumps(values)

    return {
        "empty": "",
        "not-json": "{'format': 'elmokit'}",
        "a-list": "[]",
        "deep": "[" * 100_000,
        "no-config": json.dumps({"format": "elmokit", "format_version": 1}),
        "other-format": with_("format", "word2vec"),
        "version-newer": with_("format_version", 999),
        "version-a-string": with_("format_version", "1"),
        "version-null": with_("format_version", None),
        "version-zero": with_("format_version", 0),
        "version-true": with_("format_version", True),
        "unknown-name": with_("config.surprise", 1),
        "width-zero": with_("config.projection_width", 0),
        "width-a-fraction": with_("config.projection_width", 6.5),
        "width-a-string": with_("config.projection_width", "6"),
        "width-huge": with_("config.projection_width", 10**30),
        "width-infinite": with_("config.projection_width", float("inf")),
        "layers-negative": with_("config.bilstm.n_layers", -1),
        "layers-a-billion": with_("config.bilstm.n_layers", 10**9),
        "layers-nan": with_("config.bilstm.n_layers", float("nan")),
        "highways-a-billion": with_("config.char_cnn.n_highway", 10**9),
        "filters-empty": with_("config.char_cnn.filters", []),
        "filters-flat": with_("config.char_cnn.filters", [1, 4]),
        "filters-of-strings": with_("config.char_cnn.filters", [["1", "four"]]),
        "filters-huge": with_("config.char_cnn.filters", [[1, 10**18]]),
        "characters-a-string": with_("config.char_cnn.characters", "abc"),
        "max-characters-huge": with_("config.char_cnn.max_characters", 10**15),
        "max-characters-a-fraction": with_("config.char_cnn.max_characters", 50.5),
        "n-characters-one": with_("config.char_cnn.n_characters", 1),
        "activation-unknown": with_("config.char_cnn.activation", "__import__('os').system('id')"),
        "clip-a-string": with_("config.bilstm.cell_clip", "3"),
        "clip-nan": with_("config.bilstm.cell_clip", float("nan")),
        "tokenizer-unknown": with_("config.tokenizer", "../../etc/passwd"),
        "tokenizer-a-list": with_("config.tokenizer", ["default"]),
        "bilstm-null": with_("config.bilstm", None),
        "bilstm-a-list": with_("config.bilstm", [2, 16]),
        "projection-a-string": with_("config.bilstm.projection", "no"),
        "mix-too-many": with_("layer_mix.weights", [0.0] * 7),
        "mix-of-strings": with_("layer_mix.weights", ["a", "b", "c"]),
        "mix-nan": with_("layer_mix.weights", [float("nan")] * 3),
        "gamma-infinite": with_("layer_mix.gamma", float("inf")),
        "gamma-a-string": with_("layer_mix.gamma", "1"),
        "facts-a-list": with_("facts", [1, 2]),
        "n-words-huge": with_("config.n_words", 10**12),
    }


def archives(folder: Path) -> None:
    def zipped(name: str, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        path = folder / f"archive-{name}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, data in members.items():
                archive.writestr(zipfile.ZipInfo(member), data, method)
        return path

    zipped("climbs-out", {"../../it-ran": b"x"})
    zipped("absolute", {"/tmp/it-ran": b"x"})
    zipped("backslashes", {"..\\..\\it-ran": b"x"})
    zipped("drive", {"C:it-ran": b"x"})
    zipped("nothing-in-it", {})
    zipped("no-model", {"README.txt": b"hello"})
    zipped("zip-in-zip", {"inner.zip": (folder / "archive-no-model.zip").read_bytes()})
    with (
        zipfile.ZipFile(folder / "archive-bomb.zip", "w", zipfile.ZIP_BZIP2) as archive,
        archive.open("model.safetensors", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    whole = zipped("whole", {"config.json": b'{"format": "elmokit"}' * 40, "model.safetensors": bytes(range(256)) * 4})
    data = whole.read_bytes()
    (folder / "archive-cut-off.zip").write_bytes(data[: len(data) // 2])
    damaged = bytearray(data)
    damaged[60:90] = bytes(30)
    (folder / "archive-damaged.zip").write_bytes(damaged)
    encrypted = bytearray(data)
    for place in (data.find(b"PK\x03\x04") + 6, data.find(b"PK\x01\x02") + 8):
        encrypted[place] |= 1
    (folder / "archive-encrypted.zip").write_bytes(encrypted)
    whole.unlink()

    def tarred(name: str, entries: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> None:
        with tarfile.open(folder / f"archive-{name}", mode) as archive:
            for entry, data in entries:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))

    def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info

    tarred("climbs-out.tar.gz", [(entry("../it-ran"), b"x")])
    tarred("link.tar.gz", [(entry("config.json", tarfile.SYMTYPE, "/etc/passwd"), b"")])
    tarred("hard-link.tar.gz", [(entry("config.json", tarfile.LNKTYPE, "../../etc/passwd"), b"")])
    tarred("device.tar.gz", [(entry("model.safetensors", tarfile.CHRTYPE), b"")])
    tarred("fifo.tar.gz", [(entry("model.safetensors", tarfile.FIFOTYPE), b"")])
    tarred("twice.tar.gz", [(entry("config.json"), b"{}"), (entry("config.json"), b"[]")])
    tarred("many.tar.xz", [(entry(f"{i}"), b"") for i in range(10_001)], "w:xz")


OPTIONS = {
    "char_cnn": {
        "activation": "relu",
        "embedding": {"dim": 3},
        "filters": [[1, 2], [2, 3]],
        "max_characters_per_token": 50,
        "n_characters": 262,
        "n_highway": 1,
    },
    "lstm": {
        "cell_clip": 3,
        "dim": 6,
        "n_layers": 2,
        "proj_clip": 3,
        "projection_dim": 4,
        "use_skip_connections": True,
    },
}


def hdf5_files(folder: Path) -> None:
    def case(name: str, fill: object, options: object = OPTIONS) -> Path:
        place = folder / f"hdf5-{name}"
        place.mkdir()
        (place / "options.json").write_text(json.dumps(options))
        with h5py.File(place / "weights.hdf5", "w") as file:
            fill(file)
        return place / "weights.hdf5"

    table = "char_embed"
    numbers = np.ones((261, 3), np.float32)
    case("no-datasets", lambda f: None)
    case("a-group-for-a-table", lambda f: f.create_group(table))
    case("five-dimensions", lambda f: f.create_dataset(table, data=np.ones((2, 1, 1, 1, 2), np.float32)))
    case("a-scalar", lambda f: f.create_dataset(table, data=np.float32(1)))
    case("null-space", lambda f: f.create_dataset(table, data=h5py.Empty("f4")))
    case("no-rows", lambda f: f.create_dataset(table, shape=(0, 3), dtype="f4"))
    case("strings", lambda f: f.create_dataset(table, data=np.array([b"a", b"b"])))
    case("compound", lambda f: f.create_dataset(table, data=np.zeros(3, [("a", "f4"), ("b", "i4")])))
    case("complex", lambda f: f.create_dataset(table, data=np.ones((261, 3), np.complex64)))
    case("a-terabyte", lambda f: f.create_dataset(table, shape=(1 << 20, 1 << 18), dtype="f4", chunks=(64, 64)))
    case("bomb", lambda f: f.create_dataset(table, shape=(1 << 14, 1 << 14), dtype="f4", compression="gzip"))
    case("soft-link-loop", lambda f: f.__setitem__(table, h5py.SoftLink(f"/{table}")))
    case("external-link", lambda f: f.__setitem__(table, h5py.ExternalLink("/etc/passwd", "/x")))
    case(
        "external-storage",
        lambda f: f.create_dataset(table, shape=(1, 8), dtype="u1", external=[("/etc/passwd", 0, 8)]),
    )
    case("virtual", virtual)
    case("hard-link-loop", lambda f: f.create_group("a").__setitem__("b", f["a"]))
    whole = case("cut-off", lambda f: f.create_dataset(table, data=numbers))
    whole.write_bytes(whole.read_bytes()[:2500])
    damaged = case("damaged", lambda f: f.create_dataset(table, data=numbers))
    data = bytearray(damaged.read_bytes())
    data[600:800] = b"\xff" * 200
    damaged.write_bytes(data)
    page = case("a-web-page", lambda f: None)
    page.write_text("<html>404</html>")
    for name, options in odd_options().items():
        case(f"options-{name}", lambda f: f.create_dataset(table, data=np.ones((2, 3), np.float32)), options)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    file.create_virtual_dataset("char_embed", layout)


def odd_options() -> dict[str, object]:
    def with_(part: str, name: str, value: object) -> dict:
        values = json.loads(json.dumps(OPTIONS))
        values[part][name] = value
        return values

    return {
        "a-number": 3,
        "empty": {},
        "lstm-a-list": {**OPTIONS, "lstm": [1]},
        "layers-a-billion": with_("lstm", "n_layers", 10**9),
        "layers-a-string": with_("lstm", "n_layers", "two"),
        "dim-huge": with_("lstm", "dim", 10**30),
        "clip-a-list": with_("lstm", "cell_clip", [3]),
        "highways-a-billion": with_("char_cnn", "n_highway", 10**9),
        "filters-nested": with_("char_cnn", "filters", [[[1, 2]]]),
        "embedding-null": with_("char_cnn", "embedding", None),
    }


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("it-ran",)


def pickles(folder: Path) -> None:
    many = folder / "pickle-manylangs"
    many.mkdir()
    for name in ("encoder.pkl", "token_embedder.pkl"):
        (many / name).write_bytes(pickle.dumps(Hostile(), protocol=2))
    (many / "config.json").write_text("{}")
    (many / "char.dic").write_text("a\t0\n")
    with tarfile.open(folder / "pickle-allennlp.tar.gz", "w:gz") as archive:
        for name, data in {
            "config.json": json.dumps({"model": {"type": "elmo"}}).encode(),
            "weights.th": pickle.dumps(Hostile(), protocol=2),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (folder / "pickle-named-as-ours.safetensors").write_bytes(pickle.dumps(Hostile(), protocol=2))


def tensorflow(folder: Path) -> None:
    hub = folder / "tensorflow-hub"
    (hub / "variables").mkdir(parents=True)
    (hub / "saved_model.pb").write_bytes(b"\xff" * 40)
    (hub / "variables" / "variables.index").write_bytes(bytes(64))
    (hub / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(8))
    training = folder / "tensorflow-training"
    training.mkdir()
    (training / "checkpoint").write_text('model_checkpoint_path: "/etc/passwd"\n')
    (training / "options.json").write_text(json.dumps(OPTIONS))
    (training / "model.ckpt-1.index").write_bytes(b"\x80" * 80 + struct.pack("<Q", 0xDB4775248B80FB57))


if __name__ == "__main__":
    if sys.argv[1] == "native":
        native(HERE / "native_v1")
    else:
        hostile(HERE / "hostile")
