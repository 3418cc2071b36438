"""The next-word heads of training: sampled softmax over shared negatives, and the full softmax for evaluation.

One table of output vectors serves both directions (Peters et al. 2018, §3.1). The sampled loss is the
importance-corrected one of Jean et al. 2015: each logit is lowered by the log of the chance that its word is proposed,
and a proposed word that is a position's own target is taken out for that position.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SampledSoftmax(nn.Module):
    """Next-word loss over a vocabulary of V words of width P, ordered by falling frequency.

    `n_negatives` words are proposed per call, shared by all positions; V or more means the full softmax. `proposal` are
    the chances to propose each word, (V,), summing to 1; None for log-uniform (Zipf) over ranks.
    """

    proposal: Tensor
    log_expected: Tensor

    def __init__(self, n_words: int, width: int, *, n_negatives: int, proposal: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_words, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_words))
        self.n_negatives = n_negatives
        if proposal is None:
            ranks = torch.arange(n_words, dtype=torch.float64)
            proposal = torch.log((ranks + 2) / (ranks + 1)) / torch.log(torch.tensor(float(n_words + 1)))
        self.register_buffer("proposal", proposal.to(torch.float32), persistent=False)
        self.register_buffer("log_expected", _log_inclusion(proposal.double(), n_negatives), persistent=False)

    def forward(self, hidden: Tensor, targets: Tensor, negatives: Tensor | None = None) -> Tensor:
        """Negative log likelihood (N,) of each target id, from hidden states (N, P).

        `negatives` are distinct proposed word ids, from `draw`; None for the full softmax.
        """
        if negatives is None:
            return F.cross_entropy(F.linear(hidden, self.weight, self.bias).float(), targets, reduction="none")
        kind, n = hidden.device.type, len(negatives)
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        places = torch.full((len(self.bias),), -1, device=targets.device)
        places[negatives] = torch.arange(n, device=targets.device)
        with torch.autocast(kind, enabled=False):
            words = torch.cat([negatives, targets])
            rows, bias = F.embedding(words, self.weight).to(dtype), (self.bias - self.log_expected)[words]
            losses: Tensor = _SampledLoss.apply(  # type: ignore[no-untyped-call]
                hidden.to(dtype), rows[:n], bias[:n], rows[n:], bias[n:], places[targets]
            )
        return losses

    def draw(self, generator: torch.Generator | None = None) -> Tensor | None:
        """Propose distinct words, or None where the full softmax is meant: Gumbel keys, the highest win."""
        if self.n_negatives >= self.weight.shape[0]:
            return None
        uniform = torch.rand(self.proposal.shape, generator=generator).clamp_(1e-12, 1 - 1e-7)
        keys = self.proposal.log().cpu() - (-uniform.log()).log()
        return keys.topk(self.n_negatives, sorted=False).indices.to(self.weight.device)


class _SampledLoss(torch.autograd.Function):
    """log Σ exp(logits) − own logit, with the gradient in closed form: few passes over the (N, n_negatives) logits."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, rows: Tensor, bias: Tensor, own_rows: Tensor, own_bias: Tensor, places: Tensor
    ) -> Tensor:
        """Compute the losses; `places`: column of a position's own target among the negatives, or −1."""
        logits = torch.addmm(bias.to(hidden.dtype), hidden, rows.T)  # (N, n_negatives)
        own = (hidden * own_rows).sum(dim=1).float() + own_bias
        hits = (places >= 0).nonzero()[:, 0]
        logits[hits, places[hits]] = -torch.inf
        top = torch.maximum(logits.amax(dim=1).float(), own)
        shares = logits.sub_(top[:, None].to(logits.dtype)).exp_()
        own_share = (own - top).exp()
        total = shares.sum(dim=1, dtype=torch.float32) + own_share
        ctx.save_for_backward(hidden, rows, own_rows, shares, own_share, total)
        return total.log() + top - own

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of hidden, rows, bias, own_rows and own_bias."""
        hidden, rows, own_rows, shares, own_share, total = ctx.saved_tensors
        scale = gradient / total
        own = own_share * scale - gradient  # (N,)
        shares = shares * scale[:, None].to(shares.dtype)
        of_hidden = torch.addmm(own[:, None].to(hidden.dtype) * own_rows, shares, rows)
        of_bias = shares.sum(dim=0, dtype=torch.float32)
        return of_hidden, shares.T @ hidden, of_bias, own[:, None].to(hidden.dtype) * hidden, own, None


def _log_inclusion(proposal: Tensor, n_negatives: int) -> Tensor:
    """Log of the chance that a word is among n distinct proposals. Shape (V,).

    Drawing until n distinct words are found takes m tries on average; a word is then among them with chance
    1 − (1 − p)^m, as TensorFlow's sampler has it. m is where these chances sum to n.
    """
    if n_negatives >= len(proposal):
        return torch.zeros(len(proposal))
    log_miss, low, high = torch.log1p(-proposal.clamp(max=1 - 1e-12)), float(n_negatives), float(n_negatives)
    while float(-torch.expm1(high * log_miss).sum()) < n_negatives:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(-torch.expm1(middle * log_miss).sum()) < n_negatives else (low, middle)
    return torch.log(-torch.expm1(high * log_miss)).float()
