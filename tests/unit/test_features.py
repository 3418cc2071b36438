"""Features: a sequence that cannot be changed, and files that give back what was saved, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit import Features, WordVectors
from elmokit.errors import ConfigError, InputError, MissingFile, OutputError
from elmokit.features import save_word_vectors

WORDS = st.lists(st.text(max_size=8) | st.sampled_from(["a\0", "\ud800", "🙂", ""]), max_size=5)


def text_of(words, *, width=3, n_layers=None, offsets=True, seed=0):
    shape = (len(words), width) if n_layers is None else (n_layers, len(words), width)
    vectors = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    places = np.arange(2 * len(words), dtype=np.int64).reshape(-1, 2) if offsets else None
    return WordVectors(tuple(words), places, vectors)


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.words == b.words
        assert (a.offsets is None) == (b.offsets is None)
        if a.offsets is not None:
            assert (a.offsets == b.offsets).all()
            assert a.offsets.dtype == b.offsets.dtype
        assert a.vectors.dtype == b.vectors.dtype
        assert a.vectors.shape == b.vectors.shape
        assert (a.vectors == b.vectors).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.booleans()), max_size=4), st.sampled_from([None, 2]), st.sampled_from([".npz", ".h5"])
)
def test_saved_features_come_back_bit_for_bit(tmp_path_factory, texts, n_layers, suffix):
    features = Features(text_of(w, n_layers=n_layers, offsets=o, seed=i) for i, (w, o) in enumerate(texts))
    path = tmp_path_factory.mktemp("features") / f"words{suffix}"
    features.save(path)
    assert_same(features, Features.load(path))


@pytest.mark.parametrize("n_layers", [None, 3])
def test_a_stream_of_many_blocks_makes_the_same_file_as_one_block(tmp_path, monkeypatch, n_layers):
    texts = [text_of([f"w{i}" * k for k in range(i % 4)], n_layers=n_layers, seed=i, offsets=i % 2) for i in range(9)]
    monkeypatch.setattr("elmokit.features._BLOCK_WORDS", 4)
    assert save_word_vectors(tmp_path / "words.h5", iter(texts)) == 9
    assert_same(texts, Features.load(tmp_path / "words.h5"))


def test_features_are_a_sequence_that_cannot_be_changed():
    features = Features([text_of(["a"]), text_of(["b", "c"])])
    assert [text.words for text in features] == [("a",), ("b", "c")]
    assert features[-1].words == ("b", "c")
    assert isinstance(features[1:], Features)
    assert [text.words for text in features[::-1]] == [("b", "c"), ("a",)]
    with pytest.raises(TypeError):
        features[0] = text_of(["x"])
    with pytest.raises(AttributeError):
        features.extra = 1
    with pytest.raises(AttributeError):
        features[0].words = ()


def test_representations_say_how_much_there_is():
    assert repr(Features([])) == "Features(0 texts)"
    assert repr(Features([text_of(["a", "b"], n_layers=2), text_of([], n_layers=2)])) == (
        "Features(2 texts, 2 words, 2 layers, width 3)"
    )
    assert len(repr(text_of(["word"] * 1000))) < 90


@pytest.mark.parametrize(
    ("words", "offsets", "shape"), [(("a",), None, (2, 3)), (("a",), (2, 2), (1, 3)), (("a",), None, (3,))]
)
def test_words_offsets_and_vectors_must_fit(words, offsets, shape):
    places = None if offsets is None else np.zeros(offsets, np.int64)
    with pytest.raises(ConfigError, match=r"1 words, but"):
        WordVectors(words, places, np.zeros(shape))


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_texts_of_two_widths_are_refused_and_leave_no_file(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("elmokit.features._BLOCK_WORDS", 1)
    with pytest.raises(ConfigError, match="differ in layers or width"):
        Features([text_of(["a"]), text_of(["b"], width=4)]).save(tmp_path / f"words{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_failing_stream_leaves_the_old_file(tmp_path):
    path = tmp_path / "words.h5"
    Features([text_of(["old"])]).save(path)

    def failing():
        yield text_of(["new"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_word_vectors(path, failing())
    assert Features.load(path)[0].words == ("old",)
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_paths_and_files_are_told(tmp_path):
    features = Features([text_of(["a"])])
    with pytest.raises(ConfigError, match=r"\.npz or \.h5"):
        features.save(tmp_path / "words.pkl")
    with pytest.raises(OutputError):
        features.save(tmp_path / "missing" / "words.npz")
    with pytest.raises(MissingFile):
        Features.load(tmp_path / "words.npz")


def test_files_that_claim_too_much_are_refused(tmp_path):
    import zipfile

    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("vectors", (1 << 28,), "f4", chunks=(1 << 20,))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.npy", bytes(80 << 20))
    for name in ("a.h5", "a.npz"):
        with pytest.raises(InputError, match=rf"{name}: .*(not believed|bomb)"):
            Features.load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_files_of_another_kind_are_refused(tmp_path, suffix):
    path = tmp_path / f"words{suffix}"
    for content in (b"", b"not a file of vectors", b"PK\x03\x04 half"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a readable file of word vectors"):
            Features.load(path)


def test_a_pickle_inside_an_npz_is_never_read(tmp_path):
    path = tmp_path / "words.npz"
    np.savez(path, word_bytes=np.array([object()], dtype=object))
    with pytest.raises(InputError):
        Features.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_damaged_file_is_refused_wherever_it_is_cut(tmp_path, suffix):
    path = tmp_path / f"words{suffix}"
    Features([text_of(["a", "b"]), text_of(["c"])]).save(path)
    whole = path.read_bytes()
    for part in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError):
            Features.load(path)


def test_padded_texts_have_a_mask():
    texts = [WordVectors(("a", "b"), None, np.ones((3, 2, 4), np.float32)), WordVectors((), None, np.ones((3, 0, 4)))]
    vectors, mask = Features(texts).to_padded()
    assert vectors.shape == (2, 3, 2, 4)
    assert mask.tolist() == [[True, True], [False, False]]
    assert (vectors[0] == 1).all()
    assert not vectors[1].any()
    assert [part.shape for part in Features([]).to_padded()] == [(0, 0, 0), (0, 0)]
    with pytest.raises(ConfigError, match="differ"):
        Features([texts[0], WordVectors(("a",), None, np.ones((1, 4)))]).to_padded()


def test_a_data_frame_has_a_row_per_word():
    with_places = WordVectors(("a", "b"), np.array([[0, 1], [2, 3]]), np.arange(8.0).reshape(2, 4))
    frame = Features([with_places, WordVectors(("c",), None, np.ones((1, 4)))]).to_pandas()
    assert frame["word"].tolist() == ["a", "b", "c"]
    assert frame["text"].tolist() == [0, 0, 1]
    assert frame["start"].isna().tolist() == [False, False, True]
    assert frame["end"].tolist()[:2] == [1, 3]
    assert frame["vector"][1].tolist() == [4, 5, 6, 7]


def test_words_are_looked_up_and_iterated():
    text = WordVectors(("a", "b", "a"), None, np.arange(12.0).reshape(3, 4))
    assert text["b"].tolist() == [4, 5, 6, 7]
    assert text["a"].tolist() == [0, 1, 2, 3]
    assert "b" in text
    assert "c" not in text
    with pytest.raises(KeyError, match="c"):
        text["c"]
    assert [(word, vector[0]) for word, vector in text] == [("a", 0), ("b", 4), ("a", 8)]
    assert len(list(text)) == len(text)
