"""Small corpora and settings that the training tests share. All text is generated here."""

import random

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.training.options import TrainingOptions

NOUNS, VERBS = ("cat", "dog", "bird", "child", "king"), ("sees", "likes", "hears", "knows")


def sentences(n, seed=0, letters=None):
    """Sentences of a tiny grammar: determiner noun verb determiner noun mark."""
    rng = random.Random(seed)
    respell = (lambda word: "".join(letters[(ord(c) - 97) % len(letters)] for c in word)) if letters else str
    for _ in range(n):
        words = ["the", rng.choice(NOUNS), rng.choice(VERBS), "the", rng.choice(NOUNS)]
        yield " ".join(map(respell, words)) + " ."


def tiny_config(**lstm):
    sizes = {"cell_width": 24, "projection": False, "cell_clip": None, "projection_clip": None} | lstm
    return ElmoConfig(
        projection_width=24,
        char_cnn=CharCNNConfig(embedding_width=6, filters=((1, 8), (2, 16)), n_highway=1),
        bilstm=BiLSTMConfig(**sizes),
        tokenizer="default",
    )


def tiny_options(**changes):
    settings = {
        "batch_size": 4,
        "bptt": 8,
        "segment": 16,
        "n_words": 1200,
        "vocabulary_size": 40,
        "n_negatives": 10,
        "learning_rate": 0.01,
        "warmup": 5,
        "precision": "float32",
        "evaluate_words": 600,
        "heldout_windows": 8,
    }
    return TrainingOptions(**(settings | changes))
