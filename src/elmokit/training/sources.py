"""Names of corpus files → the texts in them → a store.

Text files hold a text a line; CSV, TSV, JSON lines and Parquet a column of texts (see `elmokit.data.tables`), each also
compressed. Standard input is copied to a file first, because an index that can be reused needs one.
"""

import glob
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

from elmokit.data.streams import STDIN, open_bytes
from elmokit.data.tables import TEXT_COLUMN, Table
from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.text.char_ids import UNK
from elmokit.text.tokens import get_tokenizer
from elmokit.training.store import STORE_VERSION, CorpusStore, OnProgress, build_store


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The texts to train on."""

    files: Sequence[str | Path]  # paths, folders, patterns or "-" for standard input
    weights: Mapping[str, float] | None = None  # how often each source (see `source_name`) is read per epoch; else once
    column: str = "text"  # of the texts in files that have columns
    encoding: str = "utf-8"  # of the files' characters
    bad_rows: Literal["stop", "skip"] = "stop"  # at a row that can't be read
    heldout_every: int = 500  # one text in so many is held out, by the hash of its words
    n_processes: int = 2  # that cut texts into words

    def texts(self, path: Path) -> Iterator[str]:
        """The texts of one file that are not blank."""
        policy: Literal["keep", "skip"] = "keep" if self.bad_rows == "stop" else "skip"
        open_table = partial(Table, source=path, bad_rows=policy, encoding=self.encoding)
        try:
            table = open_table()
        except InputError:  # the name tells no format
            table = open_table(format="txt")
        column = TEXT_COLUMN if table.kind == "txt" else self.column
        for row in table.rows([column]):
            if text := row.values[column].strip():
                yield text

    def check_weights(self, store: CorpusStore) -> None:
        """ConfigError for a weight of a name that is not a source, a negative one, or nothing left to read."""
        names, weights = [source.name for source in store.sources], self.weights or {}
        for name, weight in weights.items():
            if name not in names:
                raise ConfigError(f"there is a weight for {name!r}, but the corpus's sources are {', '.join(names)}.")
            if weight < 0:
                raise ConfigError(f"the weight of {name!r} is {weight}; expected 0 or more.")
        if all(weights.get(name, 1.0) == 0 for name in names):
            raise ConfigError("all weights are 0: nothing is left to read.")


def find_files(corpus: Sequence[str | Path], *, stdin_copy: Path) -> list[Path]:
    """The files that paths, folders and patterns name, in order, each once; "-" is copied to `stdin_copy`."""
    files: dict[Path, None] = {}
    for name in map(str, corpus):
        if name == STDIN:
            with open_bytes(STDIN) as stream, stdin_copy.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            files[stdin_copy] = None
            continue
        paths = [Path(name)] if Path(name).exists() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
        if not paths:
            raise MissingFile(f"{name}: no such corpus file, and no file fits it as a pattern (in {Path.cwd()}).")
        for path in paths:
            files |= dict.fromkeys(sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path])
    if not files:
        raise MissingFile("no corpus file was given: name at least one file with a text a line.")
    return list(files)


def source_name(path: Path) -> str:
    """The name of a source in weights and reports: the file's name up to its first dot."""
    return path.name.split(".", 1)[0] or path.name


def open_store(
    corpus: Corpus, folder: Path, *, tokenizer: str, on_progress: OnProgress | None = None, keep: bool = False
) -> CorpusStore:
    """The indexed corpus: made now, or reused if nothing has changed.

    With `keep`, a store of another corpus is not replaced: ConfigError if files, contents or settings changed.
    """
    get_tokenizer(tokenizer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = find_files(corpus.files, stdin_copy=folder.parent / "standard-input.txt")
    names = [source_name(path) for path in files]
    if len(set(names)) != len(names):
        names = [str(path) for path in files]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = [names, tokenizer, corpus.column, corpus.encoding, corpus.heldout_every]
    contents = json.dumps([STORE_VERSION, UNK, *settings, *chain.from_iterable(stats)])
    fingerprint = hashlib.sha256(contents.encode()).hexdigest()[:16]
    if (folder / "store.json").exists():
        store = CorpusStore(folder)
        if store.fingerprint == fingerprint:
            return store
        if keep:
            raise ConfigError(
                f"{folder.parent.parent}: can't be resumed: the corpus is not the one that the run began with (files,"
                " their contents, column, tokenizer or held-out share changed). Choose another folder."
            )
    sources = [(name, partial(corpus.texts, path)) for name, path in zip(names, files, strict=True)]
    return build_store(
        sources, folder, tokenizer=tokenizer, heldout_every=corpus.heldout_every, n_processes=corpus.n_processes,
        fingerprint=fingerprint, on_progress=on_progress,
    )  # fmt: skip
