"""Published ELMo models that are fetched by name.

Licences are those that a publisher states for the weights. No host publishes checksums, so `sha256` is empty.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOT_STATED = "not stated"
_NLPL = "http://vectors.nlpl.eu/repository/"
_MANYLANGS = range(136, 180)  # numbers of the ELMoForManyLangs models in the NLPL repository's part 11


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch, what it is called here, and its SHA-256, empty where unknown."""

    url: str
    name: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that can be fetched by name, with its licence for the weights and how its text was tokenized."""

    name: str
    title: str
    files: tuple[RemoteFile, ...]
    language: str = "en"
    licence: str = NOT_STATED
    megabytes: int = 0
    tokenizer: str = "whitespace"


def _published(row: dict[str, Any]) -> Published:
    sums, urls = row.pop("sha256", {}), row.pop("files").items()
    return Published(files=tuple(RemoteFile(url=u, name=n, sha256=sums.get(n, "")) for n, u in urls), **row)


CATALOGUE = tuple(map(_published, json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))))
"""Models with a name of their own. NLPL's are known by number: "nlpl:20/212", "nlpl:11/144" or just "nlpl:144"."""


def find(name: str) -> Published | None:
    """Return the published model of a name of the catalogue, "nlpl:NUMBER" or "nlpl:PART/NUMBER", or None."""
    match = re.fullmatch(r"nlpl:(?:(\d{1,3})/)?(\d{1,6})", name)
    if match is None:
        return next((model for model in CATALOGUE if model.name == name), None)
    number = int(match[2])
    part = match[1] or ("11" if number in _MANYLANGS else "20")
    return Published(
        name=name,
        title=f"number {number} of the NLPL repository",
        files=(RemoteFile(url=f"{_NLPL}{part}/{number}.zip", name=f"{number}.zip"),),
        language="",
    )
