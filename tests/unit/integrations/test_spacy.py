"""The pipe "elmo" against spaCy itself: found by its entry point, hooks, batches, files, processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elmokit import Elmo
from elmokit.checkpoints import save
from elmokit.errors import CheckpointError, ConfigError, InputError, MissingFile
from unit.tiny_models import tiny_checkpoint

try:
    import tomllib
except ImportError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

spacy = pytest.importorskip("spacy", reason="spaCy is not installed (extra spacy)")
from spacy.tokens import Doc, DocBin, Span  # noqa: E402

from elmokit.integrations.spacy import add_hooks  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TEXTS = ["The cat sat.", "", "A dog ran away, didn't it?", "two  spaces\n\nand lines", "  ", "The cat sat."]


@pytest.fixture(scope="module")
def nlp(model):
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": model})
    return nlp


def words(doc):
    return [token.text for token in doc if not token.is_space]


def test_spacy_finds_the_pipe_by_its_entry_point(tmp_path, model):
    """As after an install: the entry points of pyproject.toml in a .dist-info, and no import of ours."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["spacy_factories"]
    info = tmp_path / "elmokit_points-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elmokit-points\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[spacy_factories]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    code = f"import spacy; nlp = spacy.blank('en'); nlp.add_pipe('elmo', config={{'model': {model!r}}})"
    code += "; print(nlp('The cat sat.')[1]._.elmo.shape, nlp.analyze_pipes()['problems'])"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "(12,) {'elmo': []}"


def test_tokens_have_the_vectors_of_elmo_for_spacys_own_words(nlp, model):
    elmo = Elmo.load(model)
    for text in TEXTS:
        doc = nlp(text)
        expected = elmo.encode_words([words(doc)])[0].vectors
        assert doc._.elmo.shape == (len(doc), 12)
        assert doc._.elmo.dtype == np.float32
        kept = [token.i for token in doc if not token.is_space]
        np.testing.assert_allclose(doc._.elmo[kept], expected, rtol=1e-5, atol=1e-6)
        for token in doc:
            assert np.array_equal(token._.elmo, doc._.elmo[token.i])
            assert np.array_equal(token.vector, token._.elmo)
            assert token.has_vector == (not token.is_space) == bool(token._.elmo.any())
    assert [token.text for token in nlp("didn't")] == ["did", "n't"]


def test_docs_and_spans_are_means_of_their_words(nlp, model):
    for text in TEXTS:
        doc = nlp(text)
        np.testing.assert_allclose(doc.vector, Elmo.load(model).encode([words(doc)])[0], rtol=1e-5, atol=1e-6)
        assert doc.has_vector == bool(words(doc))
        assert doc.vector_norm == pytest.approx(np.linalg.norm(doc.vector), rel=1e-5)
    doc = nlp("two  spaces\n\nand lines")
    span = doc[0:3]
    assert [token.is_space for token in span] == [False, True, False]
    assert np.array_equal(span._.elmo, doc._.elmo[0:3])
    np.testing.assert_allclose(span.vector, (doc[0].vector + doc[2].vector) / 2, rtol=1e-6)
    assert span.vector_norm == pytest.approx(np.linalg.norm(span.vector), rel=1e-5)


def test_similarity_is_the_cosine_without_a_warning(nlp):
    one, two = nlp("The cat sat."), nlp("A dog ran away")
    for a, b in [(one, two), (one[0:2], two), (one[1], two[1]), (one, two[1:3]), (one[1], one)]:
        cosine = float(a.vector @ b.vector / np.linalg.norm(a.vector) / np.linalg.norm(b.vector))
        assert a.similarity(b) == pytest.approx(cosine, abs=1e-5)
    assert one.similarity(one) == pytest.approx(1)
    assert one.similarity(nlp("")) == 0.0


def test_a_stream_of_docs_gives_the_same_in_any_batch_size(nlp):
    alone = [nlp(text) for text in TEXTS]
    for batch_size in (1, 2, 100):
        for doc, expected in zip(nlp.pipe(iter(TEXTS), batch_size=batch_size), alone, strict=True):
            assert doc.text == expected.text
            np.testing.assert_allclose(doc._.elmo, expected._.elmo, rtol=1e-5, atol=1e-6)
            assert np.array_equal(doc.vector, doc.vector)


@pytest.mark.parametrize("layers", ["all", -1, [0, 2]], ids=str)
def test_layers_are_chosen_in_the_configuration(model, layers):
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": model, "layers": layers})
    doc = nlp("The cat sat.")
    expected = Elmo.load(model).encode_words([words(doc)], layers=layers)[0].vectors
    np.testing.assert_allclose(doc._.elmo, expected, rtol=1e-5, atol=1e-6)


def test_layers_apart_are_refused(model):
    with pytest.raises(ConfigError, match="use 'all'"):
        spacy.blank("en").add_pipe("elmo", config={"model": model, "layers": "each"})


def test_a_pipeline_comes_back_from_its_folder_and_holds_no_weights(nlp, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    assert (tmp_path / "saved" / "elmo" / "elmo.json").stat().st_size < 5_000
    again = spacy.load(tmp_path / "saved")
    assert np.array_equal(again("The cat sat.")._.elmo, nlp("The cat sat.")._.elmo)
    same = spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())
    assert np.array_equal(same("The cat sat.").vector, nlp("The cat sat.").vector)


def test_another_model_is_refused(nlp, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    save(tiny_checkpoint(seed=1, name="other"), tmp_path / "other")
    with pytest.raises(CheckpointError, match="trained with the model 'tiny'; the one given is 'other'"):
        spacy.load(tmp_path / "saved", config={"components.elmo.model": str(tmp_path / "other")})
    other = spacy.blank("en")
    other.add_pipe("elmo", config={"model": str(tmp_path / "other")})
    with pytest.raises(CheckpointError, match="other weights"):
        other.from_bytes(nlp.to_bytes())


def test_a_model_that_has_moved_is_found_at_its_new_place(model, tmp_path):
    save(tiny_checkpoint(), tmp_path / "old")
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": str(tmp_path / "old")})
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(MissingFile, match="old"):
        spacy.load(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved", config={"components.elmo.model": str(tmp_path / "new")})
    assert again("The cat")._.elmo.any()


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"model": 3, "probe": []}', b'{"model": {}, "probe": "x"}', b"\xff"])
def test_damaged_files_are_refused(nlp, tmp_path, damage):
    pipe = nlp.get_pipe("elmo")
    with pytest.raises(CheckpointError, match="save the pipeline again"):
        pipe.from_bytes(damage)
    with pytest.raises(MissingFile, match=r"elmo\.json"):
        pipe.from_disk(tmp_path)


def test_docs_keep_their_vectors_in_files_and_get_their_hooks_back(nlp):
    doc = nlp("The cat sat.")
    with pytest.warns(UserWarning, match="W109"):
        data = doc.to_bytes()
    kept = DocBin(store_user_data=True)
    kept.add(doc)
    for again in (Doc(nlp.vocab).from_bytes(data), next(kept.get_docs(nlp.vocab))):
        assert np.array_equal(again[1]._.elmo, doc[1]._.elmo)
        assert np.array_equal(add_hooks(again).vector, doc.vector)


@pytest.mark.filterwarnings("ignore::UserWarning")  # W109: spaCy says that hooks stay behind
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer Pythons about forks of processes with threads
def test_several_processes(nlp):
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS, n_process=2, batch_size=2), strict=True):
        np.testing.assert_allclose(add_hooks(doc)._.elmo, nlp(text)._.elmo, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_answered_is_said(nlp):
    bare = add_hooks(Doc(nlp.vocab, words=["a", "b"]))
    assert not bare.has_vector
    with pytest.raises(InputError, match="add_pipe"):
        _ = bare[0]._.elmo
    with pytest.raises(InputError, match="add_pipe"):
        _ = bare.vector
    doc = nlp("The New York cat")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(Span(doc, 1, 3))
    with pytest.raises(InputError, match="merged or split"):
        _ = doc.vector
    wider = spacy.blank("en")
    wider.add_pipe("elmo", config={"model": nlp.config["components"]["elmo"]["model"], "layers": "all"})
    with pytest.raises(ValueError, match="36 is different from 12"):
        nlp("The cat").similarity(wider("The cat"))
