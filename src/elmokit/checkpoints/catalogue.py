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
    """A file to fetch.

    Args:
        sha256: its checksum in hexadecimal, empty where unknown.
    """

    url: str
    name: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that can be fetched by name.

    Args:
        language: code of the language ("en"), "" where it is none.
        licence: as its publisher states it for the weights, else "not stated".
        megabytes: about how much is fetched; 0 where unknown.
    """

    name: str
    title: str
    files: tuple[RemoteFile, ...]
    language: str = "en"
    licence: str = NOT_STATED
    megabytes: int = 0
    tokenizer: str = "whitespace"


def _official(name: str, title: str, stem: str, megabytes: int) -> Published:
    files = tuple(
        RemoteFile(url=f"{_AI2}{stem}/elmo_{stem}_{part}", name=part) for part in ("options.json", "weights.hdf5")
    )
    return Published(name=name, title=title, files=files, megabytes=megabytes)


CATALOGUE: tuple[Published, ...] = (
    _official("small", "13.6 M parameters, 1 Billion Word Benchmark", "2x1024_128_2048cnn_1xhighway", 54),
    _official("medium", "28.0 M parameters, 1 Billion Word Benchmark", "2x2048_256_2048cnn_1xhighway", 112),
    _official("original", "93.6 M parameters, 1 Billion Word Benchmark", "2x4096_512_2048cnn_2xhighway", 374),
    _official("original-5.5B", "93.6 M parameters, Wikipedia and news", "2x4096_512_2048cnn_2xhighway_5.5B", 374),
    Published(
        name="pubmed",
        title="93.6 M parameters, PubMed abstracts",
        files=(
            RemoteFile(
                url=_AI2 + "contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_options.json", name="options.json"
            ),
            RemoteFile(
                url=_AI2 + "contributed/pubmed/elmo_2x4096_512_2048cnn_2xhighway_weights_PubMed_only.hdf5",
                name="weights.hdf5",
            ),
        ),
        megabytes=374,
    ),
    Published(
        name="portuguese",
        title="93.6 M parameters, Portuguese Wikipedia",
        files=tuple(
            RemoteFile(url=f"{_AI2}contributed/pt/elmo_pt_{part}", name=part)
            for part in ("options.json", "weights.hdf5")
        ),
        language="pt",
        megabytes=374,
    ),
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
    """A family of published models, as a row of the documentation.

    Args:
        format: name of the format that reads it (see `FORMATS`); "" where none was seen.
        seen: the year of the source that names the address, and what kind of source.
        command: how to use it; "FOLDER" is what was fetched by hand.
    """

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
    """The published model of that name."""
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
