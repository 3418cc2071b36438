"""A name or address → a local folder: fetched once, resumed, verified, whole or not there.

Sources: names of `catalogue`, http(s) addresses (see `download`), and "hf:user/model" through huggingface_hub (extra
`hub`). `fetched.json`, written last, marks a folder as whole and keeps
each file's checksum. `ELMOKIT_OFFLINE=1` forbids the network; `ELMOKIT_CACHE` moves the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any

from elmokit.checkpoints.catalogue import CATALOGUE, Published, RemoteFile, find
from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.errors import CheckpointError, MissingExtra, MissingFile, OutputError
from elmokit.files import atomic_path
from elmokit.progress import progress_bar

MARK = "fetched.json"
"""Written into a folder last: what was fetched, from where, with which checksums."""


def is_remote(source: str) -> bool:
    """Whether a source is a name or address that `fetch` understands.

    Args:
        source: what the user gave.

    Returns:
        True or False; a local path of that name is the caller's business.

    Example:
        >>> is_remote("original"), is_remote("https://example.org/m.zip"), is_remote("my/folder")
        (True, True, False)
    """
    return source.startswith(("http://", "https://", "hf:")) or find(source) is not None


def cache_folder() -> Path:
    """Where fetched models are kept: `ELMOKIT_CACHE`, or the system's place for caches."""
    if os.environ.get("ELMOKIT_CACHE"):
        return Path(os.environ["ELMOKIT_CACHE"]).expanduser()
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "elmokit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elmokit"


def fetch(source: str, *, cache: Path | None = None, show_progress: bool | None = None) -> Path:
    """A model's files on this machine, fetched if they are not there yet.

    Args:
        source: a name of the catalogue, an http(s) address of an archive, or "hf:user/model", maybe "@revision".
        cache: folder of all fetched models; None for `cache_folder()`.
        show_progress: True, False, or None for a bar after two seconds on a terminal.

    Returns:
        what `load` takes: a folder, or the one archive in it.

    Raises:
        MissingFile: the network is forbidden or can't be reached; says what to fetch by hand and where to put it.
        CheckpointError: the server gave another file, or the name is not known.
        MissingExtra: "hf:" without huggingface_hub.
        OutputError: the cache can't be written.
    """
    if source.startswith("hf:"):
        return _from_hugging_face(source.removeprefix("hf:"))
    model = find(source) or _unnamed(source)
    folder = (cache or cache_folder()) / re.sub(r"[^\w.-]+", "-", model.name)
    if not _is_whole(folder, model):
        _fetch_all(model, folder, show_progress)
    return folder / model.files[0].name if len(model.files) == 1 else folder


def described(checkpoint: Checkpoint, source: str) -> Checkpoint:
    """A fetched checkpoint with what the catalogue knows of it: name, tokenizer, licence, address.

    Args:
        checkpoint: what was read.
        source: what `fetch` was given.

    Returns:
        the checkpoint; what its own files say of its name goes before.
    """
    model = find(source)
    name = checkpoint.name or source
    if model is None:
        return replace(checkpoint, name=name, facts={"source": source, **checkpoint.facts})
    facts = {"source": model.files[0].url, "licence": model.licence, "language": model.language}
    config = replace(checkpoint.config, tokenizer=model.tokenizer)
    return replace(checkpoint, config=config, name=name, facts=facts | dict(checkpoint.facts))


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Put a folder in our format on the Hugging Face hub, under the user's own account.

    Args:
        folder: what `save` wrote.
        repository: "user/model"; made where it is missing.
        private: whether a new repository is private.

    Returns:
        the address.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        CheckpointError: the folder holds no checkpoint of ours, or the hub refused.
    """
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise CheckpointError(f"{folder}: no model in elmokit's format; write it with elmokit convert first.")
    if offline():
        raise MissingFile(f"{repository}: ELMOKIT_OFFLINE forbids the network.")
    hub = _hugging_face()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=repository, folder_path=str(folder)))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise CheckpointError(f"hf:{repository}: the hub refused it ({_reason(error)}).") from None


def offline() -> bool:
    """Whether the user forbade the network."""
    return os.environ.get("ELMOKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _unnamed(url: str) -> Published:
    """A model known by its address alone."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        known = ", ".join(model.name for model in CATALOGUE)
        raise CheckpointError(
            f"{url!r} is neither a file nor a published model; known by name are {known}, nlpl:NUMBER."
        )
    name = re.sub(r"[^\w.-]+", "-", parts.path.rpartition("/")[2]).lstrip(".") or "model"
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    return Published(name=f"{name}-{key}", title=url, files=(RemoteFile(url=url, name=name),))


def _is_whole(folder: Path, model: Published) -> bool:
    return (folder / MARK).is_file() and all((folder / file.name).is_file() for file in model.files)


def _by_hand(model: Published, folder: Path) -> str:
    """How to do it without us."""
    urls = "  ".join(f"{file.url} → {folder / file.name}" for file in model.files)
    return f"Fetch by hand: {urls}, then give elmokit that folder (or file) as the model."


def _fetch_all(model: Published, folder: Path, show: bool | None) -> None:
    from elmokit.checkpoints.download import fetch_file  # http.client takes 20 ms to import; most never need it

    if offline():
        raise MissingFile(
            f"{model.name}: not in the cache, and ELMOKIT_OFFLINE forbids the network. {_by_hand(model, folder)}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the cache can't be written ({error.strerror}); set ELMOKIT_CACHE.") from error
    total = model.megabytes << 20 or None
    sums: dict[str, str] = {}
    with progress_bar(f"fetching {model.name}", total=total, show=show) as advance:
        for file in model.files:
            sums[file.name] = fetch_file(file, folder, _by_hand(model, folder), advance)
    with atomic_path(folder / MARK) as path:
        values = {"name": model.name, "urls": [file.url for file in model.files], "sha256": sums}
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).splitlines()[0] if str(reason) else type(error).__name__


def _hugging_face() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtra("huggingface_hub", "hub", "models of the Hugging Face hub") from None
    return huggingface_hub


def _from_hugging_face(name: str) -> Path:
    """A repository's files, by huggingface_hub and its own cache."""
    hub = _hugging_face()
    repository, _, revision = name.partition("@")
    patterns = ["*.json", "*.txt", "*.txt.gz", "*.safetensors", "*.hdf5", "*.dic", "*.pkl", "*.zip", "weights.th"]
    try:
        place = hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=patterns, local_files_only=offline()
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise MissingFile(
            f"hf:{name}: can't be fetched from the Hugging Face hub ({_reason(error)}). Fetch by hand:"
            f" https://huggingface.co/{repository}, then give elmokit the folder."
        ) from None
    return Path(place)
