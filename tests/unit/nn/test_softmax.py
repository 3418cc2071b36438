"""The next-word heads: the full softmax is cross-entropy, the sampled one estimates it."""

import pytest
import torch
from torch.nn import functional as F

from elmokit.nn import SampledSoftmax


def head(n_words=50, width=6, n_negatives=20):
    torch.manual_seed(0)
    return SampledSoftmax(n_words, width, n_negatives=n_negatives).double()


def test_full_softmax_is_cross_entropy():
    softmax, hidden, targets = head(), torch.randn(9, 6).double(), torch.randint(0, 50, (9,))
    expected = F.cross_entropy(
        hidden.float() @ softmax.weight.float().T + softmax.bias.float(), targets, reduction="none"
    )
    torch.testing.assert_close(softmax(hidden, targets).float(), expected, rtol=1e-5, atol=1e-5)


def test_log_uniform_chances_sum_to_one_and_fall_with_the_rank():
    proposal = head(n_words=1000).proposal.double()
    assert float(proposal.sum()) == pytest.approx(1.0, abs=1e-4)
    assert bool((proposal.diff() < 0).all())


def test_draws_are_distinct_repeatable_and_follow_the_chances():
    softmax = head(n_words=200, n_negatives=10)
    draws = [softmax.draw(torch.Generator().manual_seed(seed)) for seed in range(300)]
    assert all(len(set(draw.tolist())) == 10 for draw in draws)
    assert torch.equal(draws[0].sort().values, softmax.draw(torch.Generator().manual_seed(0)).sort().values)
    counts = torch.bincount(torch.cat(draws), minlength=200)
    assert counts[:5].sum() > 10 * counts[-5:].sum()


def test_nothing_is_drawn_where_all_words_would_be():
    assert head(n_negatives=50).draw() is None


def test_sampled_partition_estimates_the_full_one():
    """With importance weights, the mean of the sampled partition over draws nears the true one."""
    softmax, hidden, targets = head(n_words=60, n_negatives=40), torch.randn(1, 6).double(), torch.tensor([3])
    logits = (hidden @ softmax.weight.T + softmax.bias)[0]
    rest = torch.cat([logits[:3], logits[4:]])
    own = (logits[3] - softmax.log_expected[3]).detach()
    estimates = []
    for seed in range(600):
        loss = softmax(hidden, targets, softmax.draw(torch.Generator().manual_seed(seed)))
        estimates.append((torch.exp(loss.double() + own) - torch.exp(own)).detach())
    estimate, true = float(torch.cat(estimates).mean()), float(rest.exp().sum().detach())
    assert estimate == pytest.approx(true, rel=0.05)


def test_a_target_among_the_negatives_is_not_counted_twice():
    softmax, hidden = head(), torch.randn(2, 6).double()
    targets, negatives = torch.tensor([1, 2]), torch.arange(20)
    without_own = [softmax(hidden[i : i + 1], targets[i : i + 1], negatives[negatives != targets[i]]) for i in range(2)]
    both = softmax(hidden, targets, negatives)
    torch.testing.assert_close(both, torch.cat(without_own))


def test_the_correction_is_the_chance_of_being_drawn():
    softmax = head(n_words=40, n_negatives=15)
    draws = torch.cat([softmax.draw(torch.Generator().manual_seed(seed)) for seed in range(4000)])
    seen = torch.bincount(draws, minlength=40) / 4000
    torch.testing.assert_close(softmax.log_expected.exp().float(), seen, rtol=0.12, atol=0.02)
