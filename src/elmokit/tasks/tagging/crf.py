"""A linear-chain conditional random field: scores of tags one by one → the best sequence of tags.

A sequence's score is the sum of its words' scores (emissions) and of learned scores for each step from tag to tag, for
the first tag and for the last (Lafferty et al. 2001; Lample et al. 2016). Training raises the probability of the true
sequence among all; decoding finds the best one that keeps to the rules. Tested against enumerating all sequences.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Rules = tuple[Any, Any, Any]
"""Tags that may come first (K,), follow each other (K, K) and come last (K,), as `TagSet.allowed` gives them."""

_NEVER = -1e9  # large against any score, and some of them can be added up without overflow


class CRF(nn.Module):
    """A CRF over K tags.

    Throughout, emissions have the shape (B, T, K), tags (B, T), and the mask (B, T) is True for real words, those of a
    sentence first, one at least. Padding is behind each sentence and never looked at.
    """

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.step = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Negative log likelihood of the true tags, in nats. Shape (B,)."""
        return self.log_partition(emissions, mask) - self.score(emissions, tags, mask)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Scores of given sequences. Shape (B,)."""
        tags = torch.where(mask, tags, 0)
        of_words = emissions.gather(2, tags[..., None])[..., 0] * mask
        steps = self.step[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        return of_words.sum(1) + steps.sum(1) + self.start[tags[:, 0]] + self.end[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the summed exponentials of all sequences' scores. Shape (B,)."""
        total = self.start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            longer = torch.logsumexp(total[:, :, None] + self.step, dim=1) + emissions[:, t]
            total = torch.where(mask[:, t, None], longer, total)
        return torch.logsumexp(total + self.end, dim=1)

    @torch.no_grad()
    def best(self, emissions: Tensor, mask: Tensor, rules: Rules | None = None) -> list[list[int]]:
        """The sequences with the highest score (Viterbi), as many tags as a sentence has words.

        Some sequence of every length must keep to the rules; None allows anything.
        """
        scores: list[Tensor] = [self.start, self.step, self.end]
        if rules is not None:
            masks = [torch.as_tensor(rule, device=emissions.device) for rule in rules]
            scores = [torch.where(rule, one, _NEVER) for rule, one in zip(masks, scores, strict=True)]
        start, step, end = scores
        best = start + emissions[:, 0]
        came_from: list[Tensor] = []
        for t in range(1, emissions.shape[1]):
            longer, before = (best[:, :, None] + step).max(dim=1)
            best = torch.where(mask[:, t, None], longer + emissions[:, t], best)
            came_from.append(before)
        back = torch.stack(came_from).tolist() if came_from else []
        tags = [[last] for last in (best + end).argmax(1).tolist()]
        for row, n_words in enumerate(mask.sum(1).tolist()):
            for t in range(n_words - 2, -1, -1):
                tags[row].append(back[t][row][tags[row][-1]])
        return [of_one[::-1] for of_one in tags]
