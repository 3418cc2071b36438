"""Named sizes: the published ones with their hyperparameters, ours, and a tiny one for trying things out.

`small`, `medium` and `original` are the models of allennlp.org/elmo (13.6, 28.0 and 93.6 million parameters) with
the training settings that bilm-tf publishes: Adagrad, 20 steps of backpropagation, 8,192 negatives, dropout 0.1.
`default` is the model inside the package: no clipping and no projection, so that fused kernels train it, and small
enough for a wheel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError
from elmokit.training.options import TrainingOptions


@dataclass(frozen=True)
class Preset:
    """A size of model with the way to train it."""

    config: ElmoConfig
    options: TrainingOptions


_PUBLISHED_OPTIONS = TrainingOptions(
    n_rows=128,
    unroll=20,
    segment=400,
    n_words=768_648_884 * 10,
    vocabulary_size=793_471,
    n_negatives=8192,
    optimizer="adagrad",
    learning_rate=0.2,
    warmup=0,
    decay=0.0,
    weight_decay=0.0,
    clip_norm=10.0,
    dropout=0.1,
)


def _published(cell_width: int, projection_width: int, n_highway: int) -> Preset:
    config = ElmoConfig(
        projection_width=projection_width,
        char_cnn=CharCNNConfig(n_highway=n_highway),
        bilstm=BiLSTMConfig(cell_width=cell_width),
        tokenizer="default",
    )
    return Preset(config, _PUBLISHED_OPTIONS)


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        ElmoConfig(
            projection_width=32,
            char_cnn=CharCNNConfig(embedding_width=8, filters=((1, 8), (2, 16), (3, 32)), n_highway=1),
            bilstm=BiLSTMConfig(cell_width=32, projection=False, cell_clip=None, projection_clip=None),
            tokenizer="default",
        ),
        TrainingOptions(
            n_rows=16,
            unroll=16,
            segment=64,
            n_words=300_000,
            vocabulary_size=5_000,
            n_negatives=256,
            warmup=50,
        ),
    ),
    "default": Preset(
        ElmoConfig(
            projection_width=384,
            char_cnn=CharCNNConfig(
                embedding_width=24,
                filters=((1, 32), (2, 64), (3, 128), (4, 160), (5, 192), (6, 192)),
                n_highway=1,
            ),
            bilstm=BiLSTMConfig(cell_width=384, projection=False, cell_clip=None, projection_clip=None),
            tokenizer="default",
            word_table=40_000,
        ),
        TrainingOptions(n_rows=64, n_words=15_000_000, decay=0.25, vocabulary_size=40_000),
    ),
    "small": _published(1024, 128, 1),
    "medium": _published(2048, 256, 1),
    "original": _published(4096, 512, 2),
}


def get_preset(name: str, *, tokenizer: str | None = None) -> Preset:
    """The preset of that name.

    Args:
        name: "tiny", "default", "small", "medium" or "original".
        tokenizer: another tokenizer than the preset's.

    Returns:
        its configuration and options.

    Raises:
        ConfigError: a name that is not known.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; known are {', '.join(map(repr, PRESETS))}.")
    preset = PRESETS[name]
    return preset if tokenizer is None else Preset(replace(preset.config, tokenizer=tokenizer), preset.options)
