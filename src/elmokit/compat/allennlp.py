"""AllenNLP's ELMo: `Elmo`, `batch_to_ids`, `ElmoEmbedder`, with their calls, shapes and state dict (extra `torch`).

Change `from allennlp.modules.elmo import Elmo, batch_to_ids` to `from elmokit.compat.allennlp import …`. LSTM states
start from zeros with every call unless `stateful=True`. `do_layer_norm` takes one mean and variance over the whole
batch, boundaries included, as the original.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elmokit import checkpoints
from elmokit.checkpoints.mapping import apply_rules, rules_from
from elmokit.checkpoints.torch_file import ALLENNLP_RULES
from elmokit.compat.allennlp_embedder import ElmoEmbedder
from elmokit.compat.sentences import checked_sentences
from elmokit.errors import ConfigError, needing

with needing("PyTorch", "torch", "AllenNLP's Elmo"):
    import torch
    from torch import Tensor, nn

from elmokit.nn.bilm import BiLM, TowerState
from elmokit.text.char_ids import BOS, EOS, sentence_boundary_ids, words_to_char_ids


def batch_to_ids(batch: Sequence[Sequence[str]], *, max_characters: int = 50) -> Tensor:
    """Return character ids of B lists of words, without boundary rows, zeros behind each sentence. Shape (B, T, C).

    "<S>" and "</S>" are the boundaries' own ids, as in the original. A string instead of a list raises `TextError`.

    Example:
        >>> batch_to_ids([["a", "b"], []]).shape
        torch.Size([2, 2, 50])
    """
    sentences = checked_sentences(batch, "batch")
    boundaries = dict(zip((BOS, EOS), sentence_boundary_ids(max_characters), strict=True))
    ids = np.zeros((len(sentences), max(map(len, sentences), default=0), max_characters), dtype=np.int64)
    for row, words in zip(ids, sentences, strict=True):
        row[: len(words)] = words_to_char_ids(words, max_characters)
        for place, word in enumerate(words):
            if word in boundaries:
                row[place] = boundaries[word]
    return torch.from_numpy(ids)


class ScalarMix(nn.Module):
    """AllenNLP's weighted sum of layers, with its parameters' names.

    `do_layer_norm` first normalises each layer over all real places of the batch; `initial` are the weights before the
    softmax, zeros by default.
    """

    def __init__(
        self,
        n_layers: int,
        *,
        do_layer_norm: bool = False,
        initial: Sequence[float] | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        weights = [0.0] * n_layers if initial is None else list(initial)
        if len(weights) != n_layers:
            raise ConfigError(f"scalar_mix_parameters has {len(weights)} numbers; the model has {n_layers} layers.")
        self.scalar_parameters = nn.ParameterList(
            nn.Parameter(torch.tensor([float(w)]), requires_grad=trainable) for w in weights
        )
        self.gamma = nn.Parameter(torch.ones(1), requires_grad=trainable)
        self.do_layer_norm = do_layer_norm

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        """Sum layers (L, B, T, D) with a mask of real places (B, T). Shape (B, T, D)."""
        shares = torch.softmax(torch.cat(list(self.scalar_parameters)), dim=0).to(layers.dtype)
        if self.do_layer_norm:
            real = mask[..., None].to(layers.dtype)
            count = real.sum() * layers.shape[-1]
            mean = (layers * real).sum(dim=(1, 2, 3), keepdim=True) / count
            variance = (((layers - mean) * real) ** 2).sum(dim=(1, 2, 3), keepdim=True) / count
            layers = (layers - mean) / torch.sqrt(variance + 1e-12)
        return self.gamma.to(layers.dtype) * torch.einsum("l,lbtd->btd", shares, layers)


class Elmo(nn.Module):
    """AllenNLP's `Elmo` module.

    Args:
        options_file: options, or anything else that `elmokit.checkpoints.load` reads (then without weight_file).
        weight_file: the weights that belong to the options.
        num_output_representations: how many differently weighted sums are made.
        requires_grad: whether the biLM is trained; the sums' weights always are unless given.
        do_layer_norm: see the module's text.
        dropout: on the representations, in training.
        vocab_to_cache: accepted for old code. Vectors are the same with and without.
        keep_sentence_boundaries: whether the rows of begin and end of sentence stay.
        scalar_mix_parameters: fixed weights of the layers, before the softmax.
        stateful: whether LSTM states go from call to call, as in the original.
    """

    def __init__(
        self,
        options_file: str | Path,
        weight_file: str | Path | None = None,
        num_output_representations: int = 1,
        requires_grad: bool = False,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        vocab_to_cache: Sequence[str] | None = None,
        keep_sentence_boundaries: bool = False,
        scalar_mix_parameters: Sequence[float] | None = None,
        *,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        checkpoint = checkpoints.load(options_file, weights=weight_file)
        self._char_cnn = checkpoint.config.char_cnn
        if self._char_cnn is None or self._char_cnn.characters is not None:
            raise ConfigError(f"{options_file}: this model does not read bytes; AllenNLP's Elmo has no way to run it.")
        self._bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors)
        self._bilm.requires_grad_(requires_grad)
        self._dropout = nn.Dropout(dropout)
        self._keep, self.stateful = keep_sentence_boundaries, stateful
        self._states: tuple[TowerState, TowerState] | None = None
        learned = scalar_mix_parameters is None
        mix = {"do_layer_norm": do_layer_norm, "initial": scalar_mix_parameters, "trainable": learned}
        n_layers = checkpoint.config.n_layers
        self.scalar_mixes = [ScalarMix(n_layers, **mix) for _ in range(num_output_representations)]  # type: ignore[arg-type]
        for k, scalar_mix in enumerate(self.scalar_mixes):
            self.add_module(f"scalar_mix_{k}", scalar_mix)
        self._register_state_dict_hook(_to_allennlp)  # type: ignore[no-untyped-call]
        self._register_load_state_dict_pre_hook(_from_allennlp, with_module=True)  # type: ignore[no-untyped-call]

    def get_output_dim(self) -> int:
        """Width of a representation: 2P."""
        return self._bilm.config.dim

    def reset_states(self) -> None:
        """Forget what a stateful module has read."""
        self._states = None

    def forward(self, inputs: Tensor, word_inputs: Tensor | None = None) -> dict[str, Any]:
        """Return "elmo_representations", a list of tensors (B, T, 2P), and "mask", the real words (B, T).

        `inputs` are what `batch_to_ids` gives, (B, T, C), of any integer type, or with one axis more, (B, S, T, C),
        which the results keep. `word_inputs` is accepted for old code.
        """
        shape = inputs.shape[:-1]
        ids = with_boundaries(inputs.reshape(math.prod(shape[:-1]), *inputs.shape[-2:]))
        carried = None
        if self.stateful:  # rows never seen start from zeros
            towers = self._bilm.forward_layers, self._bilm.backward_layers
            carried = _overlaid(tuple(tower.initial_state(len(ids)) for tower in towers), self._states, len(ids))
        layers = self._bilm(ids, carried, keep_boundaries=True)
        if self.stateful:  # rows beyond the batch keep theirs
            self._states = _overlaid(self._states, tuple(state.detach() for state in layers.states))
        mask = layers.mask if self._keep else layers.mask[:, 2:]
        mixed = [mix(layers.vectors, layers.mask) for mix in self.scalar_mixes]
        representations = [self._dropout(x if self._keep else x[:, 1:-1] * mask[..., None]) for x in mixed]
        if len(shape) > 2:
            representations = [x.reshape(*shape[:-1], *x.shape[1:]) for x in representations]
            mask = mask.reshape(*shape[:-1], mask.shape[-1])
        return {"elmo_representations": representations, "mask": mask}


def _overlaid(under: Any, over: Any, n_rows: int | None = None) -> Any:
    """States of both directions: the rows of `over`, and those of `under` where there are more."""
    if under is None or over is None:
        return under or over

    def joined(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([new, old[:, new.shape[1] :]], dim=1)[:, :n_rows]

    return tuple(
        TowerState(joined(old.hidden, new.hidden), joined(old.cell, new.cell))
        for old, new in zip(under, over, strict=True)
    )


def with_boundaries(ids: Tensor) -> Tensor:
    """Put the rows of begin and end of sentence around each sentence: (B, T, C) → (B, T + 2, C)."""
    ids = ids.long()
    begin, end = torch.from_numpy(sentence_boundary_ids(ids.shape[-1]).astype(np.int64)).to(ids.device)
    rows = ids.new_zeros(ids.shape[0], ids.shape[1] + 2, ids.shape[2])
    rows[:, 1:-1] = ids
    rows[:, 0] = begin
    lengths = (ids > 0).any(dim=-1).sum(dim=1)
    rows[torch.arange(len(ids), device=ids.device), lengths + 1] = end
    return rows


_OURS, _THEIRS = "_bilm.", "_elmo_lstm."


def _to_allennlp(module: Elmo, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    """The biLM's part of a state dict under AllenNLP's names."""
    ours = {n: state.pop(prefix + _OURS + n).detach().cpu().numpy() for n in module._bilm.config.tensor_shapes()}
    for name, array in ((rule.theirs, rule.revert(ours)) for rule in rules_from(ALLENNLP_RULES, module._bilm.config)):
        state[prefix + _THEIRS + name] = torch.from_numpy(np.array(array))


def _from_allennlp(module: Elmo, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The other way; what is missing is left for torch to say."""
    theirs = {n.removeprefix(prefix + _THEIRS): x for n, x in state.items() if n.startswith(prefix + _THEIRS)}
    rules = rules_from(ALLENNLP_RULES, module._bilm.config)
    if not all(rule.theirs in theirs for rule in rules):
        return
    arrays = {rule.theirs: theirs[rule.theirs].detach().cpu().numpy() for rule in rules}
    for name in theirs:
        del state[prefix + _THEIRS + name]
    for name, array in apply_rules(rules, arrays, module._bilm.config.tensor_shapes()).items():
        state[prefix + _OURS + name] = torch.from_numpy(np.array(array))


__all__ = ["Elmo", "ElmoEmbedder", "ScalarMix", "batch_to_ids", "with_boundaries"]
