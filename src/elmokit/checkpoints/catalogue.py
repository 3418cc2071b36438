"""Published ELMo models as data: names to fetch by, and all families with address, format and licence as seen.

`dev/make_docs.py` writes docs/checkpoints.md from it. Licences are those that a publisher states for the weights; where
none was seen, it says "not stated". No host publishes checksums, so `sha256` is empty until someone adds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NOT_STATED = "not stated"
_AI2 = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/"
_NLPL = "http://vectors.nlpl.eu/repository/"
_MANYLANGS = range(136, 180)  # numbers of the ELMoForManyLangs models in the NLPL repository's part 11


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch.

    Args:
        url: where it lies.
        name: what it is called here.
        sha256: its checksum in hexadecimal, empty where unknown.
    """

    url: str
    name: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that can be fetched by name.

    Args:
        name: what people type.
        title: for people.
        files: what it consists of.
        language: code of the language ("en"), "" where it is none.
        licence: as its publisher states it for the weights, else "not stated".
        megabytes: about how much is fetched; 0 where unknown.
        tokenizer: how its text was cut.
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
        title: what it is.
        languages: the languages.
        format: name of the format that reads it (see `FORMATS`); "" where none was seen.
        address: where it was last seen.
        seen: the year of the source that names the address, and what kind of source.
        command: how to use it; "FOLDER" is what was fetched by hand.
        licence: as stated for the weights.
    """

    title: str
    languages: str
    format: str
    address: str
    seen: str
    command: str
    licence: str = NOT_STATED


_BY_HAND = "elmokit convert FOLDER mine/"

FAMILIES: tuple[Family, ...] = (
    Family(
        title="AllenNLP: small, medium, original, original-5.5B",
        languages="English",
        format="allennlp",
        address=_AI2,
        seen="2019, a notebook",
        command="elmokit convert original mine/",
    ),
    Family(
        title="AllenNLP, contributed: PubMed",
        languages="English, biomedicine",
        format="allennlp",
        address=_AI2 + "contributed/pubmed/",
        seen="flair's source code",
        command="elmokit convert pubmed mine/",
    ),
    Family(
        title="AllenNLP, contributed: Portuguese Wikipedia",
        languages="Portuguese",
        format="allennlp",
        address=_AI2 + "contributed/pt/",
        seen="flair's source code",
        command="elmokit convert portuguese mine/",
    ),
    Family(
        title="Google's TF-Hub module, version 3",
        languages="English",
        format="tfhub",
        address="https://tfhub.dev/google/elmo/3",
        seen="2020, a model page of another library",
        command="elmokit convert tfhub mine/",
    ),
    Family(
        title="ELMoForManyLangs, in the NLPL repository (numbers 136 to 179)",
        languages="44 languages",
        format="manylangs",
        address=_NLPL + "11/144.zip",
        seen="simple_elmo's issues",
        command="elmokit convert nlpl:144 mine/",
    ),
    Family(
        title="NLPL repository, models of its own",
        languages="several",
        format="allennlp",
        address=_NLPL + "20/212.zip",
        seen="simple_elmo's documentation",
        command="elmokit convert nlpl:212 mine/",
    ),
    Family(
        title="EMBEDDIA (arXiv:1911.10049)",
        languages="Croatian, Estonian, Finnish, Latvian, Lithuanian, Slovenian, Swedish",
        format="",
        address="https://arxiv.org/abs/1911.10049",
        seen="2020, the paper",
        command=_BY_HAND,
    ),
    Family(
        title="A Passage to India (arXiv:2112.13800)",
        languages="14 Indian languages, from Assamese to Telugu; for which of them there is an ELMo was not seen",
        format="",
        address="https://arxiv.org/abs/2112.13800",
        seen="2021, the paper",
        command=_BY_HAND,
    ),
    Family(
        title="Polish NLP resources",
        languages="Polish",
        format="allennlp",
        address="https://github.com/sdadas/polish-nlp-resources",
        seen="the repository's readme, which links a download",
        command=_BY_HAND,
    ),
    Family(
        title="DeepPavlov's exports for TF-Hub",
        languages="Russian",
        format="tfhub",
        address="https://github.com/deeppavlov/DeepPavlov",
        seen="the repository's source code",
        command=_BY_HAND,
    ),
    Family(
        title="Basque and German models of contributors",
        languages="Basque, German",
        format="allennlp",
        address="https://schweter.eu (Basque); t-systems (German)",
        seen="pages that name them",
        command=_BY_HAND,
    ),
    Family(
        title="Cross-lingual ELMo, with mappings between languages",
        languages="English, Spanish, French, Italian, Portuguese, Swedish, German",
        format="allennlp",
        address="https://github.com/TalSchuster/CrossLingualContextualEmb",
        seen="the repository",
        command=_BY_HAND,
    ),
    Family(
        title="BioELMo",
        languages="English, biomedicine",
        format="allennlp",
        address="https://github.com/Andy-jqa/bioelmo",
        seen="2019, the repository's readme",
        command=_BY_HAND,
    ),
    Family(
        title="SeqVec",
        languages="protein sequences",
        format="allennlp",
        address="https://rostlab.org/~deepppi/seqvec.zip",
        seen="2019, the repository of the paper",
        command="elmokit convert seqvec mine/",
    ),
    Family(
        title="Copies on the Hugging Face Hub: lysandre/elmo, lysandre/elmo-2x4096_512_2048cnn_2xhighway",
        languages="English",
        format="allennlp",
        address="https://huggingface.co/lysandre/elmo",
        seen="2024, the list of files",
        command="elmokit convert hf:lysandre/elmo mine/",
    ),
    Family(
        title="IshiKura/ELMo on the Hugging Face Hub",
        languages="not stated",
        format="allennlp-archive",
        address="https://huggingface.co/IshiKura/ELMo",
        seen="2024, the model card",
        command="elmokit convert hf:IshiKura/ELMo mine/",
        licence="MIT",
    ),
)
"""Every published family that was seen, whether it can be fetched by name or not."""


def find(name: str) -> Published | None:
    """The published model of that name.

    Args:
        name: a name of the catalogue, "nlpl:" and a number, or "nlpl:" and the repository's part and number.

    Returns:
        the model, or None.

    Example:
        >>> find("nlpl:144").files[0].url
        'http://vectors.nlpl.eu/repository/11/144.zip'
        >>> find("original").licence
        'not stated'
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
