"""Tags ↔ the numbers that a network learns.

Tags that mark spans are learned as BIOES whatever scheme they came in: the last word of a span and a span of one word
then have tags of their own, which helps (Ratinov & Roth 2009), and given back in the scheme that they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import InputError
from elmokit.tasks.bio import OUTSIDE, Scheme, may_follow, spans, write_tags

if TYPE_CHECKING:
    from elmokit.tasks.crf import Constraints


@dataclass(frozen=True)
class TagCodec:
    """What a network's numbers mean.

    Args:
        names: K tags, in the order of their numbers.
        scheme: of the tags outside; None where they mark no spans.

    Example:
        >>> codec = TagCodec.of([["I-PER", "I-PER", "O"]], "IOB1")
        >>> codec.names
        ('O', 'B-PER', 'I-PER', 'E-PER', 'S-PER')
        >>> codec.decode(codec.encode(["O", "I-PER", "I-PER"]))
        ['O', 'I-PER', 'I-PER']
    """

    names: tuple[str, ...]
    scheme: Scheme | None

    @classmethod
    def of(cls, tags: Sequence[Sequence[str]], scheme: Scheme | None) -> TagCodec:
        """The codec for tags that are learned from.

        Args:
            tags: of sentences.
            scheme: theirs; None where they mark no spans.

        Returns:
            the tags that occur, sorted; for spans "O" and the four letters with each label.

        Raises:
            InputError: a single tag: there is nothing to learn.
        """
        if scheme is None:
            names: tuple[str, ...] = tuple(sorted({tag for of_one in tags for tag in of_one}))
        else:
            labels = sorted({span.label for of_one in tags for span in spans(of_one)})
            names = (OUTSIDE, *(f"{letter}-{label}" for label in labels for letter in "BIES"))
        if len(names) < 2:
            raise InputError(f"all words have the tag {''.join(names)!r}; it takes two tags to learn.")
        return cls(names, scheme)

    def encode(self, tags: Sequence[str]) -> NDArray[np.int64]:
        """Tags as numbers. Shape (T,)."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[tag] for tag in self._inside(tags)], dtype=np.int64)

    def _inside(self, tags: Sequence[str]) -> Sequence[str]:
        if self.scheme is None:
            return tags
        bioes = write_tags(spans(tags), len(tags), "BIOES")
        return [tag if len(tag) > 1 or tag == OUTSIDE else f"{tag}-_" for tag in bioes]

    def decode(self, numbers: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Numbers as tags of the scheme outside."""
        tags = [self.names[number] for number in numbers]
        return tags if self.scheme is None else write_tags(spans(tags), len(tags), self.scheme)

    def constraints(self) -> Constraints | None:
        """The rules of BIOES as the decoder takes them; None where tags mark no spans. Needs PyTorch."""
        if self.scheme is None:
            return None
        import torch

        from elmokit.tasks.crf import Constraints

        return Constraints(
            start=torch.tensor([may_follow(None, tag, "BIOES") for tag in self.names]),
            step=torch.tensor([[may_follow(before, tag, "BIOES") for tag in self.names] for before in self.names]),
            end=torch.tensor([may_follow(tag, None, "BIOES") for tag in self.names]),
        )
