"""A linear-chain conditional random field: scores of tags one by one → the best sequence of tags.

A sequence's score is the sum of its words' scores (emissions) and of learned scores for each step from tag to tag, for
the first tag and for the last (Lafferty et al. 2001; Lample et al. 2016). Training raises the probability of the true
sequence among all; decoding finds the best one, and takes constraints: pairs of tags that may not follow each other
(`elmokit.tasks.bio.may_follow`). Both are loops over the words with K × K additions each; tested against enumerating
all sequences. Padding is behind each sentence and never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Constraints:
    """What decoding may do.

    Args:
        start: tags that may come first (bool). Shape (K,).
        step: whether the tag of the column may follow the tag of the row (bool). Shape (K, K).
        end: tags that may come last (bool). Shape (K,).
    """

    start: Tensor
    step: Tensor
    end: Tensor


class CRF(nn.Module):
    """A CRF over K tags.

    Args:
        n_tags: K.
    """

    def __init__(self, n_tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.step = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Negative log likelihood of the true tags.

        Args:
            emissions: a score per word and tag. Shape (B, T, K).
            tags: the true ones; anything where the mask is False. Shape (B, T).
            mask: real words, those of a sentence first, one at least. Shape (B, T).

        Returns:
            nats by sentence. Shape (B,).
        """
        return self.log_partition(emissions, mask) - self.score(emissions, tags, mask)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Scores of given sequences. Shapes as in `forward`; returns (B,)."""
        tags = torch.where(mask, tags, 0)
        of_words = emissions.gather(2, tags[..., None])[..., 0] * mask
        steps = self.step[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        return of_words.sum(1) + steps.sum(1) + self.start[tags[:, 0]] + self.end[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the summed exponentials of all sequences' scores. Shapes as in `forward`; returns (B,)."""
        total = self.start + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            longer = torch.logsumexp(total[:, :, None] + self.step, dim=1) + emissions[:, t]
            total = torch.where(mask[:, t, None], longer, total)
        return torch.logsumexp(total + self.end, dim=1)

    @torch.no_grad()
    def best(self, emissions: Tensor, mask: Tensor, constraints: Constraints | None = None) -> list[list[int]]:
        """The sequences with the highest score (Viterbi).

        Args:
            emissions: Shape (B, T, K).
            mask: real words, those of a sentence first, one at least. Shape (B, T).
            constraints: what may follow what; some sequence of every length must be allowed. None for anything.

        Returns:
            tags by sentence, as many as it has words.
        """
        start, step, end = self._constrained(constraints)
        best = start + emissions[:, 0]
        came_from: list[Tensor] = []
        for t in range(1, emissions.shape[1]):
            longer, before = (best[:, :, None] + step).max(dim=1)
            best = torch.where(mask[:, t, None], longer + emissions[:, t], best)
            came_from.append(before)
        last = (best + end).argmax(1).tolist()
        back = torch.stack(came_from).tolist() if came_from else []
        return [_traced(back, row, last[row], int(n)) for row, n in enumerate(mask.sum(1).tolist())]

    def _constrained(self, constraints: Constraints | None) -> tuple[Tensor, Tensor, Tensor]:
        if constraints is None:
            return self.start, self.step, self.end
        never = -1e9  # large against any score, and some of them can be added up without overflow
        pairs = zip(
            (self.start, self.step, self.end), (constraints.start, constraints.step, constraints.end), strict=True
        )
        start, step, end = (torch.where(allowed.to(scores.device), scores, never) for scores, allowed in pairs)
        return start, step, end


def _traced(came_from: list[list[list[int]]], row: int, last: int, n_words: int) -> list[int]:
    """Back along the best steps."""
    tags = [last]
    for t in range(n_words - 2, -1, -1):
        tags.append(came_from[t][row][tags[-1]])
    return tags[::-1]
