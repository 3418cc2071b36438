"""Reversible rules from one naming and layout of weights to another, as data; the same rules read and write a format.

`revert` undoes `apply` bit for bit, but where a step adds 1, which rounds.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elmokit.checkpoints.checkpoint import check_shapes
from elmokit.config import ElmoConfig

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """A change of layout, from theirs towards ours, that can be undone; `revert` is a view if the shape changes."""

    apply: Callable[[Array], Array]
    revert: Callable[[Array], Array]
    keeps_shape: bool = False


DROP_AXIS = Step(lambda x: np.squeeze(x, axis=0), lambda x: np.expand_dims(x, 0))  # the first one, of length 1
PAD_ROW = Step(lambda x: np.concatenate([np.zeros_like(x, shape=(1, *x.shape[1:])), x]), lambda x: x[1:])
"""A row of zeros in front: our id 0 means "nothing here"."""


def transpose(axes: tuple[int, ...] = (1, 0)) -> Step:
    """Put the axes in another order."""
    return Step(lambda x: np.transpose(x, axes), lambda x: np.transpose(x, np.argsort(axes)))


def reorder_blocks(order: tuple[int, ...]) -> Step:
    """Put equal blocks of the first axis (LSTM gates) in another order."""

    def reordered(order: Sequence[int]) -> Callable[[Array], Array]:
        return lambda x: np.concatenate([np.split(x, len(order))[i] for i in order])

    return Step(reordered(order), reordered([order.index(i) for i in range(len(order))]), keeps_shape=True)


def change_block(block: int, n: int, apply: Callable[[Array], Array], revert: Callable[[Array], Array]) -> Step:
    """Change one of `n` equal blocks of the first axis (a gate)."""

    def changed(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: np.concatenate([change(y) if i == block else y for i, y in enumerate(np.split(x, n))])

    return Step(changed(apply), changed(revert), keeps_shape=True)


@dataclass(frozen=True)
class Rule:
    """One of their arrays and the one or several of ours that it holds, beside each other on `axis`, in this order.

    `steps` lead from their layout to ours, before the parts are taken apart. In a table, the names hold {i} for a
    number, {direction} for "forward" or "backward", and {d} for 0 or 1.
    """

    theirs: str
    ours: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    axis: int = 0

    def their_shape(self, our_shapes: Mapping[str, Shape]) -> Shape:
        """Return the shape that their array must have."""
        joined = list(our_shapes[self.ours[0]])
        joined[self.axis] = sum(our_shapes[name][self.axis] for name in self.ours)
        x = np.broadcast_to(np.int8(0), joined)  # takes no memory
        for step in reversed(self.steps):
            x = x if step.keeps_shape else step.revert(x)
        return x.shape

    def apply(self, theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """Make our arrays from theirs; views where possible, which saves copies."""
        x = theirs[self.theirs]
        for step in self.steps:
            x = step.apply(x)
        ends = np.cumsum([our_shapes[name][self.axis] for name in self.ours])[:-1]
        return dict(zip(self.ours, np.split(x, ends, axis=self.axis), strict=True))

    def revert(self, ours: Mapping[str, Array]) -> Array:
        """Make their array, contiguous, from ours."""
        parts = [ours[name] for name in self.ours]
        x = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self.axis)
        for step in reversed(self.steps):
            x = step.revert(x)
        return np.ascontiguousarray(x)


def rules_from(table: Iterable[Rule], config: ElmoConfig) -> tuple[Rule, ...]:
    """Fill in the templates of a table for all tensors of a model; rules without templates stay as they are."""
    names, rules = list(config.tensor_shapes()), []
    for rule in table:
        pattern = re.escape(rule.ours[0]).replace(r"\{i\}", r"(?P<i>\d+)")
        pattern = pattern.replace(r"\{direction\}", r"(?P<direction>\w+)")
        for match in filter(None, (re.fullmatch(pattern, name) for name in names)):
            fields = match.groupdict() | {"d": int(match.groupdict().get("direction") == "backward")}
            ours = tuple(name.format_map(fields) for name in rule.ours)
            rules.append(replace(rule, theirs=rule.theirs.format_map(fields), ours=ours))
    return tuple(rules)


def apply_rules(
    rules: Sequence[Rule], theirs: Mapping[str, Array], our_shapes: Mapping[str, Shape]
) -> dict[str, Array]:
    """Make all our arrays from theirs, in our order."""
    arrays: dict[str, Array] = {}
    for rule in rules:
        arrays |= rule.apply(theirs, our_shapes)
    return {name: arrays[name] for name in our_shapes if name in arrays}


def revert_rules(rules: Sequence[Rule], ours: Mapping[str, Array]) -> dict[str, Array]:
    """Make all their arrays from ours."""
    return {rule.theirs: rule.revert(ours) for rule in rules}


def convert(
    table: Iterable[Rule], config: ElmoConfig, arrays: Mapping[str, Array], path: Path, options_path: Path
) -> dict[str, Array]:
    """Our tensors from a file's arrays, after every name and shape was compared with what the options need."""
    rules, ours = rules_from(table, config), config.tensor_shapes()
    sizes = f"dim {config.bilstm.cell_width}, projection_dim {config.projection_width}"
    expected = {rule.theirs: rule.their_shape(ours) for rule in rules}
    check_shapes(arrays, expected, needed_by=f"{options_path.name} ({sizes})", place=f"{path}: ")
    return apply_rules(rules, arrays, ours)
