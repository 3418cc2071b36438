"""Streams → lists of a fixed size: the one place where a stream of rows is cut into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block


class SizedStream(Iterable[T]):
    """A stream whose length is known, so that a progress bar can show how much is left."""

    def __init__(self, items: Iterable[T], length: int) -> None:
        self._items, self._length = items, length

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return self._length
