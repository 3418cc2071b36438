"""Reversible rules from one naming and layout of weights to another, as data.

A format's file says *what* differs from ours, as a tuple of `Rule`s: a rename, the layout steps in order, and where
one of their arrays holds several of ours. The same rules write the format. Law: `revert(apply(x)) == x`, bit for
bit, for every step but `AddToBlock`, where adding 1 in floating point rounds; there `apply(revert(apply(x)))` is
`apply(x)`, bit for bit, so a file read, written and read again gives the same model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


class Step(Protocol):
    """One change of layout that can be undone."""

    def apply(self, x: Array) -> Array:
        """From theirs towards ours."""

    def revert(self, x: Array) -> Array:
        """From ours towards theirs."""

    def revert_shape(self, shape: Shape) -> Shape:
        """The shape that `revert` gives."""


@dataclass(frozen=True)
class Transpose:
    """Axes in another order.

    Example:
        >>> Transpose((1, 0)).apply(np.zeros((2, 3))).shape
        (3, 2)
    """

    axes: tuple[int, ...] = (1, 0)

    def apply(self, x: Array) -> Array:
        """Our axes."""
        return np.transpose(x, self.axes)

    def revert(self, x: Array) -> Array:
        """Their axes."""
        return np.transpose(x, self._inverse())

    def revert_shape(self, shape: Shape) -> Shape:
        """Their shape."""
        return tuple(shape[axis] for axis in self._inverse())

    def _inverse(self) -> tuple[int, ...]:
        return tuple(self.axes.index(i) for i in range(len(self.axes)))


@dataclass(frozen=True)
class DropAxis:
    """Without the first axis, which has one place.

    Example:
        >>> DropAxis().apply(np.zeros((1, 3))).shape
        (3,)
    """

    def apply(self, x: Array) -> Array:
        """Ours, without it."""
        return np.squeeze(x, axis=0)

    def revert(self, x: Array) -> Array:
        """Theirs, with it."""
        return np.expand_dims(x, 0)

    def revert_shape(self, shape: Shape) -> Shape:
        """Their shape."""
        return (1, *shape)


@dataclass(frozen=True)
class PadRow:
    """A row of zeros in front: our id 0 is "nothing here".

    Example:
        >>> PadRow().apply(np.ones((1, 2))).tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """

    def apply(self, x: Array) -> Array:
        """With the row."""
        return np.concatenate([np.zeros_like(x[:1], shape=(1, *x.shape[1:])), x])

    def revert(self, x: Array) -> Array:
        """Without it."""
        return np.delete(x, 0, axis=0)

    def revert_shape(self, shape: Shape) -> Shape:
        """Their shape."""
        return (shape[0] - 1, *shape[1:])


@dataclass(frozen=True)
class ReorderBlocks:
    """Equal blocks of the first axis in another order (LSTM gates).

    Example:
        >>> ReorderBlocks((0, 2, 1, 3)).apply(np.arange(4)).tolist()
        [0, 2, 1, 3]
    """

    order: tuple[int, ...]

    def apply(self, x: Array) -> Array:
        """Our order."""
        return np.concatenate([np.split(x, len(self.order))[i] for i in self.order])

    def revert(self, x: Array) -> Array:
        """Their order."""
        blocks = np.split(x, len(self.order))
        return np.concatenate([blocks[self.order.index(i)] for i in range(len(blocks))])

    def revert_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True)
class NegateBlock:
    """One of `n` equal blocks of the first axis with the other sign (a gate that lets the other value through).

    Example:
        >>> NegateBlock(1, 2).apply(np.ones(2)).tolist()
        [1.0, -1.0]
    """

    block: int
    n: int

    def apply(self, x: Array) -> Array:
        """Turn the sign."""
        y = np.array(x)
        part = np.split(y, self.n)[self.block]
        np.negative(part, out=part)
        return y

    def revert(self, x: Array) -> Array:
        """Turn it back."""
        return self.apply(x)

    def revert_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True)
class AddToBlock:
    """A number added to one of `n` equal blocks of the first axis (the forget gate's hidden 1).

    Example:
        >>> AddToBlock(1, 2, 1.0).apply(np.zeros(4)).tolist()
        [0.0, 0.0, 1.0, 1.0]
    """

    block: int
    n: int
    amount: float

    def apply(self, x: Array) -> Array:
        """Add it."""
        y = np.array(x)
        np.split(y, self.n)[self.block][...] += self.amount
        return y

    def revert(self, x: Array) -> Array:
        """Take it away."""
        y = np.array(x)
        np.split(y, self.n)[self.block][...] -= self.amount
        return y

    def revert_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return shape


@dataclass(frozen=True)
class Rule:
    """One of their arrays and the one or several of ours that it holds.

    Args:
        theirs: its name in the file.
        ours: our names. Several lie beside each other on `axis`, in this order.
        steps: from their layout to ours, before the parts are taken apart.
        axis: where several parts are joined.

    Example:
        >>> rule = Rule("kernel", ("weight",), (Transpose(),))
        >>> rule.apply({"kernel": np.zeros((2, 3))}, {"weight": (3, 2)})["weight"].shape
        (3, 2)
    """

    theirs: str
    ours: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    axis: int = 0

    def their_shape(self, our_shapes: Mapping[str, Shape]) -> Shape:
        """The shape that their array must have.

        Args:
            our_shapes: our names and shapes.

        Returns:
            the shape.
        """
        joined = list(our_shapes[self.ours[0]])
        joined[self.axis] = sum(our_shapes[name][self.axis] for name in self.ours)
        shape = tuple(joined)
        for step in reversed(self.steps):
            shape = step.revert_shape(shape)
        return shape

    def apply(self, theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """Our arrays from theirs.

        Args:
            theirs: their arrays, this rule's among them.
            our_shapes: our names and shapes, to know where the parts end.

        Returns:
            our arrays; views where possible, for copying a transposed matrix costs more than reading it.
        """
        x = theirs[self.theirs]
        for step in self.steps:
            x = step.apply(x)
        ends = np.cumsum([our_shapes[name][self.axis] for name in self.ours])[:-1]
        parts = np.split(x, ends, axis=self.axis)
        return dict(zip(self.ours, parts, strict=True))

    def revert(self, ours: Mapping[str, Array]) -> Array:
        """Their array from ours.

        Args:
            ours: our arrays.

        Returns:
            their array, contiguous.
        """
        x = ours[self.ours[0]]
        if len(self.ours) > 1:
            x = np.concatenate([ours[name] for name in self.ours], axis=self.axis)
        for step in reversed(self.steps):
            x = step.revert(x)
        return np.ascontiguousarray(x)


def apply_rules(
    rules: Sequence[Rule], theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]
) -> dict[str, Array]:
    """All our arrays from theirs, in our order.

    Args:
        rules: the format's rules.
        theirs: their arrays by their names.
        our_shapes: our names and shapes, in order.

    Returns:
        our arrays by our names.
    """
    arrays: dict[str, Array] = {}
    for rule in rules:
        arrays |= rule.apply(theirs, our_shapes)
    return {name: arrays[name] for name in our_shapes if name in arrays}


def revert_rules(rules: Sequence[Rule], ours: Mapping[str, Array]) -> dict[str, Array]:
    """All their arrays from ours.

    Args:
        rules: the format's rules.
        ours: our arrays by our names.

    Returns:
        their arrays by their names.
    """
    return {rule.theirs: rule.revert(ours) for rule in rules}
