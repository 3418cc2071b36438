"""Measure the peak memory of every reader of foreign files, as the Markdown table of docs/security.md.

`python tests/peak_memory.py [NAME …]` reads, in children, the worst file within each limit and one beyond it.
"""

import gzip
import json
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "unit")]

from golden import make_tiny, make_torch  # noqa: E402
from hostile_checkpoints import deflate_zip, deflated_torch, tried, zip_of  # noqa: E402

MB = 1 << 20


def load(path):
    from elmokit.checkpoints import load

    load(path)


def arrays(path):
    from elmokit.hdf5 import read_arrays

    read_arrays(path, dtype="f4")


def bundle(path):
    from elmokit.checkpoints.tensorflow import open_bundle

    open_bundle(path)


def rows(path):
    from elmokit.data.tables import Table

    for _ in Table(source=path, bad_rows="skip").rows(["text"]):
        pass


def features(path):
    from elmokit import Features

    Features.load(path)


def head(path):
    from elmokit.tasks.saved import loaded_head

    with loaded_head(path.parent, "classifier"):
        pass


def shards(path):
    from elmokit.data.shards import open_shards

    with open_shards(path.parent, job={}, suffix=".npz"):
        pass


def snapshot(path):
    from elmokit.fitting import reading_snapshot

    with reading_snapshot(path, shapes={"a": (1,)}):
        pass


def beside(name, data):
    """A function that makes a tiny model with one more or other file."""

    def make(folder):
        make_tiny.make("plain", folder)
        (folder / name).write_bytes(data(folder))
        return folder

    return make


def options(n_bytes):
    lists = b"[]," * ((n_bytes - 2000) // 3)
    return beside(
        "options.json", lambda f: (f / "options.json").read_bytes().rstrip()[:-1] + b', "a": [' + lists + b"1]}"
    )


def lone(name, data):
    def make(folder):
        (folder / name).write_bytes(data())
        return folder / name

    return make


def hdf5(n_numbers):
    def make(folder):
        import h5py

        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("a", data=np.zeros(n_numbers, "f4"), compression=9, chunks=(MB,))
        return folder / "a.h5"

    return make


def npz(n_bytes):
    return lambda folder: zip_of(folder / "a.npz", zipfile.ZIP_DEFLATED, {"a.npy": bytes(n_bytes)})


def parquet(length, n_rows):
    def make(folder):
        import pyarrow as pa
        import pyarrow.parquet

        texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n_rows, np.int32)), pa.array(["x" * length]))
        table = pa.table({"text": texts})
        pa.parquet.write_table(table, folder / "a.parquet", compression="zstd", store_schema=False)
        return folder / "a.parquet"

    return make


def archived(n_bytes):
    def make(folder):
        make_tiny.make("plain", folder / "in")
        members = {path.name: path.read_bytes() for path in (folder / "in").iterdir()}
        return zip_of(folder / "a.zip", zipfile.ZIP_DEFLATED, members | {"zeros": bytes(n_bytes)})

    return make


def tar_bz2(n_bytes):
    def make(folder):
        make_tiny.make("plain", folder / "in")
        (folder / "in" / "zeros").write_bytes(bytes(n_bytes))
        with tarfile.open(folder / "a.tar.bz2", "w:bz2") as archive:
            archive.add(folder / "in", "in")
        return folder / "a.tar.bz2"

    return make


def saved(config):
    def make(folder):
        (folder / "classifier.safetensors").write_bytes(b"")
        return lone("classifier.json", lambda: config)(folder)

    return make


def header(n_bytes):
    entry = '"%07d": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}'
    text = ("{" + ", ".join(entry % i for i in range(n_bytes // 68)) + "}").encode()
    return len(text).to_bytes(8, "little") + text


def weights(n_bytes):
    def make(folder):
        values = {"format": "elmokit", "format_version": 1, "config": {}}
        (folder / "config.json").write_text(json.dumps(values))
        (folder / "model.safetensors").write_bytes(header(n_bytes))
        return folder

    return make


LISTS = (b"[]," * (16 * MB // 3 - 10)).rstrip(b",")
HEAD = b'{"format": 1, "a": [' + LISTS
KINDS = {
    "configuration (JSON), 4 MB": (load, options(4 * MB - 4000), options(5 * MB)),
    "vocabulary, 4 million lines": (
        load,
        beside("vocab.txt", lambda _: b"ab\n" * 4_000_000),
        beside("vocab.txt", lambda _: b"a\n" * 5_000_000),
    ),
    "vocabulary (gzip), 128 MB": (
        load,
        beside("vocab.txt.gz", lambda _: gzip.compress(b"a" * (127 * MB))),
        beside("vocab.txt.gz", lambda _: gzip.compress(bytes(16 * MB)) * 20),
    ),
    "safetensors header, 4 MB": (load, weights(4 * MB - 4000), weights(5 * MB)),
    "HDF5 with gzip, 16 MB + 20 × its size": (arrays, hdf5(4 * MB), hdf5(64 * MB)),
    "zip, 64 MB + 50 × its size": (load, archived(60 * MB), lambda folder: deflate_zip(folder, None)),
    "tar.bz2, 64 MB + 50 × its size": (load, tar_bz2(60 * MB), tar_bz2(500 * MB)),
    "torch file, its own size": (load, make_torch.make_archive, lambda folder: deflated_torch(folder, None)),
    "TensorFlow index, 4 MB": (
        bundle,
        lone("model.ckpt.index", lambda: bytes(4 * MB)),
        lone("model.ckpt.index", lambda: bytes(5 * MB)),
    ),
    "CSV, a field of 16.8 million characters": (
        rows,
        lone("a.csv", lambda: b"text\n" + b"a" * (16 * MB - 2) + b"\n"),
        lone("a.csv", lambda: b"text\n" + b"a" * (20 * MB)),
    ),
    "CSV, a row of 33.6 million characters": (
        rows,
        lone("a.csv", lambda: b"text\n" + b'"\n",' * (31 * MB // 4) + b"1\n"),
        lone("a.csv", lambda: b"text\n" + b'"\n",' * (9 * MB)),
    ),
    "JSON lines, a line of 16.8 million characters": (
        rows,
        lone("a.jsonl", lambda: b'{"text": "a", "b": [' + LISTS + b"]}\n"),
        lone("a.jsonl", lambda: b'{"text": "a", "b": [' + LISTS * 2 + b"]}\n"),
    ),
    "gzip'ed table, 34 MB or 100 × its size": (
        rows,
        lone("a.csv.gz", lambda: gzip.compress(b"text\n" + b"a b c\n" * (4 * MB))),
        lone("a.csv.gz", lambda: gzip.compress(b"text\n" + b"a" * (400 * MB))),
    ),
    "Parquet, a text of 16.8 million characters": (rows, parquet(16 * MB, 200), parquet(300 * MB, 2)),
    "vectors (.h5), 16 MB + 20 × its size": (features, hdf5(4 * MB), hdf5(64 * MB)),
    "vectors (.npz), 64 MB + 50 × its size": (features, npz(60 * MB), npz(400 * MB)),
    "saved head (JSON), 16 MB": (head, saved(HEAD + b"]}"), saved(HEAD + LISTS)),
    "manifest of shards, 64 MB": (
        shards,
        lone(
            "manifest.jsonl", lambda: b'{"job": {}}\n' + b'{"shard": 1, "rows": 1, "bytes": 1, "sha256": ""}\n' * (MB)
        ),
        lone("manifest.jsonl", lambda: bytes(70 * MB)),
    ),
    "snapshot of training, its own size": (
        snapshot,
        lone("step-1.safetensors", lambda: header(4 * MB)),
        lone("step-1.safetensors", lambda: header(90 * MB)),
    ),
}


def main(names):
    import h5py  # noqa: F401 - before the children, whose memory is measured

    import elmokit.data.shards
    import elmokit.fitting
    import elmokit.tasks.saved  # noqa: F401

    print("| input, limit | within the limit: result, peak, time | beyond it: peak, time |\n|---|---|---|", flush=True)
    for name, (read, within, beyond) in KINDS.items():
        if names and not any(part in name for part in names):
            continue
        cells = []
        for make in (within, beyond):
            with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
                files, place = Path(folder, "files"), Path(folder, "place")
                files.mkdir()
                done = tried(lambda *a: a[1].write_text(str(a[0](a[2]))), make, place, files, limit=8 << 30)
                assert done[0] == "loaded", (name, done)
                place = Path(place.read_text())
                kind, message, seconds, memory = tried(read, place, limit=4 << 30)
                print(kind, message[:150], file=sys.stderr)
                outcome = {"loaded": "read", "ours": "refused"}.get(kind, kind)
                cells.append(f"{outcome}, {memory} MB, {seconds:.1f} s")
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
