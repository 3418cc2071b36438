"""MTEB: an encoder for `mteb.evaluate(ElmoEncoder(), tasks)` (mteb 2's `EncoderProtocol`).

ELMo knows no instructions, so tasks' prompts are not put before the texts.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import needing
from elmokit.integrations.sentence_transformers import ElmoSentenceEncoder


class ElmoEncoder(ElmoSentenceEncoder):
    """ELMo vectors behind the methods that MTEB calls; the arguments are those of `Elmo.encode`.

    Example:
        ``mteb.evaluate(ElmoEncoder(pooling="mean+max"), mteb.get_tasks(["STSBenchmark"]))``
    """

    def encode(  # type: ignore[override]
        self,
        inputs: Iterable[Mapping[str, Sequence[str]]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        precision: Literal["float32"] | None = None,
    ) -> NDArray[np.float32]:
        """Encode batches that each have a column "text". Shape (N, d). The task changes no vector."""
        texts = [text for batch in inputs for text in batch["text"]]
        return np.asarray(super().encode(texts, show_progress_bar=show_progress_bar, precision=precision))

    @property
    def mteb_model_meta(self) -> Any:
        """The description that MTEB writes beside its results, a `mteb.models.ModelMeta`."""
        with needing("mteb", "mteb", "ElmoEncoder.mteb_model_meta"):
            from mteb.models.model_meta import ModelMeta, ScoringFunction
        elmo, made = self.elmo, (self.elmo.fingerprint, self.pooling, self.layers)
        about = {
            "name": f"elmokit/{Path(elmo.name).name}-{self.pooling.replace('+', '-')}",
            "revision": hashlib.sha256(repr(made).encode()).hexdigest()[:16],  # so that MTEB's cache mixes nothing up
            "n_parameters": sum(int(np.prod(shape)) for shape in elmo.config.tensor_shapes().values()),
            "embed_dim": self.get_sentence_embedding_dimension(),
            "similarity_fn_name": ScoringFunction.COSINE,
            "use_instructions": False,
            "framework": ["NumPy"],
        }
        return ModelMeta.create_empty(about)
