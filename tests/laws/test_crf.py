"""The CRF against enumerating every sequence of tags."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from elmokit.tasks.tagging.bioes import TagSet, may_follow, mistakes  # noqa: E402
from elmokit.tasks.tagging.network import CRF  # noqa: E402


@st.composite
def cases(draw):
    """A CRF with random weights, emissions of a padded batch, and its lengths."""
    n_tags, lengths = draw(st.integers(2, 4)), draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    crf = CRF(n_tags).double().requires_grad_(False)
    with torch.no_grad():
        for weights in crf.parameters():
            weights.normal_(0, 2, generator=generator)
    emissions = torch.randn(len(lengths), max(lengths), n_tags, generator=generator, dtype=torch.float64) * 3
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return crf, emissions, mask, lengths


def all_scores(crf, emissions, n_words):
    start, step, end, emissions = (tensor.tolist() for tensor in (crf.start, crf.step, crf.end, emissions))

    def score(tags):
        of_words = sum(emissions[t][tag] for t, tag in enumerate(tags))
        return start[tags[0]] + end[tags[-1]] + of_words + sum(step[a][b] for a, b in itertools.pairwise(tags))

    return {tags: score(tags) for tags in itertools.product(range(len(start)), repeat=n_words)}


@given(cases())
@settings(max_examples=40)
def test_scores_partition_and_best_are_those_of_enumeration(case):
    crf, emissions, mask, lengths = case
    partition, best = crf.log_partition(emissions, mask), crf.best(emissions, mask)
    for row, n_words in enumerate(lengths):
        known = all_scores(crf, emissions[row], n_words)
        assert float(partition[row]) == pytest.approx(math.log(sum(map(math.exp, known.values()))))
        assert tuple(best[row]) == max(known, key=known.get)
        tags = torch.zeros(1, emissions.shape[1], dtype=torch.int64) + 1
        tags[0, :n_words] = torch.tensor(best[row])
        loss = crf(emissions[row : row + 1], tags, mask[row : row + 1])
        assert float(loss) == pytest.approx(float(partition[row]) - known[tuple(best[row])])


@given(cases(), st.data())
@settings(max_examples=40)
def test_constrained_best_is_the_best_of_what_is_allowed(case, data):
    crf, emissions, mask, lengths = case
    n_tags = len(crf.start)
    flags = st.lists(st.booleans(), min_size=n_tags, max_size=n_tags)
    start, end = (torch.tensor(data.draw(flags)) for _ in range(2))
    step = torch.tensor([data.draw(flags) for _ in range(n_tags)])
    start[0] = end[0] = step[0, 0] = True  # so that every length has an allowed sequence
    best = crf.best(emissions, mask, (start, step, end))
    for row, n_words in enumerate(lengths):
        allowed = {
            tags: value
            for tags, value in all_scores(crf, emissions[row], n_words).items()
            if start[tags[0]] and end[tags[-1]] and all(step[a, b] for a, b in itertools.pairwise(tags))
        }
        assert tuple(best[row]) == max(allowed, key=allowed.get)


@given(cases())
@settings(max_examples=20)
def test_padding_and_neighbours_change_nothing(case):
    crf, emissions, mask, lengths = case
    wider = torch.cat([emissions, torch.full_like(emissions, 50.0)], dim=1)
    longer = torch.cat([mask, torch.zeros_like(mask)], dim=1)
    torch.testing.assert_close(crf.log_partition(wider, longer), crf.log_partition(emissions, mask))
    assert crf.best(wider, longer) == crf.best(emissions, mask)
    for row, n_words in enumerate(lengths):
        alone = crf.best(emissions[row : row + 1, :n_words], mask[row : row + 1, :n_words])
        assert alone[0] == crf.best(emissions, mask)[row]


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(max_examples=40)
def test_decoding_under_constraints_breaks_no_rule(seed, n_words):
    tag_set = TagSet.of([["B-PER", "B-LOC", "O"]], "IOB2")
    generator = torch.Generator().manual_seed(seed)
    crf = CRF(len(tag_set.names))
    emissions = torch.randn(1, n_words, len(tag_set.names), generator=generator)
    (best,) = crf.best(emissions, torch.ones(1, n_words, dtype=torch.bool), tag_set.allowed())
    assert mistakes([tag_set.names[tag] for tag in best], "BIOES") == []
    assert mistakes(tag_set.decode(best), "IOB2") == []


def test_constraints_are_the_rules():
    tag_set = TagSet.of([["B-PER", "O"]], "IOB2")
    start, step, _ = tag_set.allowed()
    for i, before in enumerate(tag_set.names):
        assert bool(start[i]) == may_follow(None, before, "BIOES")
        for j, after in enumerate(tag_set.names):
            assert bool(step[i, j]) == may_follow(before, after, "BIOES")
    assert TagSet.of([["NN", "VB"]], None).allowed() is None


def test_gradients_are_the_difference_between_truth_and_belief():
    crf = CRF(2).double()
    emissions = torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    crf(emissions, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)).sum().backward()
    torch.testing.assert_close(emissions.grad, torch.tensor([[[-0.5, 0.5], [0.5, -0.5]]], dtype=torch.float64))
