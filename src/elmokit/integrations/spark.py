"""Spark: a column of texts → a column of vectors, in the Python workers that Spark starts itself.

`add_vectors` is `DataFrame.mapInPandas` with a function that opens the model once per worker process, by its name: the
model and elmokit must be installed on every machine. What is read and written, retried after a lost executor, and kept
exactly once, is Spark's doing; the function knows nothing but the rows it is given, so a second try gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from elmokit.elmo import Elmo
from elmokit.errors import ConfigError, InputError, MissingExtra
from elmokit.tasks.embed import VectorSpec, vectors_or_none

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MapFrames = Callable[[Iterator[Any]], Iterator[Any]]
"""What `mapInPandas` takes: pandas frames in, pandas frames out."""


def add_vectors(
    frame: DataFrame,
    spec: VectorSpec = VectorSpec(),  # noqa: B008 - frozen
    *,
    column: str = "text",
    output: str = "features",
) -> DataFrame:
    """A Spark data frame with a vector beside each text.

    Args:
        frame: with a column of strings.
        spec: which vectors, one per text. Give `n_threads=1`, as Spark runs a task per core.
        column: the column with the texts.
        output: the new column, of arrays of float32: null where the text is null, zeros where it has no words.

    Returns:
        the frame's columns and one more; nothing is computed before Spark is asked for rows.

    Raises:
        MissingExtra: PySpark is not installed.
        InputError: the column is not there, or the new one is already.
        ConfigError: a spec of vectors per word.

    Example:
        ``add_vectors(spark.read.parquet("tweets"), column="tweet").write.parquet("vectors")``
    """
    try:
        from pyspark.sql.types import ArrayType, FloatType, StructField, StructType
    except ImportError:
        raise MissingExtra("pyspark", "spark", "working on Spark") from None
    if column not in frame.columns:
        there = ", ".join(repr(name) for name in frame.columns)
        raise InputError(f"the data frame has no column {column!r}; the columns are {there}.")
    if output in frame.columns:
        raise InputError(f"the data frame has a column {output!r} already; name another with output=.")
    schema = StructType([*frame.schema.fields, StructField(output, ArrayType(FloatType(), containsNull=False))])
    return frame.mapInPandas(vectors_beside(spec, column=column, output=output), schema)


def vectors_beside(
    spec: VectorSpec = VectorSpec(),  # noqa: B008 - frozen
    *,
    column: str = "text",
    output: str = "features",
) -> MapFrames:
    """The function that `add_vectors` gives to `mapInPandas`, for pipelines that need it by itself.

    Args:
        spec: which vectors, one per text.
        column: the column with the texts.
        output: the new column.

    Returns:
        a function from pandas frames to pandas frames, which can be sent to other machines.

    Raises:
        ConfigError: a spec of vectors per word.

    Example:
        ``frame.mapInPandas(vectors_beside(column="tweet"), "id bigint, tweet string, features array<float>")``
    """
    if spec.words:
        raise ConfigError("Spark's rows stay one per text; words=True makes a vector per word.")

    spec = spec.anywhere()

    def add(frames: Iterator[Any]) -> Iterator[Any]:
        elmo = _opened(spec)
        for frame in frames:
            vectors: list[Any] = vectors_or_none(elmo, spec, frame[column])
            yield frame.assign(**{output: vectors})

    return add


@lru_cache(maxsize=1)
def _opened(spec: VectorSpec) -> Elmo:
    """The model of this process: Spark calls the function for each part of the data in the same process."""
    return spec.open_model()
