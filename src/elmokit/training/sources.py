"""Names of corpus files → sources of texts.

A corpus is given as paths, globs, or "-" for standard input; what a file is, its name tells (see
`elmokit.data.tables`): plain text with a text a line, CSV, TSV, JSON lines or Parquet with a column of texts,
each also compressed. Standard input is copied to a file first, because an index that can be reused needs one.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from elmokit.data.streams import STDIN, open_bytes
from elmokit.data.tables import TEXT_COLUMN, Table
from elmokit.errors import ConfigError, InputError, MissingFile
from elmokit.text.tokens import get_tokenizer
from elmokit.training.store import Store, build_store, fingerprint_of


def find_files(corpus: Sequence[str | Path], *, stdin_copy: Path) -> list[Path]:
    """The files that paths and globs name, in order, each once.

    Args:
        corpus: paths, globs, or "-".
        stdin_copy: where standard input is kept.

    Returns:
        the files.

    Raises:
        MissingFile: a path that does not exist, a glob that finds nothing.
    """
    found: dict[Path, None] = {}
    for name in map(str, corpus):
        if name == STDIN:
            with open_bytes(STDIN) as stream, stdin_copy.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            found[stdin_copy] = None
            continue
        paths = [Path(name)] if Path(name).exists() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
        if not paths:
            raise MissingFile(
                f"{name}: no such corpus file, and no file fits it as a pattern (looked in {Path.cwd()})."
            )
        for path in paths:
            files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
            found.update(dict.fromkeys(files))
    if not found:
        raise MissingFile("no corpus file was given: name at least one file with a text a line.")
    return list(found)


def source_name(path: Path) -> str:
    """A source's name in weights and reports: the file's name up to its first dot.

    Example:
        >>> source_name(Path("corpus/tweets.txt.xz"))
        'tweets'
    """
    return path.name.split(".", 1)[0] or path.name


def read_texts(path: Path, *, column: str, bad_rows: Literal["stop", "skip"]) -> Iterator[str]:
    """The texts of one file; empty lines are passed over.

    Args:
        path: the file.
        column: the column of texts, in files that have columns.
        bad_rows: "stop" at a line that can't be read, naming it, or "skip" it.

    Yields:
        the texts.
    """
    policy: Literal["keep", "skip"] = "keep" if bad_rows == "stop" else "skip"
    try:
        table = Table(source=path, bad_rows=policy)
    except InputError:  # a name that tells no format
        table = Table(source=path, bad_rows=policy, format="txt")
    wanted = TEXT_COLUMN if table.kind == "txt" else column
    for row in table.rows([wanted]):
        if text := row.values[wanted].strip():
            yield text


def open_store(
    corpus: Sequence[str | Path],
    folder: Path,
    *,
    tokenizer: str,
    column: str = "text",
    bad_rows: Literal["stop", "skip"] = "stop",
    heldout_every: int = 500,
    n_processes: int = 2,
    on_progress: Callable[[str, int], None] | None = None,
    keep: bool = False,
) -> Store:
    """The indexed corpus: made now, or reused where nothing has changed.

    Args:
        corpus: paths, globs, or "-".
        folder: where the store is or shall be.
        tokenizer: name of the tokenizer.
        column: the column of texts, in files that have columns.
        bad_rows: what to do with lines that can't be read.
        heldout_every: one text in so many is held out.
        n_processes: processes that cut texts into words.
        on_progress: see `build_store`.
        keep: refuse to replace a store that was made of another corpus.

    Returns:
        the store.

    Raises:
        ConfigError: `keep`, and the corpus, its files' contents, the column or `heldout_every` changed.
    """
    get_tokenizer(tokenizer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = find_files(corpus, stdin_copy=folder.parent / "standard-input.txt")
    names = [source_name(path) for path in files]
    if len(set(names)) != len(names):
        names = [str(path) for path in files]
    fingerprint = fingerprint_of(files, names, tokenizer, column, heldout_every)
    if (folder / "store.json").exists():
        store = Store(folder)
        if store.fingerprint == fingerprint:
            return store
        if keep:
            raise ConfigError(
                f"{folder.parent.parent}: can't be resumed: the corpus is not the one that the run began with (files,"
                " their contents, column, tokenizer or held-out share changed). Choose another folder."
            )
    readers: list[Callable[[], Iterable[str]]] = [
        partial(read_texts, p, column=column, bad_rows=bad_rows) for p in files
    ]
    return build_store(
        list(zip(names, readers, strict=True)),
        folder,
        tokenizer=tokenizer,
        heldout_every=heldout_every,
        n_processes=n_processes,
        fingerprint=fingerprint,
        on_progress=on_progress,
    )


def check_weights(weights: Mapping[str, float], store: Store) -> None:
    """Refuse weights of sources that the corpus does not have.

    Args:
        weights: by source name.
        store: the corpus.

    Raises:
        ConfigError: a name that is not a source, a negative weight, or nothing left to read.
    """
    names = [source.name for source in store.sources]
    for name, weight in weights.items():
        if name not in names:
            raise ConfigError(f"there is a weight for {name!r}, but the corpus's sources are {', '.join(names)}.")
        if weight < 0:
            raise ConfigError(f"the weight of {name!r} is {weight}; expected 0 or more.")
    if all(weights.get(name, 1.0) == 0 for name in names):
        raise ConfigError("all weights are 0: nothing is left to read.")
