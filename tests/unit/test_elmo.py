"""Elmo: what goes in, what comes out, and that everything else is refused by name."""

import numpy as np
import pytest

from elmokit import Elmo, ElmoConfig, Features, LayerMix, State, checkpoints
from elmokit.elmo import EMBEDDED
from elmokit.errors import CheckpointError, ConfigError, MissingExtra, MissingFile, TextError
from golden.test_reference import golden_batches
from unit.tiny_models import CONFIG, VOCABULARY, tiny_checkpoint, tiny_elmo

TEXTS = ["The cat sat.", "", "A dog ran away, fast!", ["lists", "of", "words"], "   ", "The cat sat."]


@pytest.fixture(scope="module")
def elmo():
    return tiny_elmo()


def test_a_model_says_what_it_is(elmo):
    assert (elmo.dim, elmo.n_layers, elmo.config, elmo.name) == (12, 3, CONFIG, "tiny")
    assert repr(elmo) == "Elmo('tiny', dim=12, n_layers=3)"


@pytest.mark.parametrize(
    ("pooling", "layers", "width"),
    [("mean", "mix", 12), ("mean+max", "all", 72), ("first+last", 0, 24), ("max", -1, 12), ("last", (1, 2), 24)],
)
def test_one_row_per_text_in_order_and_zeros_for_no_words(elmo, pooling, layers, width):
    vectors = elmo.encode(TEXTS, pooling=pooling, layers=layers)
    assert vectors.shape == (6, width)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert not vectors[[1, 4]].any()
    assert (vectors[[0, 2, 3]] != 0).any(axis=1).all()
    assert (vectors[0] == vectors[5]).all()


def test_no_texts_give_a_matrix_without_rows(elmo):
    assert elmo.encode([]).shape == (0, 12)
    assert elmo.encode([], pooling="mean+max", layers="all").shape == (0, 72)
    assert len(elmo.encode_words([])) == 0
    assert list(elmo.encode_stream([])) == []


def test_words_come_with_their_places_in_the_text(elmo):
    text = "  Don't panic, कि 🙂!"
    found = elmo.encode_words([text])[0]
    assert found.words == ("Don't", "panic", ",", "कि", "🙂", "!")
    assert [text[start:end] for start, end in found.offsets] == list(found.words)
    assert elmo.encode_words([["two", "words"]])[0].offsets is None


def test_strings_are_cut_and_lists_of_words_are_taken_as_they_are(elmo):
    one, two, three = elmo.encode(["a cat, sat", ["a", "cat", ",", "sat"], ["a", "cat,", "sat"]])
    assert (one == two).all()
    assert not np.allclose(one, three)
    assert elmo.encode_words([["New York", ""]])[0].words == ("New York", "")


def test_layers_are_views_of_the_same_three(elmo):
    each = elmo.encode_words(["The cat sat."], layers="each")[0].vectors
    assert each.shape == (3, 4, 12)

    def words(layers):
        return elmo.encode_words(["The cat sat."], layers=layers)[0].vectors

    assert (words("all") == np.concatenate(list(each), axis=1)).all()
    for number in (0, 1, 2, -1, -3):
        assert (words(number) == each[number]).all()
    np.testing.assert_allclose(words("mix"), each.mean(axis=0), atol=1e-6)


def test_the_mix_is_the_checkpoints_own():
    elmo = tiny_elmo(layer_mix=LayerMix(weights=(0.0, 1.0, 2.0), gamma=3.0))
    each = elmo.encode_words(["The cat sat."], layers="each")[0].vectors
    shares = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    expected = 3.0 * np.tensordot(shares, each, 1)
    np.testing.assert_allclose(elmo.encode_words(["The cat sat."])[0].vectors, expected, atol=1e-5)


def test_poolings_are_computed_from_the_word_vectors(elmo):
    words = elmo.encode_words(["The cat sat."])[0].vectors
    expected = {
        "mean": words.mean(0),
        "max": words.max(0),
        "mean+max": np.concatenate([words.mean(0), words.max(0)]),
        "first": words[0],
        "last": words[-1],
        "first+last": np.concatenate([words[0], words[-1]]),
    }
    for pooling, vector in expected.items():
        np.testing.assert_allclose(elmo.encode_one("The cat sat.", pooling=pooling), vector, atol=1e-6)


def test_sif_makes_frequent_words_count_less():
    words = ("<S>", "</S>", "<UNK>", "the", "cat")
    elmo = tiny_elmo(words=words, word_counts=(0, 0, 0, 990, 10))
    the, cat, unseen = elmo.encode_words([["the", "cat", "zebra"]])[0].vectors
    weights = [1e-3 / (1e-3 + p) for p in (0.99, 0.01, 0.0)]
    expected = (weights[0] * the + weights[1] * cat + weights[2] * unseen) / 3
    np.testing.assert_allclose(elmo.encode_one(["the", "cat", "zebra"], pooling="sif"), expected, atol=1e-6)
    given = elmo.encode_one(["the", "cat", "zebra"], pooling="sif", word_frequencies={"the": 99, "cat": 1})
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_sif_without_counts_says_what_to_give(elmo):
    with pytest.raises(ConfigError, match="word_frequencies="):
        elmo.encode(["a"], pooling="sif")
    for nonsense in ({}, {"a": 0}, {"a": -1, "b": 2}):
        with pytest.raises(ConfigError, match="word_frequencies"):
            elmo.encode(["a"], pooling="sif", word_frequencies=nonsense)


def test_normalized_vectors_have_length_one_and_zeros_stay_zeros(elmo):
    lengths = np.linalg.norm(elmo.encode(TEXTS, normalize=True), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 1, 0, 1], atol=1e-6)


def test_streams_give_the_same_numbers_in_order_and_read_no_further_than_needed(elmo, monkeypatch):
    monkeypatch.setattr("elmokit.elmo.BLOCK_TEXTS", 4)
    taken = []

    def texts():
        for i in range(11):
            taken.append(i)
            yield "word " * (i % 3) + str(i)

    stream = elmo.encode_stream(texts(), pooling="max")
    first = next(stream)
    assert len(taken) == 4
    streamed = np.stack([first, *stream])
    assert (streamed == elmo.encode(list(texts()), pooling="max")).all()
    words = list(elmo.encode_words_stream(texts()))
    assert [text.words for text in words] == [text.words for text in elmo.encode_words(texts())]


def test_one_text_is_a_row_of_many(elmo):
    assert (elmo.encode_one(TEXTS[2]) == elmo.encode(TEXTS)[2]).all()
    assert not elmo.encode_one("").any()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a single text", r"one str; expected a list of texts: \[text\], or use encode_one"),
        (b"bytes", "one bytes"),
        ({"a": 1}, "is a dict"),
        ({"a"}, "is a set"),
        (3, "of the type int"),
        (["ok", None], r"texts\[1\] is None.*Leave missing texts out"),
        (["ok", float("nan")], r"texts\[1\] is nan.*Leave missing texts out"),
        (["ok", "ok", b"raw"], r"texts\[2\] is b'raw' \(bytes\).*Decode it first"),
        (["ok", 3], r"texts\[1\] is 3 \(int\)"),
        ([["ok"], ["a", "b", 3]], r"texts\[1\]\[2\] is 3 \(int\)"),
        ([["ok", None]], r"texts\[0\]\[1\] is None"),
        ([np.array([1, 2])], r"texts\[0\] is array"),
        ([["nested", ["list"]]], r"texts\[0\]\[1\] is \['list'\]"),
    ],
)
def test_what_is_no_text_is_named_with_its_place(elmo, texts, message):
    with pytest.raises(TextError, match=message):
        elmo.encode(texts)
    with pytest.raises(TextError, match=message):
        elmo.encode_words(texts)
    with pytest.raises(TextError, match=message):
        list(elmo.encode_stream(texts))


def test_a_table_is_refused_instead_of_its_column_names(elmo):
    class Table:
        columns = ("id", "text")

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(TextError, match="one column of a table"):
        elmo.encode(Table())


@pytest.mark.parametrize("layers", ["middle", 3, -4, True, (0, 3), (1, 1), None, [[1, 2, 3]], ["a", "b", "c"]])
def test_layers_that_the_model_lacks_are_refused(elmo, layers):
    with pytest.raises(ConfigError, match="layers is"):
        elmo.encode(["a"], layers=layers)
    with pytest.raises(ConfigError, match="layers is"):
        elmo.encode_words(["a"], layers=layers)


def test_other_arguments_that_do_not_exist_are_refused(elmo):
    with pytest.raises(ConfigError, match=r"'median'.*'first\+last'"):
        elmo.encode(["a"], pooling="median")
    with pytest.raises(ConfigError, match="encode_words"):
        elmo.encode(["a"], layers="each")
    for state in ("cold", 3):
        with pytest.raises(ConfigError, match="'warm' or a State"):
            elmo.encode(["a"], state=state)
    with pytest.raises(ConfigError, match="rows"):
        elmo.encode(["a"], state=State.zeros(CONFIG, 2))
    with pytest.raises(ConfigError, match="precision"):
        tiny_elmo(precision="float8")
    with pytest.raises(TypeError):
        elmo.encode(["a"], poling="max")


ODD = {
    "long text": " ".join(f"w{i % 700}" for i in range(20_000)),
    "long word": "x" * 500,
    "emoji": "🙂👩‍👩‍👧‍👦🇩🇪",
    "NUL": "a\0b \0",
    "surrogate": "half \ud83d of a pair",
    "right to left": "שלום עולם مرحبا",
    "Devanagari": "नमस्ते दुनिया",
    "control characters": "\x01\x02 \x7f",
    "white space only": " \t\n ",
    "nothing": "",
}


def test_odd_texts_have_defined_finite_vectors(elmo):
    vectors = dict(zip(ODD, elmo.encode(list(ODD.values())), strict=True))
    for name, vector in vectors.items():
        assert np.isfinite(vector).all(), name
        assert vector.any() == (name not in ("white space only", "nothing")), name
    assert len(elmo.encode_words([ODD["long text"]])[0]) == 20_000


def test_warm_starts_all_texts_from_one_fixed_state(elmo):
    warm = elmo.encode(TEXTS, state="warm")
    assert not np.allclose(warm[0], elmo.encode(TEXTS)[0], atol=1e-4)
    assert not warm[[1, 4]].any()
    assert (warm == elmo.encode(TEXTS, state="warm")).all()
    assert (warm[2] == elmo.encode_one(TEXTS[2], state=elmo._warm_state)).all()
    again = tiny_elmo()
    again.encode(["something else first"])
    assert (again.encode(TEXTS, state="warm") == warm).all()


def test_the_carried_state_is_a_value_that_comes_back(elmo):
    batches = [["The cat sat.", "A dog"], ["It ran.", "Away!"]]
    first, state = elmo.step(batches[0])
    kept = state.hidden.copy(), state.cell.copy()
    second, _ = elmo.step(batches[1], state)
    assert isinstance(second, Features)
    assert second[0].vectors.shape == (3, 3, 12)
    fresh, _ = elmo.step(batches[1])
    assert not np.allclose(second[0].vectors[1:], fresh[0].vectors[1:], atol=1e-4)
    assert (state.hidden == kept[0]).all()
    assert (state.cell == kept[1]).all()
    again, _ = elmo.step(batches[0])
    assert (again[0].vectors == first[0].vectors).all()


def test_step_gives_the_vectors_of_the_original_implementation(shared):
    folder = shared / "golden" / "bilm_tf"
    elmo = Elmo.load(options=folder / "options.json", weights=folder / "lm_weights.hdf5")
    state = None
    for batch, expected in golden_batches(folder):
        features, state = elmo.step(batch, state)
        for found, top in zip(features, expected, strict=True):
            np.testing.assert_allclose(found.vectors[-1], top, atol=2e-6, rtol=0)


def test_models_load_from_a_folder_and_from_a_pair_of_files(tmp_path, elmo):
    checkpoints.save(tiny_checkpoint(), tmp_path / "native")
    checkpoints.save(tiny_checkpoint(ElmoConfig.from_dict({**CONFIG.to_dict(), "tokenizer": "whitespace"})),
                     tmp_path / "pair", format="allennlp")  # fmt: skip
    loaded = Elmo.load(tmp_path / "native")
    assert loaded.name == "tiny"
    assert (loaded.encode(TEXTS) == elmo.encode(TEXTS)).all()
    pair = Elmo.load(options=tmp_path / "pair" / "options.json", weights=tmp_path / "pair" / "weights.hdf5")
    words = [text if isinstance(text, list) else text.split() for text in TEXTS]
    assert pair.name
    np.testing.assert_allclose(pair.encode(words), elmo.encode(words), atol=1e-5)  # its forget bias is rounded


def test_a_source_is_named_once_and_whole(tmp_path):
    with pytest.raises(MissingFile, match="nowhere"):
        Elmo.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="not both"):
        Elmo.load(tmp_path, options=tmp_path / "options.json")
    with pytest.raises(CheckpointError, match="without options"):
        Elmo.load(weights=tmp_path / "weights.hdf5")


def test_a_missing_embedded_model_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("elmokit.checkpoints.EMBEDDED", tmp_path / "nowhere")
    with pytest.raises(MissingFile, match=r"Install a released wheel"):
        Elmo.load()


def test_a_model_that_reads_whole_words_works_too():
    config = ElmoConfig(projection_width=6, char_cnn=None, n_words=len(VOCABULARY) + 1, bilstm=CONFIG.bilstm)
    elmo = tiny_elmo(config, words=VOCABULARY)
    vectors = elmo.encode(["the cat", "the zebra", "the yak"])
    assert (vectors[1] == vectors[2]).all()
    assert not np.allclose(vectors[0], vectors[1])


def test_float64_is_float64():
    vectors = tiny_elmo(precision="float64").encode(TEXTS)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(vectors, tiny_elmo().encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.05)])
def test_lower_precisions_stay_near_and_keep_the_order(elmo, precision, error):
    pytest.importorskip("torch")
    exact, rounded = elmo.encode(TEXTS), tiny_elmo(precision=precision).encode(TEXTS)
    assert rounded.dtype == np.float32
    assert not rounded[[1, 4]].any()
    assert np.abs(exact - rounded).max() < error * np.abs(exact).max()
    assert (exact != rounded).any()


def test_progress_is_drawn_on_standard_error_only_if_asked_for(elmo, capsys):
    elmo.encode(TEXTS)
    assert capsys.readouterr() == ("", "")
    elmo.encode(TEXTS, show_progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "encoding" in err
    assert "6/6" in err


@pytest.mark.parametrize("encode", ["encode", "encode_words", "encode_stream", "encode_words_stream"])
def test_a_function_is_told_of_progress_while_a_block_of_texts_is_encoded(elmo, encode):
    texts, told = [f"text number {i}" for i in range(600)], []  # three batches, one block of a stream
    assert len(list(getattr(elmo, encode)(texts, show_progress=told.append))) == 600
    assert told == [1] * 600


def test_the_embedded_model_loads_and_tells_senses_apart():
    elmo = Elmo.load()
    texts = [
        "she sat on the bank of the river and watched the water",
        "they walked along the bank of the lake to the boat",
        "he went to the bank to borrow some money",
    ]
    river, lake, money = (found.vectors[found.words.index("bank")] for found in elmo.encode_words(texts, layers=1))

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(river, lake) > cosine(river, money)
    assert np.isfinite(elmo.encode([text for name, text in ODD.items() if name != "long text"])).all()


def test_the_embedded_model_weighs_words_by_its_own_counts():
    elmo = Elmo.load()
    assert not np.allclose(elmo.encode_one("the zebra", pooling="sif"), elmo.encode_one("the zebra"), atol=1e-3)


def test_the_embedded_model_is_small_and_has_its_card():
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < 25e6
    card = (EMBEDDED / "README.md").read_text(encoding="utf-8").lower()
    for word in ("licen", "perplexity", "dev/teach"):
        assert word in card, f"the model card does not tell its {word}"


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_arguments_as_sentence_transformers_spells_them(elmo, batch_size, capsys):
    expected = elmo.encode(TEXTS, normalize=True)
    vectors = elmo.encode(TEXTS, normalize_embeddings=True, show_progress_bar=True, batch_size=batch_size)
    assert (vectors == expected).all()
    assert "encoding" in capsys.readouterr().err
    assert (elmo.encode_one(TEXTS[0], normalize_embeddings=True) == expected[0]).all()
    assert (np.stack(list(elmo.encode_stream(TEXTS, normalize_embeddings=True))) == expected).all()
    torch = pytest.importorskip("torch")
    tensor = elmo.encode(TEXTS, convert_to_tensor=True, normalize=True)
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.numpy() == expected).all()


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5, None])
def test_a_batch_size_that_is_none_is_refused(elmo, batch_size):
    with pytest.raises(ConfigError, match="batch_size is"):
        elmo.encode(TEXTS, batch_size=batch_size)


@pytest.mark.parametrize("options", [{"n_threads": 0}, {"cache_words": -1}, {"n_threads": -2}])
def test_sizes_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Elmo(tiny_checkpoint(), **options)


def test_a_name_is_not_a_checkpoint():
    with pytest.raises(ConfigError, match=r"Elmo\.load\('default'\)"):
        Elmo("default")


def test_a_model_saves_itself_as_it_is(tmp_path, elmo):
    mixed = tiny_elmo()
    mixed.layer_mix = LayerMix(gamma=2.0)
    mixed.save(tmp_path / "model")
    again = Elmo.load(tmp_path / "model")
    assert (again.fingerprint, again.layer_mix) == (mixed.fingerprint, mixed.layer_mix)
    assert (again.encode(TEXTS) == mixed.encode(TEXTS)).all()
    assert again.fingerprint != elmo.fingerprint
    again.save(tmp_path / "copy")
    assert Elmo.load(tmp_path / "copy").fingerprint == mixed.fingerprint


def test_similarity_is_the_cosine_of_texts_or_vectors(elmo):
    vectors = elmo.encode(TEXTS, normalize=True)
    expected = vectors @ vectors[[0, 2]].T
    similarity = elmo.similarity(TEXTS, [TEXTS[0], TEXTS[2]])
    assert similarity.shape == (6, 2)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    np.testing.assert_allclose(elmo.similarity(elmo.encode(TEXTS), vectors[[0, 2]]), expected, atol=1e-6)
    assert elmo.similarity("The cat sat.", "The cat sat.") == pytest.approx(1)
    with pytest.raises(ConfigError, match="width"):
        elmo.similarity(vectors, vectors[:, :3])


def test_words_and_device(elmo):
    assert elmo.tokenize(["A cat, sat", ["two", "words"]]) == [["A", "cat", ",", "sat"], ["two", "words"]]
    assert elmo.device == "cpu"


@pytest.mark.parametrize(("device", "precision"), [("cuda", "float32"), ("mps", "float32"), ("cpu", "bfloat16")])
def test_what_needs_pytorch_says_so_where_it_is_missing(monkeypatch, device, precision):
    monkeypatch.setattr("elmokit.runtime.backends.find_spec", lambda _: None)
    monkeypatch.setattr("elmokit.runtime.backends.native_precisions", lambda: ())
    with pytest.raises(MissingExtra, match=r"elmokit\[torch\]"):
        Elmo(tiny_checkpoint(), device=device, precision=precision)
