"""spaCy: `nlp.add_pipe("elmo")` gives tokens their vectors in context, and `vector` and `similarity` look at them.

Tokens of white space have zeros and are not read. The vectors of a doc lie in `doc._.elmo`, which survives `to_bytes`,
`DocBin` and `nlp.pipe(n_process=…)`. A saved pipeline holds the model's name and mark, no weights, and refuses another
model. The entry point in pyproject.toml lets spaCy find the pipe without an import.
"""
# Annotations are evaluated on purpose (no `from __future__ import annotations`): spaCy checks configurations by them.

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.blocks import blocks
from elmokit.elmo import Elmo, Layers
from elmokit.errors import CheckpointError, ConfigError, InputError, needing
from elmokit.files import atomic_path, make_folder
from elmokit.reading import read_bytes
from elmokit.tasks.saved import check_record, model_record

with needing("spaCy", "spacy", "the pipe 'elmo'"):
    from spacy.language import Language
    from spacy.tokens import Doc, Span, Token

Vectors = NDArray[np.float32]

_FORMAT = 1
_FILE = "elmo.json"


class ElmoPipe:
    """A pipe that puts ELMo vectors into docs; made by `nlp.add_pipe("elmo", config={…})`.

    `layers` (not "each") are those of `Elmo.encode_words`.

    Example:
        >>> import spacy
        >>> nlp = spacy.blank("en")
        >>> pipe = nlp.add_pipe("elmo", config={"layers": -1})
        >>> doc = nlp("The bank of the river.")
        >>> doc._.elmo.shape == (6, pipe.elmo.dim) and bool((doc[1].vector == doc[1]._.elmo).all())
        True
        >>> round(doc.similarity(doc), 4)
        1.0
    """

    def __init__(self, elmo: Elmo, *, layers: Layers = "mix") -> None:
        if layers == "each":
            raise ConfigError("layers='each' gives several vectors a word; a token has one: use 'all'.")
        self.elmo, self.layers = elmo, layers
        register_attributes()

    def __call__(self, doc: Doc) -> Doc:
        """Put vectors into one doc."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 256) -> Iterator[Doc]:
        """Put vectors into docs, `batch_size` at a time, which bounds the memory and changes no vector."""
        for docs in blocks(stream, batch_size):
            words = [[token.text for token in doc if not token.is_space] for doc in docs]
            features = self.elmo.encode_words(words, layers=self.layers, show_progress=False)
            for doc, text in zip(docs, features, strict=True):
                vectors = np.zeros((len(doc), text.vectors.shape[1]), np.float32)
                vectors[[not token.is_space for token in doc]] = text.vectors
                doc._.elmo = vectors
                add_hooks(doc)
                yield doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Return the model's name and fingerprint as JSON; no weights."""
        return json.dumps({"format": _FORMAT, "model": model_record(self.elmo)}).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = (), place: str | Path = "the pipe") -> "ElmoPipe":
        """Check that the pipe has the model that it was saved with; raises `CheckpointError` for another one."""
        try:
            record = json.loads(data)["model"]
            known = {"name": str(record["name"]), "fingerprint": str(record["fingerprint"])}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CheckpointError(f"{place}: not what the pipe 'elmo' saves; save the pipeline again.") from None
        check_record(known, self.elmo, place)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model's name and fingerprint into a folder; no weights."""
        with atomic_path(make_folder(path) / _FILE) as temporary:
            temporary.write_bytes(self.to_bytes(exclude=exclude))

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "ElmoPipe":
        """Check that the pipe has the model that it was saved with; raises `CheckpointError` for another one."""
        file = Path(path) / _FILE
        return self.from_bytes(read_bytes(file, max_bytes=1 << 16), exclude=exclude, place=file)


_DEFAULTS = {"model": "default", "layers": "mix", "precision": "float32", "n_threads": None}


@Language.factory("elmo", default_config=_DEFAULTS, assigns=["doc._.elmo", "span._.elmo", "token._.elmo"])
def make_elmo(nlp: Language, name: str, model: str, layers: Any, precision: str, n_threads: int | None) -> ElmoPipe:
    """Make the pipe; `nlp.add_pipe("elmo", config={…})` calls it with the arguments of `Elmo.load`."""
    return ElmoPipe(Elmo.load(model, precision=precision, n_threads=n_threads), layers=layers)


def register_attributes() -> None:
    """Register `doc._.elmo`, `span._.elmo` and `token._.elmo`, to read saved docs in a process without the pipe."""
    if not Doc.has_extension("elmo"):
        Doc.set_extension("elmo", default=None)
        Span.set_extension("elmo", getter=_rows)
        Token.set_extension("elmo", getter=_rows)


def add_hooks(doc: Doc) -> Doc:
    """Let `vector`, `has_vector` and `similarity` of a doc, its spans and its tokens look at `doc._.elmo`.

    The pipe does it; docs from a file or another process need it again, because spaCy saves no hooks. A vector of
    several tokens is the mean of theirs, tokens of white space left out.
    """
    register_attributes()
    for hooks in (doc.user_hooks, doc.user_span_hooks, doc.user_token_hooks):
        hooks.update(vector=_vector, has_vector=_has_vector, similarity=_similarity)
    return doc


def _rows(part: Doc | Span | Token) -> Vectors:
    """The vectors of a doc or span (T, d), or of a token (d,)."""
    doc = part.doc
    vectors: Vectors | None = doc._.elmo
    if vectors is None:
        raise InputError("this doc holds no ELMo vectors: send it through a pipeline with nlp.add_pipe('elmo').")
    if len(vectors) != len(doc):
        raise InputError(
            f"this doc has {len(doc)} tokens, but ELMo vectors of {len(vectors)}: tokens were merged or split since."
            " Put 'elmo' behind the pipe that does it: nlp.add_pipe('elmo', last=True)."
        )
    if isinstance(part, Token):
        return np.asarray(vectors[part.i])
    return vectors[part.start : part.end] if isinstance(part, Span) else vectors


def _vector(part: Doc | Span | Token) -> Vectors:
    rows = _rows(part)
    if isinstance(part, Token):
        return rows
    kept = rows[[not token.is_space for token in part]]
    return np.asarray(kept.mean(axis=0)) if len(kept) else np.zeros(rows.shape[1], np.float32)


def _has_vector(part: Doc | Span | Token) -> bool:
    tokens = [part] if isinstance(part, Token) else part
    return part.doc._.elmo is not None and any(not token.is_space for token in tokens)


def _similarity(part: Doc | Span | Token, other: Any) -> float:
    one, two = _vector(part), other.vector
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / lengths if lengths else 0.0
