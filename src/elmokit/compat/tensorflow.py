"""The five TensorFlow 1 calls that code around TF-Hub's ELMo makes, as if everything had been computed already.

`from elmokit.compat import tensorflow as tf, tfhub as hub` lets such code run as it stands: `tf.Session().run(x)`
gives x. It serves scripts that use ELMo; it is no TensorFlow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Session:
    """A session that has nothing to do.

    Example:
        >>> with Session() as session:
        ...     session.run(reduce_mean([[1.0, 3.0]], 1)).tolist()
        [2.0]
    """

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def run(self, fetches: Any) -> Any:
        """What is given; it is computed already."""
        return fetches

    def close(self) -> None:
        """Nothing."""


def global_variables_initializer() -> None:
    """Nothing: the model's variables are loaded."""


def tables_initializer() -> None:
    """Nothing: there are no tables."""


def reduce_mean(input_tensor: ArrayLike, axis: int | None = None) -> NDArray[Any]:
    """Return the mean over an axis, or over all, in the numbers' own type.

    Example:
        >>> reduce_mean([[1.0, 3.0], [5.0, 7.0]], 1).tolist()
        [2.0, 6.0]
    """
    return np.asarray(np.mean(np.asarray(input_tensor), axis=axis))
