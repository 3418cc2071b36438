"""Perplexity of held-out text while training, by the definition of `elmokit.perplexity`.

Nothing is dropped: the last, incomplete batch counts too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from elmokit.perplexity import PerplexityMeter
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
    meter = PerplexityMeter()
    states = model.initial_states(stream.n_rows)
    for number, window in enumerate(stream.windows()):
        if number >= max_windows or window.position.epoch > 0:
            break
        states = model.initial_states(stream.n_rows) if window.fresh else states
        loss, count, states = model(make_batch(window).to(device), states, None)
        meter.add(loss.double().cpu().numpy(), count.cpu().numpy())
    model.train()
    result = meter.result
    return {"forward": result.forward, "backward": result.backward, "mean": result.mean}
