"""Load hostile checkpoints, each in a forked child that may take little memory, and print what happened as JSON.

`python hostile_checkpoints.py FOLDER` writes the files below FOLDER and loads them. Run by
tests/laws/test_hostile_checkpoints.py.
"""

import bz2
import gzip
import json
import os
import resource
import shutil
import sys
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

MEMORY = 1 << 30
"""Address space that a child may take beyond what Python, NumPy and torch take themselves."""


def deep_groups(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")


def many_groups(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        for i in range(12_000):
            file.create_group(f"many/{i}")


def group_in_itself(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        group = file.create_group("loop")
        group["again"] = group


def huge_chunk(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file.create_dataset(
            "char_embed", (261, 3), "f4", maxshape=(None, None), chunks=(1 << 14, 1 << 14), compression=1
        )


def inflating_chunk(folder, model):
    """A chunk of 3 kB whose deflate stream holds 500 MB."""
    with h5py.File(model / "weights.hdf5", "a") as file:
        data = file["char_embed"][()]
        del file["char_embed"]
        new = file.create_dataset("char_embed", data.shape, "f4", chunks=data.shape, compression=1)
        packer = zlib.compressobj(9)
        block = packer.compress(bytes(1 << 26)) + packer.flush(zlib.Z_FULL_FLUSH)
        new.id.write_direct_chunk((0, 0), block * 8 + packer.flush(zlib.Z_FINISH))


def external_storage(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file.create_dataset("char_embed", (261, 3), "f4", external=[("/etc/passwd", 0, 261 * 12)])


def empty_table(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file["char_embed"] = np.zeros((0, 3), "f4")


def scalar_table(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file["char_embed"] = np.float32(1)


def infinite_weights(folder, model):
    with h5py.File(model / "weights.hdf5", "a") as file:
        data = file["char_embed"][()].astype("f8")
        data[3, 1] = 1e300
        del file["char_embed"]
        file["char_embed"] = data


def gzip_bomb_of_words(folder, model):
    (model / "vocab.txt.gz").write_bytes(gzip.compress(bytes(1 << 24)) * 16)


def lines_of_words(folder, model):
    (model / "vocab.txt").write_bytes(b"\n" * (8 << 20))


def large_json(folder, model):
    (model / "options.json").write_bytes(b'{"a": [' + b"[],[[]]," * (1 << 19) + b"[]]}")


def deep_json(folder, model):
    (model / "options.json").write_bytes(b'{"a":' * 200_000)


def odd_numbers(folder, model):
    options = json.loads((model / "options.json").read_text())
    odd = [10**400, -1, 1e308, [], 2**63]
    lstm, cnn = ("cell_clip", "proj_clip", "dim", "n_layers"), ("filters", "max_characters_per_token", "n_highway")
    for part, name in [("lstm", name) for name in lstm] + [("char_cnn", name) for name in cnn]:
        for i, value in enumerate(odd):
            place = model / f"odd-{part}-{name}-{i}"
            place.mkdir()
            shutil.copy(model / "weights.hdf5", place)
            values = options | {part: options[part] | {name: value}}
            (place / "options.json").write_text(json.dumps(values))
            yield place
    for number in ("1e999", "-1e999", "NaN", "Infinity"):
        place = model / f"number-{number}"
        place.mkdir()
        shutil.copy(model / "weights.hdf5", place)
        (place / "options.json").write_text(json.dumps(options).replace('"cell_clip": 3', f'"cell_clip": {number}'))
        yield place


def zip_of(path, method, members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def bz2_zip(folder, model):
    return zip_of(folder / "bz2.zip", zipfile.ZIP_BZIP2, {"weights.hdf5": bytes(64 << 20)})


def deflate_zip(folder, model):
    return zip_of(folder / "zeros.zip", zipfile.ZIP_DEFLATED, {f"{i}.hdf5": bytes(32 << 20) for i in range(6)})


def zip_directory(folder, model):
    return zip_of(folder / "names.zip", zipfile.ZIP_STORED, {f"{i:06}" + "n" * 300: b"" for i in range(15_000)})


def bz2_tar(folder, model):
    (folder / "zeros.tar.bz2").write_bytes(tar_start("weights.hdf5", 4 << 30, bz2.compress))
    with (folder / "zeros.tar.bz2").open("ab") as file:
        file.write(bz2.compress(bytes(1 << 25)) * 32)
    return folder / "zeros.tar.bz2"


def tar_start(name, size, pack):
    info = tarfile.TarInfo(name)
    info.size = size
    return pack(info.tobuf())


def tar_headers(path, headers):
    path.write_bytes(b"".join(headers) + bytes(1024))
    return path


def header(kind, size, data=b""):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def chained_headers(folder, model):
    return tar_headers(folder / "chain.tar", [header(tarfile.GNUTYPE_LONGNAME, 2, b"a\0")] * 20_000)


def long_name(folder, model):
    path = tar_headers(folder / "name.tar", [header(tarfile.XHDTYPE, 2 << 30)])
    os.truncate(path, (2 << 30) + 2048)
    return path


def many_pax_headers(folder, model):
    headers = []
    for i in range(2000):
        info = tarfile.TarInfo(f"file-{i}")
        info.pax_headers = {f"key{k}": "x" * 20 for k in range(500)}
        headers.append(info.tobuf(tarfile.PAX_FORMAT))
    return tar_headers(folder / "pax.tar", headers)


def deflated_torch(folder, model):
    torch = __import__("torch")
    torch.save({"a": torch.zeros(1 << 24)}, folder / "plain.th")
    with zipfile.ZipFile(folder / "plain.th") as old:
        zip_of(folder / "best.th", zipfile.ZIP_DEFLATED, {name: old.read(name) for name in old.namelist()})
    (folder / "plain.th").unlink()
    return folder / "best.th"


def shared_torch(folder, model):
    torch = __import__("torch")
    whole = torch.zeros(1 << 20)
    torch.save({str(i): whole for i in range(1000)}, folder / "shared.th")
    return folder / "shared.th"


def long_safetensors_header(folder, model):
    native = folder / "native"
    native.mkdir()
    (native / "config.json").write_text('{"format": "elmokit", "format_version": 1, "config": {}}')
    text = b'{"a":' + b"[" * (8 << 20)
    (native / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return native


KINDS = [deep_groups, many_groups, group_in_itself, huge_chunk, inflating_chunk, external_storage, empty_table,
         scalar_table, infinite_weights, gzip_bomb_of_words, lines_of_words, large_json, deep_json, odd_numbers,
         bz2_zip, deflate_zip, zip_directory, bz2_tar, chained_headers, long_name, many_pax_headers, deflated_torch,
         shared_torch, long_safetensors_header]  # fmt: skip


def tried(call, *arguments, limit=MEMORY):
    """What a call does in a child: ("ours" | "loaded" | "raw" | "killed", message, seconds, MB of memory)."""
    receiver, sender = os.pipe()
    start, child = time.perf_counter(), os.fork()
    if child == 0:
        from elmokit.errors import ElmoKitError

        os.close(receiver)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            call(*arguments)
            outcome = ["loaded", ""]
        except ElmoKitError as error:
            outcome = ["ours", str(error)]
        except BaseException as error:
            outcome = ["raw", f"{type(error).__name__}: {error}"]
        outcome += [(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10]
        os.write(sender, json.dumps(outcome).encode()[:60_000])
        os._exit(0)
    os.close(sender)
    with open(receiver, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    kind, message, memory = json.loads(answer) if answer else ("killed", "", 0)
    return kind, message, round(time.perf_counter() - start, 2), memory


def mutated(data, chance):
    """A file with bytes flipped, cut, inserted, zeroed or doubled, mostly near its begin."""
    data = bytearray(data)
    reach = chance.choice([64, 400, 2000, len(data)])
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        place = chance.randrange(max(1, min(reach, len(data))))
        kind = chance.choice(["flip", "flip", "flip", "cut", "insert", "zero", "double", "odd"])
        if kind == "flip" and data:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == "odd" and data:
            data[place] = chance.choice([0, 255, 127, 128])
        elif kind == "cut":
            del data[chance.randrange(max(1, len(data))) :]
        elif kind == "insert":
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == "zero":
            data[place : place + chance.randrange(1, 64)] = bytes(chance.randrange(1, 64))
        elif kind == "double":
            data[place:place] = data[place : place + chance.randrange(1, 200)]
    return bytes(data)


def main(folder):
    """Load each of KINDS."""
    from elmokit.checkpoints import load
    from golden import make_tiny

    __import__("torch")  # before the limit, which is for what loading takes
    results = {}
    for kind in KINDS:
        place = folder / kind.__name__
        make_tiny.make("plain", place / "model")
        made = kind(place, place / "model")
        sources = [place / "model"] if made is None else [made] if isinstance(made, Path) else list(made)
        for source in sources:
            name = kind.__name__ if len(sources) == 1 else f"{kind.__name__} {source.name}"
            results[name] = (*tried(load, source), str(source))
        shutil.rmtree(place)
    return results


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(main(Path(sys.argv[1]))))
