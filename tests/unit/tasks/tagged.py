"""Sentences with names in them, and a stand-in for a model that gives layers of words."""

import zlib

import numpy as np

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.features import WordVectors

FIRST, LAST = ["Ann", "Bo", "Cid", "Dee"], ["Ash", "Birk", "Cole"]
PLACES, OTHER = ["Oslo", "Rome", "Lima"], ["sees", "and", "likes", "today", "the", "old"]


def sentences(n, seed=0):
    """Sentences and their tags in IOB2: persons of one or two words, places."""
    random = np.random.default_rng(seed)
    words, tags = [], []
    for _ in range(n):
        of_one, tags_of_one = [], []
        for _ in range(int(random.integers(2, 6))):
            kind = random.integers(0, 4)
            if kind == 0:
                of_one += [str(random.choice(FIRST)), str(random.choice(LAST))]
                tags_of_one += ["B-PER", "I-PER"]
            elif kind == 1:
                of_one.append(str(random.choice(PLACES)))
                tags_of_one.append("B-LOC")
            else:
                of_one.append(str(random.choice(OTHER)))
                tags_of_one.append("O")
        words.append(of_one)
        tags.append(tags_of_one)
    return words, tags


class WordLayers:
    """Every word has a random vector of its own in layer 0; the others add its neighbour's, or are noise."""

    def __init__(self, *, name="word layers", dim=16, seed=0):
        self.name, self.seed = name, seed
        self.config = ElmoConfig(
            projection_width=dim // 2, char_cnn=CharCNNConfig(filters=((1, 4),)), bilstm=BiLSTMConfig(cell_width=8)
        )
        self.n_encoded = 0
        self.fingerprint = f"word layers {dim} {seed}"

    def encode_words_stream(self, texts, *, layers="mix", show_progress=None):
        assert layers == "each"
        for words in texts:
            self.n_encoded += 1
            own = np.array([self._word(word) for word in words]).reshape(len(words), self.config.dim)
            shifted = np.roll(own, 1, axis=0)
            vectors = np.stack([own, 100 * (own + shifted), np.zeros_like(own)]).astype(np.float32)
            yield WordVectors(tuple(words), None, vectors)

    def _word(self, word):
        return np.random.default_rng([self.seed, zlib.crc32(word.encode())]).normal(size=self.config.dim)
