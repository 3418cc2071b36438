"""Settings and reports of training as plain values, and the named presets; no PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from elmokit.config import BiLSTMConfig, CharCNNConfig, ElmoConfig
from elmokit.errors import ConfigError

LOSSES = {"lm": 1.0, "text": 4.0, "contrast": 1.0, "similarity": 2.0, "word": 0.5}
"""Default weights of the losses: language model in both directions, and four that a teacher adds."""

FIXED_OPTIONS: tuple[str, ...] = ("batch_size", "bptt", "segment", "vocabulary_size", "n_negatives", "optimizer")
FIXED_OPTIONS += ("gradient_accumulation_steps", "seed", "loss_weights", "temperature", "teacher_words")
"""Options that shape states, order, vocabulary or losses. The others may change when a run is resumed."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a biLM is trained; the sizes of the model are in its `ElmoConfig`. ConfigError for a value out of range."""

    batch_size: int = 128  # sequences per batch (B)
    bptt: int = 32  # words of truncated backpropagation
    segment: int = 128  # words after which the LSTM state of a sequence is reset; a multiple of `bptt`
    n_words: int = 10_000_000  # words to train on, counted once per direction
    minutes: float | None = None  # time limit, teacher included; training ends at whichever limit comes first
    vocabulary_size: int = 30_000  # words of the softmax, the special ones included
    n_negatives: int = 2048  # of the sampled softmax per step
    optimizer: str = "adamw"  # or "adagrad" as in bilm-tf (initial accumulator 1, loss times `bptt`)
    learning_rate: float = 2e-3  # at its peak
    warmup: int = 200  # steps until the peak
    decay: float = 0.2  # last part of the run, from 0 to 1, in which the learning rate falls linearly to zero
    weight_decay: float = 0.01  # of matrices
    clip_norm: float = 1.0  # maximum norm of the gradient
    frozen_words: int = 0  # words at the start during which only the softmax is trained (a new one on a trained biLM)
    dropout: float = 0.1
    precision: str = "auto"  # or "float32", "bfloat16"; "auto" is bfloat16 where the processor computes in it
    gradient_accumulation_steps: int = 1  # windows whose gradients are added up for one step
    seed: int = 0  # of weights, order, negatives and dropout
    loss_weights: Mapping[str, float] = field(default_factory=dict)  # those that differ from `LOSSES`
    temperature: float = 0.05  # τ of the contrastive loss
    teacher_words: int = 60_000  # frequent words whose teacher vectors the token layer learns
    save_minutes: float = 10.0  # between snapshots
    keep: int = 2  # newest snapshots that are kept
    evaluate_words: int = 1_000_000  # words between two evaluations on held-out text
    heldout_windows: int = 40  # of an evaluation at most

    def __post_init__(self) -> None:
        if self.segment % max(self.bptt, 1) or self.segment < 1:
            raise ConfigError(f"segment is {self.segment}; expected a multiple of bptt ({self.bptt}).")
        if self.optimizer not in ("adamw", "adagrad"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; expected 'adamw' or 'adagrad'.")
        counts = ("batch_size", "bptt", "n_words", "n_negatives", "gradient_accumulation_steps", "keep")
        for name in (*counts, "evaluate_words", "vocabulary_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if not self.learning_rate > 0 or not 0 <= self.dropout < 1 or not 0 <= self.decay <= 1:
            raise ConfigError(f"expected learning_rate > 0, 0 ≤ dropout < 1 and 0 ≤ decay ≤ 1; got {self}.")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes is {self.minutes}; expected more than 0.")
        for name, weight in self.loss_weights.items():
            if name not in LOSSES or not weight >= 0:
                raise ConfigError(f"loss weight {name}={weight}: expected 0 or more for one of {', '.join(LOSSES)}.")

    @property
    def all_loss_weights(self) -> dict[str, float]:
        """The weight of every loss."""
        return LOSSES | dict(self.loss_weights)


@dataclass(frozen=True)
class TrainingReport:
    """State of a training run."""

    step: int
    n_words: int  # words read
    loss: float  # mean language model loss (sampled softmax, in nats) since the last report
    learning_rate: float
    words_per_second: float  # since the last report
    minutes: float  # since the start of the run, resumed parts and the teacher included
    gradient_norm: float = 0.0  # of the last gradient, before clipping
    heldout: Mapping[str, float] | None = None  # perplexity ("forward", "backward", "mean") if it was just measured
    teacher_similarity: float | None = None  # mean cosine to the teacher's vectors of held-out texts, if just measured


@dataclass(frozen=True)
class Preset:
    """A model size and the options to train it with."""

    config: ElmoConfig
    options: TrainingOptions


def _published(cell_width: int, projection_width: int, n_highway: int) -> Preset:
    """A model of allennlp.org/elmo with the training settings of bilm-tf."""
    config = ElmoConfig(
        projection_width=projection_width,
        char_cnn=CharCNNConfig(n_highway=n_highway),
        bilstm=BiLSTMConfig(cell_width=cell_width),
        tokenizer="default",
    )
    options = TrainingOptions(
        bptt=20, segment=400, n_words=768_648_884 * 10, vocabulary_size=793_471, n_negatives=8192,
        optimizer="adagrad", learning_rate=0.2, warmup=0, decay=0.0, weight_decay=0.0, clip_norm=10.0,
    )  # fmt: skip
    return Preset(config, options)


def _fused(width: int, embedding_width: int, filters: tuple[tuple[int, int], ...], word_table: int = 0) -> ElmoConfig:
    """A model without clipping and projection, which fused LSTM kernels can train."""
    return ElmoConfig(
        projection_width=width,
        char_cnn=CharCNNConfig(embedding_width=embedding_width, filters=filters, n_highway=1),
        bilstm=BiLSTMConfig(cell_width=width, projection=False, cell_clip=None, projection_clip=None),
        tokenizer="default",
        word_table=word_table,
    )


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        _fused(32, 8, ((1, 8), (2, 16), (3, 32))),
        TrainingOptions(
            batch_size=16, bptt=16, segment=64, n_words=300_000, vocabulary_size=5_000, n_negatives=256, warmup=50
        ),
    ),
    "default": Preset(  # the shape of the embedded model
        _fused(384, 24, ((1, 32), (2, 64), (3, 128), (4, 160), (5, 192), (6, 192)), word_table=40_000),
        TrainingOptions(batch_size=64, n_words=15_000_000, decay=0.25, vocabulary_size=40_000),
    ),
    "small": _published(1024, 128, 1),
    "medium": _published(2048, 256, 1),
    "original": _published(4096, 512, 2),
}
"""`tiny` for trying out, `default` the embedded model's shape, and the three published sizes."""


def get_preset(name: str, *, tokenizer: str | None = None) -> Preset:
    """Look up a preset of `PRESETS`, maybe with another tokenizer; ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; known are {', '.join(map(repr, PRESETS))}.")
    preset = PRESETS[name]
    return preset if tokenizer is None else Preset(replace(preset.config, tokenizer=tokenizer), preset.options)
