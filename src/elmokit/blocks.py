"""Streams → lists of a bounded size: the one place where a stream is cut into blocks."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def blocks(
    items: Iterable[T], size: int, *, weigh: Callable[[T], int] = lambda _: 0, most: int = 1
) -> Iterator[list[T]]:
    """Cut a stream into lists of `size` items; a list ends earlier once its items together weigh `most`."""
    block: list[T] = []
    weight = 0
    for item in items:
        block.append(item)
        weight += weigh(item)
        if len(block) == size or weight >= most:
            yield block
            block, weight = [], 0
    if block:
        yield block


class SizedStream(Iterable[T]):
    """A stream whose length is known, so that a progress bar can show how much is left."""

    def __init__(self, items: Iterable[T], length: int) -> None:
        self._items, self._length = items, length

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return self._length
