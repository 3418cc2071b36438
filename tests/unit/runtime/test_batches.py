from hypothesis import given
from hypothesis import strategies as st

from elmokit.runtime.batches import make_batch, plan_batches

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), max_size=7), max_size=12)


@given(SENTENCES, st.integers(1, 20), st.integers(1, 5))
def test_plan_has_every_index_once_within_the_budget(sentences, batch_words, max_rows):
    batches = plan_batches(sentences, range(len(sentences)), batch_words=batch_words, max_rows=max_rows)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sentences)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or sum(len(sentences[i]) for i in batch) <= batch_words


def test_a_batch_has_its_longest_sentence_first():
    batch = make_batch([["a"], ["b", "c"]], [0, 1])
    assert (batch.rows.tolist(), batch.counts.tolist(), batch.words) == ([1, 0], [2, 1], ["b", "c", "a"])
