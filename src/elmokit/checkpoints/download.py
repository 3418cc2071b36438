"""One file over http(s) with the standard library, which knows proxies from the environment.

A download goes to a `.part` file, goes on where it broke off if the server says that the file is still the same (a
strong ETag or Last-Modified), is compared with its length and checksum, and only then gets its name. Two processes
never write one part file: each has its own and takes over what another left.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elmokit.checkpoints.catalogue import RemoteFile
from elmokit.errors import CheckpointError, MissingFile, OutputError
from elmokit.progress import Advance

_ATTEMPTS, _TIMEOUT, _CHUNK = 5, 30.0, 1 << 18
_MAX_BYTES = 16 << 30
_STALE_SECONDS = 120.0
_PAUSE = 0.5


def fetch_file(file: RemoteFile, folder: Path, advice: str, advance: Advance) -> str:
    """Fetch one file, in several attempts if need be.

    Args:
        file: what to fetch.
        folder: where to; the file gets its name there when it is whole.
        advice: what to do by hand, for the error.
        advance: told how many bytes came.

    Returns:
        its sha256 in hexadecimal.

    Raises:
        MissingFile: it can't be reached.
        CheckpointError: the server gave another file than the one that was published.
        OutputError: the disk is full.
    """
    part = _claim(folder, file.name)
    problem = ""
    try:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                _receive(file.url, part, advance)
                digest = _verified(file, part)
                part.replace(folder / file.name)
                _same_path(part).unlink(missing_ok=True)
                return digest
            except urllib.error.HTTPError as error:
                problem = f"the server said {error.code} {error.reason}"
                if error.code not in (408, 416, 429) and error.code < 500:
                    break
                if error.code == 416:
                    part.unlink(missing_ok=True)
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise OutputError(f"{part}: the disk is full; set ELMOKIT_CACHE to another.") from error
                problem = str(getattr(error, "reason", None) or error or type(error).__name__)
    finally:
        if part.exists():
            _move(part, folder / f".{file.name}.part")
        _same_path(part).unlink(missing_ok=True)
    raise MissingFile(f"{file.url}: can't be fetched ({problem}). {advice}")


def _claim(folder: Path, name: str) -> Path:
    """A part file of our own; an abandoned one is taken over, so that it goes on."""
    own = folder / f".{name}.part-{os.getpid()}-{time.monotonic_ns():x}"
    for other in sorted(folder.glob(f".{name}.part*")):
        try:
            left = other.name.endswith(".part") or time.time() - other.stat().st_mtime > _STALE_SECONDS
            if left and other.suffix != ".same":
                _move(other, own)
                return own
        except FileNotFoundError:
            continue  # someone else took it
    return own


def _same_path(part: Path) -> Path:
    """Beside a part file: the ETag or date of the version that its bytes are of."""
    return part.with_name(part.name + ".same")


def _move(part: Path, target: Path) -> None:
    part.replace(target)
    if _same_path(part).exists():
        _same_path(part).replace(_same_path(target))


def _version(headers: Mapping[str, Any]) -> str:
    """What tells versions of a file apart; "" where the server says nothing that is sure."""
    etag = headers.get("ETag") or ""
    return str(etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or "")


def _receive(url: str, part: Path, advance: Advance) -> None:
    """Bytes of an address into the part file, behind those that are there if they are of the same version."""
    n_have = part.stat().st_size if part.exists() else 0
    same = _same_path(part).read_text(encoding="utf-8") if _same_path(part).exists() else ""
    request = urllib.request.Request(url, headers={"User-Agent": "elmokit", "Accept-Encoding": "identity"})  # noqa: S310
    if n_have and same:
        request.add_header("Range", f"bytes={n_have}-")
        request.add_header("If-Range", same)
    with urllib.request.build_opener().open(request, timeout=_TIMEOUT) as response:
        goes_on = response.status == 206 and str(response.headers.get("Content-Range", "")).startswith(
            f"bytes {n_have}-"
        )
        if response.status == 206 and not goes_on:
            part.unlink(missing_ok=True)
            raise ConnectionError("the server went on at another place than asked")
        if not goes_on:
            _same_path(part).write_text(_version(response.headers), encoding="utf-8")
        if response.headers.get_content_type() == "text/html":
            raise CheckpointError(
                f"{url}: a web page came instead of the file; open the address in a browser to see why."
            )
        length = response.headers.get("Content-Length")
        _copy(response, part, "ab" if goes_on else "wb", int(length) if length else None, advance)


def _copy(response: Any, part: Path, mode: str, n_expected: int | None, advance: Advance) -> None:
    n_received = 0
    with part.open(mode) as file:
        while chunk := response.read(_CHUNK):
            n_received += len(chunk)
            if file.tell() + len(chunk) > _MAX_BYTES:
                raise CheckpointError(f"{part.name}: more than {_MAX_BYTES:,} bytes came; no model is that large.")
            file.write(chunk)
            advance(len(chunk))
    if n_expected is not None and n_received < n_expected:
        raise ConnectionError(f"the connection broke after {n_received:,} of {n_expected:,} bytes")


def _verified(file: RemoteFile, part: Path) -> str:
    """The checksum of a file that came whole; a wrong one is thrown away."""
    with part.open("rb") as opened:
        sha = hashlib.sha256()
        while chunk := opened.read(1 << 20):
            sha.update(chunk)
    digest = sha.hexdigest()
    if file.sha256 and digest != file.sha256:
        part.unlink()
        raise CheckpointError(
            f"{file.url}: another file came than the one that was published (sha256 {digest}, expected {file.sha256});"
            " it was thrown away."
        )
    return digest
