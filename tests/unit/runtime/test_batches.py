import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elmokit.runtime.batches import BEGIN, END, make_batch, plan_batches, step_blocks

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), max_size=7), max_size=12)


@given(SENTENCES, st.integers(1, 20), st.integers(1, 5))
def test_plan_has_every_index_once_within_the_budget(sentences, batch_words, max_rows):
    batches = plan_batches(sentences, range(len(sentences)), batch_words=batch_words, max_rows=max_rows)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sentences)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or sum(len(sentences[i]) for i in batch) <= batch_words


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=7), min_size=1, max_size=12), st.booleans())
def test_batch_spells_each_sentence_forward_and_backward(sentences, boundaries):
    texts = [[BEGIN, *words, END] if boundaries else words for words in sentences]
    batch = make_batch(texts, range(len(texts)))
    spelled = [BEGIN, END, *batch.words]
    assert sorted(batch.rows) == list(range(len(sentences)))
    for r, i in enumerate(batch.rows):
        wanted = texts[i]
        for direction, expected in ((0, wanted), (1, wanted[::-1])):
            steps = [batch.numbers[direction][batch.starts[t] + r] for t in range(batch.lengths[r])]
            assert [spelled[n] for n in steps] == expected
        place, places = list(batch.spans())[r]
        assert place == i
        for direction in (0, 1):
            assert [spelled[n] for n in batch.numbers[direction][batch.places[direction][places]]] == wanted
    assert batch.counts.sum() == batch.starts[-1] == batch.lengths.sum()


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 30))
def test_step_blocks_cover_all_steps_in_order(counts, max_rows):
    starts = np.concatenate([[0], np.cumsum(sorted(counts, reverse=True))]).astype(int)
    blocks = list(step_blocks(starts, max_rows))
    assert [t for first, end in blocks for t in range(first, end)] == list(range(len(counts)))
    assert all(starts[end] - starts[first] <= max_rows or end == first + 1 for first, end in blocks)
