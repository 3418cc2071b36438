"""PyTorch: `ElmoLayer`, an ELMo as a layer of your own network: words in, one vector per word out.

Its layer mix is learned with your task; the biLM stays as it is unless `fine_tune` asks for it. While frozen it runs
without gradients and stays out of `state_dict`; the name of the model is kept there and a different one is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elmokit import checkpoints
from elmokit.elmo import EMBEDDED
from elmokit.errors import ConfigError, needing
from elmokit.text.char_ids import padded_char_ids
from elmokit.text.inputs import checked_texts, checked_words
from elmokit.text.tokens import get_tokenizer

with needing("PyTorch", "torch", "ElmoLayer"):
    import torch
    from torch import Tensor, nn

from elmokit.nn.bilm import BiLM, LayerMixer


class ElmoLayer(nn.Module):
    """Texts → word vectors with gradients.

    `model` is "default" for the model in the package, or anything that `elmokit.checkpoints.load` reads; ConfigError
    for one without characters. `fine_tune` trains the biLM's weights too; `dropout` on the word vectors in training.

    Example:
        >>> layer = ElmoLayer(dropout=0.0)
        >>> vectors, mask = layer(["I read the book yesterday .", "Can you read it now ?"])
        >>> vectors.shape == (2, 6, layer.dim) and mask.sum().item() == 12
        True
    """

    def __init__(self, model: str | Path = "default", *, fine_tune: bool = False, dropout: float = 0.5) -> None:
        super().__init__()
        checkpoint = checkpoints.load(EMBEDDED if model == "default" else model, with_softmax=False)
        if checkpoint.config.char_cnn is None:
            raise ConfigError(
                f"{model}: this model looks words up in a table; ElmoLayer needs one that reads characters."
            )
        self.fingerprint = checkpoints.digest_of(checkpoint)
        self.name, self.config, self.fine_tune = checkpoint.name or str(model), checkpoint.config, fine_tune
        self.bilm = BiLM(checkpoint.config, words=checkpoint.words).load_tensors(checkpoint.tensors)
        self.bilm.requires_grad_(fine_tune)
        self.layer_mix = LayerMixer(checkpoint.config.n_layers)
        self.dropout = nn.Dropout(dropout)
        self._tokenize = get_tokenizer(checkpoint.config.tokenizer)

    @property
    def dim(self) -> int:
        """Width of a word's vector: 2P."""
        return self.config.dim

    def char_ids(self, texts: Sequence[str | Sequence[str]]) -> Tensor:
        """Return the character ids of texts or lists of words, boundaries included. Shape (B, T + 2, C), int64.

        A data loader's `collate_fn` may make them ahead.
        """
        width = self.config.char_cnn.max_characters  # type: ignore[union-attr]  # __init__ has looked
        rows = [
            [t.word for t in self._tokenize(text)] if isinstance(text, str) else checked_words(text, i)
            for i, text in enumerate(checked_texts(texts))
        ]
        return torch.from_numpy(padded_char_ids(rows, width))

    def forward(self, texts: Sequence[str | Sequence[str]] | Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors of texts, lists of words, or ids of `char_ids`, and the mask of words.

        Shapes (B, T, 2P), zeros behind each text, and (B, T).
        """
        ids = texts if isinstance(texts, Tensor) else self.char_ids(texts)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.fine_tune):
            layers = self.bilm(ids.to(self.layer_mix.gamma.device))
        return self.dropout(self.layer_mix(layers.vectors, layers.mask)), layers.mask

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Weights; without those of a frozen biLM."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "") + "bilm."
        for name in [] if self.fine_tune else [name for name in state if name.startswith(prefix)]:
            del state[name]
        return state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take what `state_dict` left out from the model itself."""
        if not self.fine_tune:
            for name, tensor in self.bilm.state_dict().items():
                state_dict.setdefault(f"{prefix}bilm.{name}", tensor)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def get_extra_state(self) -> dict[str, Any]:
        """The model that the weights were trained on, kept beside them."""
        return {"model": self.name, "fingerprint": self.fingerprint, "dim": self.dim, "n_layers": self.config.n_layers}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Refuse weights that were trained on another model."""
        own = self.get_extra_state()
        compared = ("fingerprint",) if "fingerprint" in state else ("model", "dim", "n_layers")
        if any(state.get(key) != own[key] for key in compared):
            raise ConfigError(
                f"these weights belong to the ELMo {state.get('model')!r} ({state.get('dim')} wide); this layer has"
                f" {self.name!r} ({self.dim} wide). Make it with ElmoLayer({state.get('model')!r}) or its folder."
            )
