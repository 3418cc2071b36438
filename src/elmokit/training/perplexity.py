"""Perplexity of held-out text, by the definition of bilm-tf, so that figures compare.

exp of the mean negative log likelihood per predicted word, with the full softmax over the vocabulary: `</S>`
(backward: `<S>`) is predicted once per text and counts; a word outside the vocabulary counts as `<UNK>`, so figures
compare only between models of one vocabulary. Nothing is dropped: the last, incomplete batch counts too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from elmokit.training.objective import Batch, LanguageModel
from elmokit.training.stream import Stream, Window


@torch.no_grad()
def heldout_perplexity(
    model: LanguageModel,
    stream: Stream,
    make_batch: Callable[[Window], Batch],
    *,
    max_windows: int,
    device: torch.device,
) -> dict[str, float]:
    """Perplexity with the full softmax: exp of the mean loss per word, `</S>` (backward: `<S>`) included.

    Words outside the vocabulary count as `<UNK>`, as in bilm-tf.

    Args:
        model: the language model.
        stream: of held-out texts; read once at most.
        make_batch: windows → batches.
        max_windows: windows read at most.
        device: where the model is.

    Returns:
        perplexity by "forward", "backward" and "mean" (of the two losses).
    """
    model.eval()
    losses, counts = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    states = model.initial_states(stream.n_rows)
    for number, window in enumerate(stream.windows()):
        if number >= max_windows or window.position.epoch > 0:
            break
        states = model.initial_states(stream.n_rows) if window.fresh else states
        loss, count, states = model(make_batch(window).to(device), states, None)
        losses += loss.double().cpu()
        counts += count.cpu()
    model.train()
    each = (losses / counts.clamp(min=1)).tolist()
    return {"forward": math.exp(each[0]), "backward": math.exp(each[1]), "mean": math.exp(sum(each) / 2)}
