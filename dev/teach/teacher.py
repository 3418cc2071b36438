"""The teacher: a sentence encoder with mean pooling (MPNet or BERT), stored small, run without masks.

    python dev/teach/teacher.py FOLDER OUT

FOLDER is a sentence-transformers model; OUT holds the corpus's `types.txt` and gets `teacher/`: weights as whole
numbers with a scale per row (a third of float16's size once compressed) and the word pieces of every spelling.
Word pieces of a line are the pieces of its words, since these tokenizers cut at blanks and marks first.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 32
"""Whole numbers on each side of zero: 6 bits. The teacher's vectors keep a cosine of 0.993 to the original's."""
MAX_PIECES = 12


def store_teacher(folder: Path, out: Path) -> None:
    """Write a teacher's weights and the pieces of all spellings."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = {name.removeprefix("mpnet."): array for name, array in load_file(folder / "model.safetensors").items()}
    is_mpnet = config["model_type"] == "mpnet"
    attention, out_name = ("attention.attn.", "o") if is_mpnet else ("attention.self.", "attention.output.dense")
    names = ("q", "k", "v") if is_mpnet else ("query", "key", "value")
    norm = "attention.LayerNorm" if is_mpnet else "attention.output.LayerNorm"
    arrays = {
        "word": weights["embeddings.word_embeddings.weight"],
        "position": weights["embeddings.position_embeddings.weight"][:200],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    if is_mpnet:
        arrays["relative"] = weights["encoder.relative_attention_bias.weight"]
    else:
        arrays["position"] = arrays["position"] + weights["embeddings.token_type_embeddings.weight"][:1]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        inner = prefix + (attention + out_name if is_mpnet else out_name)
        for part in ("weight", "bias"):
            joined = [weights[f"{prefix}{attention}{name}.{part}"] for name in names]
            arrays[f"{layer}.qkv.{part}"] = np.concatenate(joined)
            arrays[f"{layer}.out.{part}"] = weights[f"{inner}.{part}"]
            arrays[f"{layer}.up.{part}"] = weights[f"{prefix}intermediate.dense.{part}"]
            arrays[f"{layer}.down.{part}"] = weights[f"{prefix}output.dense.{part}"]
            arrays[f"{layer}.norm1.{part}"] = weights[f"{prefix}{norm}.{part}"]
            arrays[f"{layer}.norm2.{part}"] = weights[f"{prefix}output.LayerNorm.{part}"]
    target = out / "teacher"
    target.mkdir(parents=True, exist_ok=True)
    np.savez(target / "weights.npz", **_stored(arrays))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    around = tokenizer.encode("x").ids
    spellings = (out / "types.txt").read_text(encoding="utf-8").split("\n")
    unknown = [tokenizer.token_to_id("[UNK]") or 0]
    pieces = [
        (encoding.ids or unknown)[:MAX_PIECES]
        for encoding in tokenizer.encode_batch(spellings, add_special_tokens=False)
    ]
    np.savez(
        target / "pieces.npz",
        ids=np.array([piece for word in pieces for piece in word], dtype=np.int32),
        lengths=np.array([len(word) for word in pieces], dtype=np.uint8),
    )
    facts = {
        "heads": config["num_attention_heads"],
        "layers": config["num_hidden_layers"],
        "epsilon": config["layer_norm_eps"],
        "first_position": config["pad_token_id"] + 1 if is_mpnet else 0,
        "around": [around[0], around[-1]],
    }
    (target / "config.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def _stored(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stored = {}
    for name, array in arrays.items():
        if array.ndim == 2 and array.size > 100_000:
            scale = np.maximum(np.abs(array).max(axis=1), 1e-9) / STEPS
            stored[name] = np.rint(array / scale[:, None]).astype(np.int8)
            stored[name + ":scale"] = scale.astype(np.float32)
        else:
            stored[name] = array.astype(np.float32)
    return stored


class Teacher:
    """The encoder on a device, for lines of equal length.

    Args:
        folder: what `store_teacher` wrote.
        device: where to compute.
        dtype: in which numbers.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.n_heads, self.n_layers, self.epsilon = facts["heads"], facts["layers"], facts["epsilon"]
        self.first_position = facts["first_position"]
        self.around = torch.tensor(facts["around"], device=device)
        with np.load(folder / "weights.npz") as file:
            self.weights: dict[str, Tensor] = {}
            for name in file.files:
                if not name.endswith(":scale"):
                    array = torch.from_numpy(file[name]).to(device).float()
                    if name + ":scale" in file.files:
                        array = array * torch.from_numpy(file[name + ":scale"]).to(device)[:, None]
                    self.weights[name] = array.to(dtype)
        with np.load(folder / "pieces.npz") as file:
            self.pieces = torch.from_numpy(file["ids"]).to(device).long()
            self.n_pieces = torch.from_numpy(file["lengths"].astype(np.int64)).to(device)
        self.starts = torch.cumsum(self.n_pieces, 0) - self.n_pieces
        self.width = self.weights["word"].shape[1]

    def tokens(self, words: Tensor, n_lines: int) -> tuple[Tensor, Tensor]:
        """Token ids of lines that have equally many, and the place of each word's first token.

        Args:
            words: word numbers of all lines, one behind the other. Shape (W,).
            n_lines: N.

        Returns:
            ids (N, S) with begin and end, and places in the flattened ids (W,).
        """
        n = self.n_pieces[words]
        first = torch.cumsum(n, 0) - n
        owner = torch.repeat_interleave(torch.arange(len(words), device=words.device), n)
        inside = torch.arange(len(owner), device=words.device) - first[owner]
        ids = self.pieces[self.starts[words[owner]] + inside].view(n_lines, -1)  # (N, S - 2)
        row = first // ids.shape[1]
        places = row * (ids.shape[1] + 2) + 1 + first - row * ids.shape[1]
        begin, end = (mark.expand(n_lines, 1) for mark in self.around)
        return torch.cat([begin, ids, end], dim=1), places

    @torch.no_grad()
    def __call__(self, tokens: Tensor, keep: tuple[int, ...] = ()) -> tuple[Tensor, Tensor | None]:
        """Encode.

        Args:
            tokens: Shape (N, S).
            keep: layers whose mean is kept for every token, from 1.

        Returns:
            mean vectors (N, H), and the kept layers' mean (N, S, H) or None.
        """
        w, H = self.weights, self.width
        N, S = tokens.shape
        positions = w["position"][self.first_position : self.first_position + S]
        x = self._norm(F.embedding(tokens, w["word"]) + positions, "norm")  # (N, S, H)
        bias = self._relative(S).expand(N, -1, -1, -1) if "relative" in w else None
        kept = None
        for layer in range(self.n_layers):
            qkv = self._linear(x, f"{layer}.qkv").view(N, S, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias)
            attended = attended.transpose(1, 2).reshape(N, S, H)
            x = self._norm(x + self._linear(attended, f"{layer}.out"), f"{layer}.norm1")
            inner = F.gelu(self._linear(x, f"{layer}.up"))
            x = self._norm(x + self._linear(inner, f"{layer}.down"), f"{layer}.norm2")
            if layer + 1 in keep:
                kept = x.float() if kept is None else kept + x.float()
        return x.float().mean(dim=1), None if kept is None else kept / len(keep)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return F.layer_norm(x, (self.width,), weight, bias, self.epsilon)

    def _relative(self, n: int) -> Tensor:
        """MPNet's bias by distance, in 32 buckets up to 128 positions. Shape (1, heads, S, S)."""
        places = torch.arange(n, device=self.pieces.device)
        distance = places[:, None] - places[None, :]
        far = 8 + (torch.log(distance.abs().clamp(min=1) / 8) / math.log(128 / 8) * 8).long()
        bucket = (distance < 0) * 16 + torch.where(distance.abs() < 8, distance.abs(), far.clamp(max=15))
        return self.weights["relative"][bucket].permute(2, 0, 1)[None].contiguous()


if __name__ == "__main__":
    store_teacher(Path(sys.argv[1]), Path(sys.argv[2]))
