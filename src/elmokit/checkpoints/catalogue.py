"""Published ELMo models: names to fetch by, and all families with address, format and licence as seen.

Licences are those that a publisher states for the weights. No host publishes checksums, so `sha256` is empty.
"""

from __future__ import annotations

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


def _rows(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


CATALOGUE = tuple(map(_published, _rows("published.json")))
"""Models with a name of their own. NLPL's are known by number: "nlpl:20/212", "nlpl:11/144" or just "nlpl:144"."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of published models, as a row of the documentation; `seen` is the year and kind of the source."""

    title: str
    languages: str
    format: str
    address: str
    seen: str
    command: str
    licence: str = NOT_STATED


def families() -> tuple[Family, ...]:
    """Return every published family that was seen, whether it can be fetched by name or not."""
    return tuple(Family(**row) for row in _rows("families.json"))


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
