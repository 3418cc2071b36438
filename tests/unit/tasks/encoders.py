"""A stand-in for a model, for tests that are not about the model: every word has its own random vector."""

import zlib

import numpy as np

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.encoding import Encoding


class WordHash:
    source = "default"

    def __init__(self, *, name="word hash", dim=32, seed=0):
        self.name = name
        self.seed = seed
        self.config = ElmoConfig(
            projection_width=dim // 2,
            char_cnn=CharCNNConfig(filters=((1, 4),)),
            bilstm=BiLSTMConfig(cell_width=8),
        )
        self.n_encoded = 0

    @property
    def fingerprint(self):
        return f"{self.name} {self.seed} {self.config.dim}"

    def width(self, encoding=None):
        return self.config.dim

    def encode(self, texts, encoding=None, *, pooling="mean", layers="mix", show_progress=None):
        self.n_encoded += len(texts)
        rows = [self._row(text) * (2.0 if (encoding or Encoding(pooling)).pooling == "max" else 1.0) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.config.dim)

    def _row(self, text):
        words = text.lower().split()
        if not words:
            return np.zeros(self.config.dim)
        return np.mean([self._word(word) for word in words], axis=0)

    def _word(self, word):
        return np.random.default_rng([self.seed, zlib.crc32(word.encode())]).normal(size=self.config.dim)


GOOD = ["love", "great", "happy", "thanks", "lovely", "perfect", "best", "awesome"]
BAD = ["broken", "hate", "awful", "crash", "refund", "useless", "worst", "annoying"]
FILLER = ["the", "phone", "my", "new", "laptop", "and", "it", "this", "screen", "today", "with", "again"]


def messages(n, seed=0):
    """Texts of two classes that can mostly be told apart, about a third of them "1"."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        bad = random.random() < 0.35
        words = list(random.choice(FILLER, 5)) + list(random.choice(BAD if bad else GOOD, 2))
        random.shuffle(words)
        texts.append(" ".join(words))
        labels.append("1" if bad != (random.random() < 0.05) else "0")
    return texts, labels
