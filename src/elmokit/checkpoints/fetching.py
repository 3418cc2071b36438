"""Published models, and how they are fetched: by a name of the catalogue, an http(s) address, or "hf:user/model".

`ELMOKIT_CACHE` moves the cache and `ELMOKIT_OFFLINE=1` forbids the network. No host publishes checksums; `fetched.json`
in each folder records where the files came from and their SHA-256. The hub needs the extra `hub`.
"""

import hashlib
import json
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elmokit.checkpoints.checkpoint import Checkpoint
from elmokit.errors import CheckpointError, MissingFile, OutputError, needing
from elmokit.files import checksum, locked, write_json
from elmokit.progress import progress_bar
from elmokit.reading import printable, read_json, reason

MARK = "fetched.json"  # written last into a model's folder: name, addresses and SHA-256 of its files
NOT_STATED = "not stated"
_NLPL = "http://vectors.nlpl.eu/repository/"
_MANYLANGS = range(136, 180)  # numbers of the ELMoForManyLangs models in the NLPL repository's part 11
_ATTEMPTS, _TIMEOUT, _CHUNK = 4, 30.0, 1 << 18
_LEAST_PACE = 1000  # bytes a second, once _TIMEOUT has passed
_MAX_BYTES = 16 << 30
_PASSING = (408, 425, 429)
_PATTERNS = ["*.json", "*.txt", "*.txt.gz", "*.safetensors", "*.hdf5", "*.dic", "*.pkl", "*.zip", "weights.th"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that can be fetched; licences are those that a publisher states for the weights."""

    name: str
    title: str
    files: Mapping[str, str]  # addresses by the names that the files get here
    language: str = "en"
    licence: str = NOT_STATED
    megabytes: int = 0
    tokenizer: str = "whitespace"


CATALOGUE = tuple(Published(**row) for row in json.loads(Path(__file__).with_name("published.json").read_text("utf-8")))
"""Models with a name of their own. NLPL's are known by number: "nlpl:20/212", "nlpl:11/144" or just "nlpl:144"."""


def find(name: str) -> Published | None:
    """Return the published model of a name of the catalogue, "nlpl:NUMBER" or "nlpl:PART/NUMBER", or None."""
    match = re.fullmatch(r"nlpl:(?:(\d{1,3})/)?(\d{1,6})", name)
    if match is None:
        return next((model for model in CATALOGUE if model.name == name), None)
    number = int(match[2])
    part = match[1] or ("11" if number in _MANYLANGS else "20")
    files = {f"{number}.zip": f"{_NLPL}{part}/{number}.zip"}
    return Published(name=name, title=f"number {number} of the NLPL repository", files=files, language="")


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
    if not all((folder / name).is_file() for name in (MARK, *model.files)):
        _fetch_all(model, folder)
    return folder / next(iter(model.files)) if len(model.files) == 1 else folder


def described(checkpoint: Checkpoint, source: str) -> Checkpoint:
    """Add to a fetched checkpoint what is known of its source."""
    metadata: dict[str, Any] = {"source": source}
    config, model = checkpoint.config, find(source)
    if not source.startswith("hf:"):
        known = model or _unnamed(source)
        sums = read_json(_folder_of(known) / MARK, what="record of a download").get("sha256", {})
        metadata = {"source": next(iter(known.files.values())), "sha256": sums}
        metadata["verified"] = "not verified: no published checksum"
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
    return Published(name=f"{name}-{key}", title=url, files={name: url})


def _fetch_all(model: Published, folder: Path) -> None:
    urls = "  ".join(f"{url} → {folder / name}" for name, url in model.files.items())
    advice = f"Fetch by hand: {urls}, then give elmokit that folder (or file) as the model."
    if offline():
        raise MissingFile(f"{model.name}: not in the cache, and ELMOKIT_OFFLINE forbids the network. {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", f"{folder}: another process is downloading", wait=True):
            for name, url in model.files.items():
                if not (folder / name).is_file():
                    _fetch_file(url, folder / name, advice)
            sums = {name: checksum(folder / name) for name in model.files}
            write_json(folder / MARK, {"name": model.name, "urls": [*model.files.values()], "sha256": sums}, indent=2)
    except OSError as error:
        if isinstance(error, MissingFile | OutputError):
            raise
        raise OutputError(f"{folder}: can't be written ({error.strerror or error}); set ELMOKIT_CACHE.") from error


def _fetch_file(url: str, target: Path, advice: str) -> None:
    """Download a file with retries, under another name until it is whole."""
    import requests
    import urllib3

    part = target.with_name(f".{target.name}.part")
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _receive(url, part)
                break
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                response = getattr(error, "response", None)
                status = 0 if response is None else response.status_code
                if attempt == _ATTEMPTS or (400 <= status < 500 and status not in _PASSING):
                    raise MissingFile(f"{url}: can't be fetched ({reason(error)}). {advice}") from None
                time.sleep(2 ** (attempt - 1))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, part: Path) -> None:
    """Write the body to a file; give up once it has come more slowly than `_LEAST_PACE` for too long."""
    import requests

    headers, hooks = {"User-Agent": "elmokit", "Accept-Encoding": "identity"}, {"response": _check_response}
    with requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True, hooks=hooks) as response:
        response.raise_for_status()
        start, n_bytes, expected = time.monotonic(), 0, int(response.headers.get("Content-Length") or 0)
        bar = progress_bar(f"fetching {part.name[1:-5]}", total=expected, unit="B")
        with bar as advance, part.open("wb") as output:
            while chunk := response.raw.read1(_CHUNK):
                n_bytes += len(chunk)
                if n_bytes > _MAX_BYTES:
                    raise CheckpointError(f"{url}: more than {_MAX_BYTES:,} bytes came; no model is that large.")
                if n_bytes < _LEAST_PACE * (time.monotonic() - start - _TIMEOUT):
                    raise requests.ConnectionError(f"fewer than {_LEAST_PACE:,} bytes a second came")
                output.write(chunk)
                advance(len(chunk))
    if "Content-Length" in response.headers and n_bytes != expected:
        raise requests.ConnectionError(f"{n_bytes:,} of {expected:,} bytes came")


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
