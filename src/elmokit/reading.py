"""Read files that may be damaged or hostile: every failure becomes one of our errors, and sizes are bounded."""

import gzip
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elmokit.errors import CheckpointError, ElmoKitError, MissingFile

MAX_JSON_BYTES = 16 << 20  # default bound for a JSON file. Parsed JSON takes up to 25 times its size in memory.
_MAX_REASON = 300
_MAX_EXPANSION, _FREE_BYTES = 50, 64 << 20  # of archives
_MAX_DIRECTORY_BYTES = 4 << 20  # the list of members at the end of a zip


@contextmanager
def reading(path: str | Path, *, error: type[ElmoKitError] = CheckpointError, what: str = "file") -> Iterator[None]:
    """Turn every exception of a reader into one of our errors that names the file; `what` is what it should have been.

    Errors of elmokit, `ImportError` and interrupts pass unchanged. A missing file becomes `MissingFile`; everything
    else (`KeyError`, `RecursionError`, `MemoryError`, panics of Rust libraries …) becomes `error`.
    """
    try:
        yield
    except (ElmoKitError, ImportError):
        raise
    except FileNotFoundError as problem:
        name = printable(str(problem.filename or path))
        raise MissingFile(f"{name}: no such file or folder (looked in {Path.cwd()}).") from problem
    except MemoryError:
        raise error(f"{printable(str(path))}: this {what} asks for more memory than there is; is it damaged?") from None
    except BaseException as problem:
        panic = type(problem).__name__ == "PanicException"  # how Rust libraries (safetensors, Lance) crash
        if not isinstance(problem, Exception) and not panic:
            raise
        raise error(f"{printable(str(path))}: not a readable {what} ({reason(problem)}).") from problem


def read_bytes(path: str | Path, *, max_bytes: int, error: type[ElmoKitError] = CheckpointError) -> bytes:
    """Read a whole file, inflated if its name ends with ".gz", and never more than a limit."""
    path = Path(path)
    with reading(path, error=error):
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                data = file.read(max_bytes + 1)
        except (EOFError, zlib.error) as problem:
            raise ValueError(f"the gzip file is damaged or cut off: {problem}") from None
        if len(data) > max_bytes:
            raise error(f"{printable(str(path))}: more than {max_bytes:,} bytes; refused.")
        return data


def read_json(
    path: str | Path,
    *,
    max_bytes: int = MAX_JSON_BYTES,
    error: type[ElmoKitError] = CheckpointError,
    what: str = "JSON file",
) -> dict[str, Any]:
    """Read a JSON object. A byte-order mark is accepted; NaN, infinity and other values than an object are not."""
    data = read_bytes(path, max_bytes=max_bytes, error=error)
    with reading(path, error=error, what=what):
        values = json.loads(data.decode("utf-8-sig"), parse_constant=_finite, parse_float=_finite)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, not {type(values).__name__}")
        return values


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip after checking the size of its directory, which `zipfile` reads whole; ValueError if it is refused."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 17)))
        tail = file.read()
    end, end64 = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    sizes = [int.from_bytes(tail[end + 12 : end + 16], "little")] if end >= 0 else []
    if end64 >= 0:
        sizes = [size for size in sizes if size != 0xFFFFFFFF]
        sizes.append(int.from_bytes(tail[end64 + 40 : end64 + 48], "little"))
    if max(sizes, default=0) > _MAX_DIRECTORY_BYTES:
        raise ValueError("the archive lists far more files than a model has; refused")
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            archive.close()
            raise ValueError("compressed by another method than deflate; pack it as an ordinary zip")
    return archive


def check_unpacked_size(path: Path, n_bytes: int) -> None:
    """Refuse an archive that holds, or claims to hold, more than its budget, by a ValueError."""
    if n_bytes > _FREE_BYTES + _MAX_EXPANSION * path.stat().st_size:
        raise ValueError(f"{path.stat().st_size:,} bytes unpack to far more than weights do; refused as a bomb")


def printable(text: str) -> str:
    r"""Text that is safe to print: control characters, terminal escapes and half surrogates are written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def reason(problem: BaseException) -> str:
    """One printable line that says what went wrong."""
    try:
        text = str(problem)
    except Exception:  # an exception whose own text fails
        text = ""
    line = printable(text.strip().partition("\n")[0])[:_MAX_REASON]
    own = isinstance(problem, ValueError | OSError) and line
    return line if own else f"{type(problem).__name__}: {line}".rstrip(": ")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a number, or too large for one")
    return value
