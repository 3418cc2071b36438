"""Published ELMo models as data: names to fetch by, and all families with address, format and licence as seen.

`dev/make_docs.py` writes docs/checkpoints.md from it. Licences are those that a publisher states for the weights; where
none was seen, it says "not stated". No host publishes checksums, so `sha256` is empty until someone adds one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

NOT_STATED = "not stated"
_AI2 = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/"
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


def _pair(name: str, title: str, address: str, megabytes: int = 374, language: str = "en") -> Published:
    """Make an entry of options and weights, whose names begin with the address."""
    parts = {"options.json": "options.json", "weights.hdf5": "weights.hdf5"}
    if name == "pubmed":
        parts["weights.hdf5"] = "weights_PubMed_only.hdf5"
    files = tuple(RemoteFile(url=_AI2 + address + theirs, name=ours) for ours, theirs in parts.items())
    return Published(name=name, title=title, files=files, megabytes=megabytes, language=language)


def _official(name: str, title: str, stem: str, megabytes: int = 374) -> Published:
    return _pair(name, title, f"{stem}/elmo_{stem}_", megabytes)


CATALOGUE: tuple[Published, ...] = (
    _official("small", "13.6 M parameters, 1 Billion Word Benchmark", "2x1024_128_2048cnn_1xhighway", 54),
    _official("medium", "28.0 M parameters, 1 Billion Word Benchmark", "2x2048_256_2048cnn_1xhighway", 112),
    _official("original", "93.6 M parameters, 1 Billion Word Benchmark", "2x4096_512_2048cnn_2xhighway"),
    _official("original-5.5B", "93.6 M parameters, Wikipedia and news", "2x4096_512_2048cnn_2xhighway_5.5B"),
    _pair("pubmed", "93.6 M parameters, PubMed abstracts", "contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_"),
    _pair("portuguese", "93.6 M parameters, Portuguese Wikipedia", "contributed/pt/elmo_pt_", language="pt"),
    Published(
        name="tfhub",
        title="93.6 M parameters, Google's module with its trained layer mix",
        files=(RemoteFile(url="https://tfhub.dev/google/elmo/3?tf-hub-format=compressed", name="module.tar.gz"),),
        megabytes=350,
    ),
    Published(
        name="seqvec",
        title="93.6 M parameters, protein sequences (UniRef50)",
        files=(RemoteFile(url="https://rostlab.org/~deepppi/seqvec.zip", name="seqvec.zip"),),
        language="",
        megabytes=340,
        tokenizer="characters",
    ),
)
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
    rows = json.loads(Path(__file__).with_name("families.json").read_text(encoding="utf-8"))
    return tuple(Family(**row) for row in rows)


def find(name: str) -> Published | None:
    """Return the published model of a name of the catalogue, "nlpl:NUMBER" or "nlpl:PART/NUMBER", or None.

    Example:
        >>> find("nlpl:144").files[0].url
        'http://vectors.nlpl.eu/repository/11/144.zip'
    """
    for model in CATALOGUE:
        if model.name == name:
            return model
    match = re.fullmatch(r"nlpl:(?:(\d{1,3})/)?(\d{1,6})", name)
    if match is None:
        return None
    number = int(match[2])
    part = match[1] or ("11" if number in _MANYLANGS else "20")
    return Published(
        name=name,
        title=f"number {number} of the NLPL repository",
        files=(RemoteFile(url=f"{_NLPL}{part}/{number}.zip", name=f"{number}.zip"),),
        language="",
    )
