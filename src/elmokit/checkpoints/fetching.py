"""Fetch published models: a name of the catalogue, an http(s) address, or "hf:user/model" (extra `hub`).

Downloads that broke off go on where they ended. `ELMOKIT_CACHE` moves the cache and `ELMOKIT_OFFLINE=1` forbids the
network. `fetched.json` in each folder records where the files came from and their SHA-256.
"""

import hashlib
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from elmokit.checkpoints.catalogue import CATALOGUE, Published, RemoteFile, find
from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.errors import CheckpointError, MissingFile, OutputError, needing
from elmokit.files import checksum, locked, write_json
from elmokit.progress import progress_bar
from elmokit.reading import printable, read_json, reason

MARK = "fetched.json"  # written last into a model's folder: name, addresses and SHA-256 of its files
_ATTEMPTS, _TIMEOUT, _CHUNK = 4, 30.0, 1 << 18
_LEAST_PACE = 1000  # bytes a second, once _TIMEOUT has passed
_MAX_BYTES = 16 << 30
_PASSING = (408, 416, 425, 429)  # 416: the part is as long as the file, or longer
_PATTERNS = ["*.json", "*.txt", "*.txt.gz", "*.safetensors", "*.hdf5", "*.dic", "*.pkl", "*.zip", "weights.th"]


def is_remote(source: str) -> bool:
    """Tell whether `fetch` understands a source."""
    return source.startswith("hf:") or "://" in source or find(source) is not None


def cache_folder() -> Path:
    """Return the folder of all fetched models: `ELMOKIT_CACHE`, or the system's place for caches."""
    if os.environ.get("ELMOKIT_CACHE"):
        return Path(os.environ["ELMOKIT_CACHE"]).expanduser()
    of_system = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(of_system or Path.home() / ".cache") / "elmokit"


def offline() -> bool:
    """Tell whether `ELMOKIT_OFFLINE` forbids the network."""
    return os.environ.get("ELMOKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def fetch(source: str) -> Path:
    """Return a model's files on this machine; download them if they are not there yet."""
    if source.startswith("hf:"):
        return _from_hugging_face(source.removeprefix("hf:"))
    model = find(source) or _unnamed(source)
    folder = _folder_of(model)
    if not all((folder / name).is_file() for name in (MARK, *(file.name for file in model.files))):
        _fetch_all(model, folder)
    return folder / model.files[0].name if len(model.files) == 1 else folder


def described(checkpoint: Checkpoint, source: str) -> Checkpoint:
    """Add to a fetched checkpoint what is known of its source."""
    metadata: dict[str, Any] = {"source": source}
    config, model = checkpoint.config, find(source)
    if not source.startswith("hf:"):
        known = model or _unnamed(source)
        mark = _folder_of(known) / MARK
        sums = read_json(mark, what="record of a download").get("sha256", {}) if mark.is_file() else {}
        verified = all(file.sha256 and sums.get(file.name) == file.sha256 for file in known.files)
        metadata = {"source": known.files[0].url, "sha256": sums}
        metadata["verified"] = "by SHA-256" if verified else "not verified: no published checksum"
    if model is not None:
        metadata |= {"licence": model.licence, "language": model.language}
        config = replace(config, tokenizer=model.tokenizer)
    name = checkpoint.name or source
    return replace(checkpoint, config=config, name=name, metadata=metadata | dict(checkpoint.metadata))


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder in our format to the Hugging Face Hub, under the user's own account."""
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise CheckpointError(f"{folder}: no model in elmokit's format; write one with elmokit convert first.")
    if offline():
        raise MissingFile(f"{repository}: ELMOKIT_OFFLINE forbids the network.")
    hub = _hugging_face()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=repository, folder_path=str(folder)))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise CheckpointError(f"hf:{repository}: the hub refused it ({reason(error)}).") from None


def _folder_of(model: Published) -> Path:
    return cache_folder() / re.sub(r"[^\w.-]+", "-", model.name)


def _unnamed(url: str) -> Published:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        known = ", ".join(model.name for model in CATALOGUE)
        raise CheckpointError(
            f"{printable(url)!r} is neither a file nor a published model nor an http(s) address; published models are"
            f" {known} and nlpl:NUMBER."
        )
    name = re.sub(r"[^\w.-]+", "-", parts.path.rpartition("/")[2]).lstrip(".") or "model"
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    return Published(name=f"{name}-{key}", title=url, files=(RemoteFile(url=url, name=name),))


def _fetch_all(model: Published, folder: Path) -> None:
    urls = "  ".join(f"{file.url} → {folder / file.name}" for file in model.files)
    advice = f"Fetch by hand: {urls}, then give elmokit that folder (or file) as the model."
    if offline():
        raise MissingFile(f"{model.name}: not in the cache, and ELMOKIT_OFFLINE forbids the network. {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", f"{folder}: another process is downloading", wait=True):
            sums = {file.name: _fetch_file(file, folder, advice) for file in model.files}
            values = {"name": model.name, "urls": [file.url for file in model.files], "sha256": sums}
            write_json(folder / MARK, values, indent=2)
    except OSError as error:
        if isinstance(error, MissingFile | OutputError):
            raise
        raise OutputError(f"{folder}: can't be written ({error.strerror or error}); set ELMOKIT_CACHE.") from error


def _fetch_file(file: RemoteFile, folder: Path, advice: str) -> str:
    """Download one file that is not there yet, with retries; return its SHA-256."""
    import requests

    target, part = folder / file.name, folder / f".{file.name}.part"
    if target.is_file():
        return checksum(target)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(file, part)
            break
        except requests.RequestException as error:
            status = 0 if error.response is None else error.response.status_code
            if attempt == _ATTEMPTS or (400 <= status < 500 and status not in _PASSING):
                raise MissingFile(f"{file.url}: can't be fetched ({reason(error)}). {advice}") from None
            time.sleep(2 ** (attempt - 1))
    digest = checksum(part)
    part.with_suffix(".etag").unlink(missing_ok=True)
    if file.sha256 not in ("", digest):
        part.unlink()
        raise CheckpointError(
            f"{file.url}: another file came than the one that was published (SHA-256 {digest}); it was thrown away."
        )
    part.replace(target)
    return digest


def _receive(file: RemoteFile, part: Path) -> None:
    """Append to a part, if the server still has the same file, or write it anew."""
    import requests

    tag = part.with_suffix(".etag")
    headers = {"User-Agent": "elmokit", "Accept-Encoding": "identity"}
    n_bytes = part.stat().st_size if part.is_file() and tag.is_file() else 0
    if n_bytes:
        headers |= {"Range": f"bytes={n_bytes}-", "If-Range": tag.read_text("utf-8")}
    hooks = {"response": _check_response}
    with requests.get(file.url, headers=headers, timeout=_TIMEOUT, stream=True, hooks=hooks) as response:
        if response.status_code == 416:
            tag.unlink(missing_ok=True)
        response.raise_for_status()
        if response.headers.get("Content-Range", "").partition("-")[0] != f"bytes {n_bytes}":
            n_bytes = 0
            tag.unlink(missing_ok=True)
            version = response.headers.get("ETag", "")
            if version.startswith('"'):  # a strong one: the same bytes
                tag.write_text(version, "utf-8")
        expected = n_bytes + int(response.headers.get("Content-Length") or 0)
        bar = progress_bar(f"fetching {file.name}", total=expected, unit="B")
        with bar as advance, part.open("ab" if n_bytes else "wb") as output:
            for chunk in _pieces(response):
                n_bytes += len(chunk)
                if n_bytes > _MAX_BYTES:
                    raise CheckpointError(f"{file.url}: more than {_MAX_BYTES:,} bytes came; no model is that large.")
                output.write(chunk)
                advance(len(chunk))
    if "Content-Length" in response.headers and n_bytes != expected:
        raise requests.ConnectionError(f"{n_bytes:,} of {expected:,} bytes came")


def _pieces(response: Any) -> Iterator[bytes]:
    """The body as it comes; an attempt ends once the body has come more slowly than `_LEAST_PACE` for too long."""
    import requests
    import urllib3

    start, n_bytes = time.monotonic(), 0
    try:
        while piece := response.raw.read1(_CHUNK):
            yield piece
            n_bytes += len(piece)
            if n_bytes < _LEAST_PACE * (time.monotonic() - start - _TIMEOUT):
                raise requests.ConnectionError(f"fewer than {_LEAST_PACE:,} bytes a second came")
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from None


def _check_response(response: Any, **_: Any) -> None:
    """Refuse answers that no further attempt changes: web pages, other protocols, far too many bytes."""
    problem = ""
    if response.is_redirect:
        scheme = urllib.parse.urlsplit(urllib.parse.urljoin(response.url, response.headers["location"])).scheme
        if scheme != "https" and not (scheme == "http" and response.url.startswith("http:")):
            problem = f"the server redirects to another protocol ({printable(scheme)!r}); refused."
    elif response.ok and response.headers.get("Content-Type", "").startswith("text/html"):
        problem = "a web page came instead of the file; open the address in a browser to see why."
    elif int(response.headers.get("Content-Length") or 0) > _MAX_BYTES:
        problem = f"more than {_MAX_BYTES:,} bytes; no model is that large."
    if problem:
        raise CheckpointError(f"{response.url}: {problem}")


def _hugging_face() -> Any:
    with needing("huggingface_hub", "hub", "models of the Hugging Face hub"):
        import huggingface_hub
    return huggingface_hub


def _from_hugging_face(name: str) -> Path:
    """Download a repository's files with huggingface_hub, into its own cache."""
    hub = _hugging_face()
    repository, _, revision = name.partition("@")
    try:
        folder: str = hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=_PATTERNS, local_files_only=offline()
        )
        return Path(folder)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise MissingFile(
            f"hf:{printable(name)}: can't be fetched from the Hugging Face hub ({reason(error)}). Fetch by hand:"
            f" https://huggingface.co/{printable(repository)}, then give elmokit the folder."
        ) from None
