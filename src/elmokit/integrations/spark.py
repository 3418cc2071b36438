"""Spark: a column of texts → a column of vectors, in Spark's Python workers.

`add_vectors` is `DataFrame.mapInPandas` with a function that loads the model once per worker process; elmokit and the
model must be installed on every machine. A retried task gives the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from elmokit.data.tables import require_columns
from elmokit.elmo import Elmo
from elmokit.errors import ConfigError, InputError, needing
from elmokit.tasks.embed import VectorSpec, vectors_or_none

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def add_vectors(
    frame: DataFrame, spec: VectorSpec = VectorSpec(), *, column: str = "text", output: str = "features"
) -> DataFrame:
    """Add a column `output` of vectors of the texts in `column` to a Spark data frame; evaluated lazily.

    Give the `spec`, one vector per text, `n_threads=1`, as Spark runs a task per core. Vectors are arrays of float32:
    null where the text is null, zeros where it has no words. Raises InputError if the column does not exist or the new
    one does, ConfigError for a spec of vectors per word.

    Example:
        ``add_vectors(spark.read.parquet("tweets"), column="tweet").write.parquet("vectors")``
    """
    with needing("pyspark", "spark", "working on Spark"):
        from pyspark.sql.types import ArrayType, FloatType, StructField, StructType
    require_columns([column], frame.columns, "the data frame: ")
    if output in frame.columns:
        raise InputError(f"the data frame already has a column {output!r}; choose another name with output=.")
    schema = StructType([*frame.schema.fields, StructField(output, ArrayType(FloatType(), containsNull=False))])
    return frame.mapInPandas(vectors_beside(spec, column=column, output=output), schema)


def vectors_beside(
    spec: VectorSpec = VectorSpec(), *, column: str = "text", output: str = "features"
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Make the function from pandas frames to pandas frames that `add_vectors` passes to `mapInPandas`."""
    if spec.words:
        raise ConfigError("add_vectors makes one vector per text; words=True makes one per word.")
    spec = spec.anywhere()

    def add(frames: Iterator[Any]) -> Iterator[Any]:
        elmo = _opened(spec)
        for frame in frames:
            vectors: list[Any] = vectors_or_none(elmo, spec, frame[column])
            yield frame.assign(**{output: vectors})

    return add


@lru_cache(maxsize=1)
def _opened(spec: VectorSpec) -> Elmo:
    return spec.open_model()
