"""`ElmoEncoder` against MTEB itself: a small task of our own with known answers, and MTEB's own tiny ones.

MTEB is too large for the environment of the other tests: run this in one of its own (docs/integrations.md).
"""

import warnings

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.errors import ConfigError
from elmokit.integrations.mteb import ElmoEncoder
from unit.tiny_models import tiny_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mteb = pytest.importorskip("mteb", reason="mteb is not installed: it has an environment of its own")
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.mocks.mock_tasks import MockClassificationTask, MockPairClassificationTask, MockRetrievalTask
    from mteb.models import EncoderProtocol
    from scipy.stats import spearmanr

FIRST = ["the cat sat", "a dog ran away", "it broke again", "so happy with it", "rain"]
SECOND = ["the cat sat", "a dog runs away", "it rains", "awful", "what a day it was"]
SCORES = [5.0, 4.0, 2.0, 1.0, 0.0]


class TinySTS(AbsTaskSTS):
    """Five pairs of our own."""

    metadata = TaskMetadata(
        name="ElmokitTinySTS",
        description="five pairs",
        reference=None,
        dataset={"path": "elmokit/none", "revision": "1"},
        type="STS",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation="",
    )
    min_score = 0
    max_score = 5

    def load_data(self, num_proc=None, **kwargs):
        rows = {"sentence1": FIRST, "sentence2": SECOND, "score": SCORES}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True


@pytest.fixture
def folder(tmp_path):
    save(tiny_checkpoint(), tmp_path / "model")
    return tmp_path / "model"


def evaluated(encoder, task):
    (result,) = mteb.evaluate(encoder, task, cache=None, show_progress_bar=False, co2_tracker=False)
    return result


def test_our_own_task_has_the_score_that_the_vectors_have(folder):
    elmo = Elmo.load(folder)
    one, two = (elmo.encode(texts, pooling="mean+max", normalize=True) for texts in (FIRST, SECOND))
    expected = spearmanr((one * two).sum(axis=1), SCORES).statistic
    result = evaluated(ElmoEncoder(folder, pooling="mean+max"), TinySTS())
    assert result.get_score() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("make", [MockRetrievalTask, MockClassificationTask, MockPairClassificationTask])
def test_mtebs_own_tiny_tasks_run(folder, make):
    assert 0 <= evaluated(ElmoEncoder(folder), make()).get_score() <= 1


def test_it_is_an_encoder_and_says_what_it_is(folder):
    encoder = ElmoEncoder(folder, pooling="mean+max")
    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    assert (meta.name, meta.embed_dim, meta.similarity_fn_name.value) == ("elmokit/tiny-mean-max", 24, "cosine")
    assert meta.n_parameters == sum(array.size for array in tiny_checkpoint().tensors.values())
    assert meta.revision == ElmoEncoder(folder, pooling="mean+max").mteb_model_meta.revision
    save(tiny_checkpoint(seed=1), folder)
    assert meta.revision != ElmoEncoder(folder, pooling="mean+max").mteb_model_meta.revision


def test_similarities_and_refusals(folder):
    encoder = ElmoEncoder(folder)
    vectors = encoder.encode([{"text": FIRST}], task_metadata=TinySTS.metadata, hf_split="test", hf_subset="default")
    assert np.array_equal(vectors, Elmo.load(folder).encode(FIRST))
    np.testing.assert_allclose(np.diag(encoder.similarity(vectors, vectors)), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder.similarity_pairwise(vectors, vectors), 1, rtol=1e-5)
    with pytest.raises(ConfigError, match="precision"):
        encoder.encode([], task_metadata=None, hf_split="test", hf_subset="default", precision="int8")
