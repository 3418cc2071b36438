"""Tags and spans: what is valid survives, what is not is mended, and seqeval agrees on what spans are and score."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.errors import ConfigError, InputError
from elmokit.tasks.tagging.bioes import (
    SCHEMES,
    Span,
    canonical,
    check_tags,
    mistakes,
    rewrite,
    spans,
    tag_metrics,
    write_tags,
)

any_tag = st.sampled_from(["O", *(f"{letter}-{label}" for letter in "BIES" for label in ("PER", "LOC", "a-b"))])
any_tags = st.lists(any_tag, max_size=12)
schemes = st.sampled_from(SCHEMES)


@st.composite
def real_spans(draw):
    """Spans that do not overlap, and the number of words."""
    found, place = [], 0
    for length in draw(st.lists(st.integers(0, 3), max_size=6)):
        if length:
            found.append(Span(draw(st.sampled_from(["PER", "LOC"])), place, place + length))
        place += max(length, 1)
    return found, place


@given(real_spans(), schemes)
def test_spans_survive_being_written(found_and_length, scheme):
    found, n_words = found_and_length
    tags = write_tags(found, n_words, scheme)
    assert spans(tags) == found
    assert mistakes(tags, scheme) == []
    assert rewrite(tags, scheme) == tags


@given(any_tags, schemes)
def test_mending_makes_valid_tags_of_the_same_spans(tags, scheme):
    mended = rewrite(tags, scheme)
    assert mistakes(mended, scheme) == []
    assert spans(mended) == spans(tags)
    assert (mended == tags) == (mistakes(tags, scheme) == []), "what is valid, and only that, stays as it was"


@given(st.lists(any_tags, max_size=5), schemes)
def test_checked_tags_follow_their_scheme(sequences, scheme):
    checked = check_tags(sequences, scheme)
    assert checked.scheme == scheme
    assert all(mistakes(tags, scheme) == [] for tags in checked.tags)
    assert bool(checked.remark) == any(mistakes(tags, scheme) for tags in sequences)


@given(any_tags.filter(any))
def test_seqeval_finds_the_same_spans(tags):
    get_entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    assert spans(tags) == [Span(label, start, end + 1) for label, start, end in get_entities(tags)]


@given(st.lists(st.lists(st.tuples(any_tag, any_tag), min_size=1, max_size=8), min_size=1, max_size=5))
def test_seqeval_gives_the_same_scores(sentences):
    metrics = pytest.importorskip("seqeval.metrics")
    truth = [[true for true, _ in sentence] for sentence in sentences]
    guess = [[said for _, said in sentence] for sentence in sentences]
    scores = tag_metrics(truth, guess)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth, guess))
    if scores.spans is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of divisions by zero, which both take as 0
        expected = [metrics.precision_score, metrics.recall_score, metrics.f1_score]
        whole = [metric(truth, guess, zero_division=0) for metric in expected]
        report = metrics.classification_report(truth, guess, output_dict=True, zero_division=0) if scores.labels else {}
    assert [scores.spans.precision, scores.spans.recall, scores.spans.f1] == pytest.approx(whole)
    assert {one.label for one in scores.labels} == {name for name in report if "avg" not in name}
    for one in scores.labels:
        of_one = report[one.label]
        assert [one.precision, one.recall, one.f1, one.support] == pytest.approx(list(of_one.values()))


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ([["I-PER", "I-PER", "O"], ["I-PER"]], "IOB1"),
        ([["I-PER", "B-PER", "O"]], "IOB1"),
        ([["B-PER", "I-PER", "O"], ["I-PER"]], "IOB2"),
        ([["B-PER", "E-PER"], ["S-LOC", "O"]], "BIOES"),
        ([["B", "I", "O"]], "IOB2"),
        ([["I", "I", "O"]], "IOB1"),
        ([["O", "O"]], None),
        ([["I", "S", "NN"]], None),
        ([["NOUN", "PRON-x"]], None),
        ([], None),
    ],
)
def test_schemes_are_found(tags, scheme):
    checked = check_tags(tags)
    assert checked.scheme == scheme
    assert scheme is not None or checked.tags == tags


SPELLINGS = {
    "BILOU": str.maketrans("ES", "LU"),
    "BMES": str.maketrans("I", "M"),
    "BMEWO": str.maketrans("IS", "MW"),
    "lower case": str.maketrans("BIESO", "bieso"),
    "0 for O": str.maketrans("O", "0"),
}


@given(st.lists(any_tags, min_size=1, max_size=5), st.sampled_from([*SPELLINGS]))
def test_other_spellings_are_converted_and_reported(sequences, name):
    table = SPELLINGS[name]
    spelled = [[tag[0].translate(table) + tag[1:] for tag in tags] for tags in sequences]
    assert [[canonical(tag) for tag in tags] for tags in spelled] == sequences
    assert [spans(tags) for tags in spelled] == [spans(tags) for tags in sequences]
    plain, checked = check_tags(sequences), check_tags(spelled)
    if any("-" in tag for tags in sequences for tag in tags):
        assert (checked.scheme, checked.tags) == (plain.scheme, plain.tags)
        assert ("converted" in checked.remark) == (spelled != sequences)
    if any(sequences):
        ours, theirs = tag_metrics(sequences, sequences), tag_metrics(spelled, sequences, mark_spans=True)
        assert theirs.accuracy == ours.accuracy == 1


@pytest.mark.parametrize("strange", ["NN", "X-PER", "B-", "B_PER", " B-PER"])
def test_a_strange_tag_among_spans_is_refused(strange):
    with pytest.raises(InputError, match=f"sentence 2, word 1 has the tag '{strange}'.*scheme=None"):
        check_tags([["B-PER", "I-PER", "O"], [strange]])
    assert check_tags([["B-PER"], [strange]], None).scheme is None


@pytest.mark.parametrize("value", [None, 3, float("nan"), "", " "])
def test_tags_that_are_no_strings_are_refused(value):
    for scheme in ("auto", None, "IOB2"):
        with pytest.raises(InputError, match="sentence 1, word 2 has the tag"):
            check_tags([["O", value]], scheme)


def test_remarks_say_where():
    two = check_tags([["O", "I-PER"], ["B-PER", "I-LOC"], ["B-LOC"]], "IOB2")
    assert two.remark == (
        "2 of 3 sentences break the rules of IOB2 and were repaired, first sentence 1, word 2: 'I-PER' after 'O'"
    )
    assert two.tags == [["O", "B-PER"], ["B-PER", "B-LOC"], ["B-LOC"]]
    assert "word 2: 'the end' after 'B-PER'" in check_tags([["B-PER"]], "BIOES").remark
    assert "'I-PER' at the beginning" in check_tags([["I-PER"]], "IOB2").remark
    assert check_tags([["NN"]]).tags == [["NN"]]


def test_strange_tags_and_schemes_are_refused():
    with pytest.raises(InputError, match="sentence 1, word 2 has the tag 'X-PER'"):
        check_tags([["O", "X-PER"]], "IOB2")
    with pytest.raises(ConfigError, match="'BIOES'"):
        check_tags([], "BILOU")
    with pytest.raises(InputError, match="differ in their lengths"):
        tag_metrics([["O"]], [])
    with pytest.raises(InputError, match="differ in their lengths"):
        tag_metrics([["O"]], [["O", "O"]])
    with pytest.raises(InputError, match="no words to evaluate"):
        tag_metrics([[]], [[]])


def test_parts_of_speech_have_accuracy_alone():
    scores = tag_metrics([["NOUN", "VERB"]], [["NOUN", "NOUN"]])
    assert (scores.accuracy, scores.spans, scores.main) == (0.5, None, 0.5)
    told = tag_metrics([["O", "O"]], [["O", "O"]], mark_spans=True)
    assert (told.spans.f1, told.accuracy) == (0, 1)
    assert tag_metrics([["B-X"]], [["B-X"]], mark_spans=False).spans is None
