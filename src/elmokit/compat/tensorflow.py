"""The five TensorFlow 1 calls that code around TF-Hub's ELMo makes, as if everything had been computed already.

`from elmokit.compat import tensorflow as tf, tfhub as hub` lets such code run as it stands; it is no TensorFlow.
"""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Session(AbstractContextManager["Session"]):
    """A session that has nothing to do.

    Example:
        >>> with Session() as session:
        ...     session.run(reduce_mean([[1.0, 3.0]], 1)).tolist()
        [2.0]
    """

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def run(self, fetches: Any) -> Any:
        """Return what is given; it is computed already."""
        return fetches

    def close(self) -> None:
        """Do nothing."""


def global_variables_initializer() -> None:
    """Do nothing: the model's variables are loaded."""


tables_initializer = global_variables_initializer


def reduce_mean(input_tensor: ArrayLike, axis: int | None = None) -> NDArray[Any]:
    """Return the mean over an axis, or over all, in the numbers' own type."""
    return np.asarray(np.mean(np.asarray(input_tensor), axis=axis))
