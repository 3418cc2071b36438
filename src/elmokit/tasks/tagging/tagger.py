"""`Tagger`: words → tags (names, chunks, parts of speech) on frozen ELMo vectors, as ELMo was first used.

A learned mix of the layers of a frozen biLM, a BiLSTM and a CRF (Peters et al. 2018, §4). Spans are learned as BIOES,
decoded under its rules and written in the scheme of the training tags, so predictions are valid.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from elmokit.blocks import blocks
from elmokit.encoding import Encoder
from elmokit.errors import ConfigError, InputError, needing
from elmokit.tasks.saved import SavedHead, loaded_head, save_head
from elmokit.tasks.tagging.bioes import SCHEMES, Scheme, TagMetrics, Tags, TagSet, check_tags, tag_metrics
from elmokit.tasks.tagging.cache import (
    SNAPSHOT,
    Vectors,
    Words,
    by_sentence,
    cached_layers,
    encode_layers,
    mean_and_scale,
    run_folder,
)
from elmokit.text.inputs import checked_texts, checked_words

if TYPE_CHECKING:
    from elmokit.fitting import EpochReport
    from elmokit.tasks.tagging.network import TagNetwork

FILES = "tagger"
_SETTINGS = ("layers", "hidden_width", "dropout", "learning_rate", "batch_size", "epochs", "patience", "seed")


@dataclass(eq=False, repr=False)
class Tagger:
    """Tags words with a BiLSTM-CRF on frozen ELMo vectors. The defaults suit a few thousand sentences.

    Args:
        elmo: the model that provides the vectors.
        layers: "learned" for a learned mix of all layers, or the number of one.
        scheme: how tags mark spans: "IOB1", "IOB2" (BIO) or "BIOES"; None if they mark none, as parts of speech;
            "auto" finds it.
        hidden_width: width of the LSTM in each direction.
        dropout: dropout before and after the BiLSTM.
        learning_rate: learning rate of AdamW at the start; it decays linearly to a tenth.
        batch_size: sentences per step.
        epochs: passes over the sentences at most.
        patience: epochs without a better score on the dev part after which training stops.
        seed: seed of weights, shuffling and dropout, and of the dev part if none is given.
        device: PyTorch device of the tagger, such as "cpu" or "cuda".

    Attributes:
        scheme_: scheme of the tags; None if they mark no spans.
        report_: the last `EpochReport` of training.

    Raises:
        MissingExtra: PyTorch is not installed.
        ConfigError: an argument out of range, or a layer that the model does not have.

    Example (`elmo` is any loaded model):
        ``Tagger(elmo).fit([["Ann", "sings"]] * 9, [["B-PER", "O"]] * 9).predict([["Bo", "sings"]])``
    """

    elmo: Encoder
    _: KW_ONLY
    layers: int | Literal["learned"] = "learned"
    scheme: Scheme | Literal["auto"] | None = "auto"
    hidden_width: int = 200
    dropout: float = 0.5
    learning_rate: float = 3e-3
    batch_size: int = 32
    epochs: int = 20
    patience: int = 4
    seed: int = 0
    device: str = "cpu"

    scheme_: Scheme | None = field(default=None, init=False)
    report_: EpochReport | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        with needing("torch", "torch", "tagging words"):
            import torch  # noqa: F401
        self._network: TagNetwork | None = None
        self._tag_set: TagSet
        n_layers, layers = self.elmo.config.n_layers, self.layers
        is_number = isinstance(layers, int) and not isinstance(layers, bool)
        if layers != "learned" and not (is_number and -n_layers <= int(layers) < n_layers):
            raise ConfigError(f"layers is {layers!r}; expected 'learned' or a layer's number, 0 to {n_layers - 1}.")
        check_tags([], self.scheme)
        for name in ("hidden_width", "batch_size", "epochs", "patience"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected an integer of at least 1.")
        if not self.learning_rate > 0 or not 0 <= self.dropout < 1:
            rates = f"learning_rate is {self.learning_rate}, dropout {self.dropout}"
            raise ConfigError(f"{rates}; expected > 0, and 0 ≤ and < 1.")

    @property
    def layer_weights_(self) -> tuple[float, ...]:
        """Weights of the layers in the learned mix, adding up to 1."""
        weights = self._checked_network().mix.weights.detach()
        return tuple(round(float(weight), 4) for weight in weights.softmax(0))

    def fit(
        self,
        sentences: Sequence[Words],
        tags: Tags,
        *,
        dev: tuple[Sequence[Words], Tags] | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        show_progress: bool | None = None,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> Tagger:
        """Train on sentences and their tags, and keep the weights of the best epoch.

        Args:
            sentences: n lists of words.
            tags: a tag for each word. Tags of other schemes are converted and invalid ones repaired, with a warning.
            dev: sentences and tags that choose the best epoch; None holds out a tenth of `sentences`.
            folder: where vectors and a snapshot are kept during training, so that an interrupted run can continue;
                both are removed at the end. None for a temporary folder.
            resume: whether to continue from the snapshot in `folder`, if there is one.
            show_progress: progress bar of encoding (see `Elmo.encode`).
            on_epoch: called after each epoch.

        Returns:
            itself.

        Raises:
            InputError: no sentences, different numbers of tags and words, the same tag everywhere.
            TrainingError: a snapshot in `folder` while `resume` is False, or one of another run.
            OutputError: not enough room for the vectors.
        """
        from elmokit.fitting import FitOptions, fit
        from elmokit.tasks.tagging.network import batches

        train, scheme = _checked(sentences, tags, self.scheme)
        train, judge = _split(train, self.seed) if dev is None else (train, _checked(*dev, scheme)[0])
        if not train.words or not judge.words:
            purpose = "choose the best epoch by" if train.words else "train on"
            raise InputError(f"there are no sentences with words to {purpose}.")
        tag_set = TagSet.of(train.tags, scheme)
        numbers, lengths = [tag_set.encode(own) for own in train.tags], np.array([len(words) for words in train.words])
        options = FitOptions(
            n_epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            clip_norm=5.0,
            seed=self.seed,
        )
        data = [{**part._asdict(), "scheme": scheme} for part in (train, judge)]
        identity = json.dumps([self.elmo.fingerprint, self._settings(), *data])
        with run_folder(folder, resume=resume) as run:
            cache = partial(cached_layers, run, self.elmo, layers=self._numbers, show_progress=show_progress)
            stored, judged = cache(train.words), by_sentence(cache(judge.words), judge.words)
            vectors = by_sentence(stored, train.words)

            def score(network: TagNetwork) -> float:
                parts = blocks(judged, 1024)
                predicted = [tag_set.decode(own) for part in parts for own in network.best(part, tag_set.allowed())]
                return tag_metrics(judge.tags, predicted, mark_spans=scheme is not None).main

            self._network, self.report_ = fit(
                lambda: self._new_network(len(tag_set.names), mean_and_scale(stored)),
                options,
                batches=lambda rng: list(batches(lengths, self.batch_size, rng)),
                loss=lambda network, rows: network([vectors[i] for i in rows], [numbers[i] for i in rows]),
                score=score,
                snapshot=run / SNAPSHOT,
                identity=hashlib.sha256(identity.encode()).hexdigest(),
                on_epoch=on_epoch,
            )
        self._tag_set, self.scheme_ = tag_set, scheme
        return self

    @property
    def _numbers(self) -> list[int]:
        return list(range(self.elmo.config.n_layers)) if self.layers == "learned" else [int(self.layers)]

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def _new_network(self, n_tags: int, standard: tuple[Vectors, Vectors] | None = None) -> TagNetwork:
        """A network for frozen layers; `standard` are the mean and the scale that it standardises them by."""
        import torch

        from elmokit.tasks.tagging.network import TagNetwork

        sizes: dict[str, Any] = {"hidden_width": self.hidden_width, "dropout": self.dropout}
        network = TagNetwork(len(self._numbers), self.elmo.config.dim, n_tags, **sizes)
        if standard is not None:
            for own, array in zip((network.mean, network.scale), standard, strict=True):
                own.copy_(torch.from_numpy(array))
        return network.to(self.device)

    def predict(self, sentences: Sequence[Words], *, show_progress: bool | None = None) -> list[list[str]]:
        """Tag n `sentences`, lists of words: a tag for each word, in the scheme of the training tags.

        The tags of a sentence do not depend on the others. TextError for what is no sentence; `show_progress` is that
        of `Elmo.encode`.
        """
        network, tag_set, words = self._checked_network(), self._tag_set, word_lists(sentences)
        vectors, rules = encode_layers(self.elmo, words, self._numbers, show_progress=show_progress), tag_set.allowed()
        parts = blocks(vectors, 4096, weigh=lambda own: own.shape[1], most=8192)
        return [tag_set.decode(tags) for part in parts for tags in network.best(part, rules)]

    def evaluate(self, sentences: Sequence[Words], tags: Tags, *, show_progress: bool | None = None) -> TagMetrics:
        """Compare predictions for `sentences` with the true `tags`, as seqeval does; `print` shows a table.

        Accuracy, and precision, recall and F1 of spans. Invalid tags are not repaired; `show_progress` is that of
        `Elmo.encode`.
        """
        self._checked_network()
        words = word_lists(sentences, tags)
        check_tags(tags, None)
        return tag_metrics(tags, self.predict(words, show_progress=show_progress), mark_spans=self.scheme_ is not None)

    def score(self, sentences: Sequence[Words], tags: Tags) -> float:
        """F1 of all spans, or the accuracy where tags mark none, of `sentences` with their true `tags`."""
        return self.evaluate(sentences, tags, show_progress=False).main

    def _checked_network(self) -> TagNetwork:
        if self._network is None:
            raise InputError("the tagger is not fitted yet: call fit first, or load one.")
        return self._network

    def save(self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None) -> None:
        """Write `tagger.json` and `tagger.safetensors`, no pickle, to a `folder`, which is created.

        `metadata` are JSON values that are stored with it; the commands store the columns.
        """
        arrays = {name: tensor.cpu().numpy() for name, tensor in self._checked_network().state_dict().items()}
        config = {**self._settings(), "scheme": self.scheme_, "tags": list(self._tag_set.names)}
        config |= {"report": asdict(self.report_) if self.report_ else None, "metadata": dict(metadata or {})}
        save_head(folder, FILES, model=self.elmo, config=config, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: Encoder | None = None, *, device: str = "cpu") -> Tagger:
        """Read what `save` wrote to a `folder`; `elmo` None loads the recorded model, if the folder may name it.

        `device` is that of `Tagger`. MissingFile without a tagger; CheckpointError for damaged files, or another model
        than in training.
        """
        with loaded_head(folder, FILES, elmo) as (head, model):
            return cls._restored(head, model, device)

    @classmethod
    def _restored(cls, head: SavedHead, elmo: Encoder, device: str) -> Tagger:
        config = head.config
        names, scheme, report = config["tags"], config["scheme"], config["report"]
        distinct = isinstance(names, list) and len({*names}) == len(names) > 1
        if scheme not in (*SCHEMES, None) or not distinct:
            raise ValueError("no list of distinct tags with their scheme")
        check_tags([names], scheme)
        tagger = cls(elmo, scheme=scheme, device=device, **{name: config[name] for name in _SETTINGS})
        from elmokit.fitting import EpochReport
        from elmokit.tasks.torch_parts import restore_weights

        hidden = tagger.hidden_width
        head.array("lstm.weight_hh_l0", 4 * hidden, hidden)  # before a network of that size takes memory
        head.array("crf.step", len(names), len(names))
        network = restore_weights(tagger._new_network(len(names)), head)
        if not bool((network.scale > 0).all()):
            raise ValueError("the scales of the layers are not positive")
        tagger._network, tagger._tag_set, tagger.scheme_ = network, TagSet(tuple(names), scheme), scheme
        tagger.report_ = EpochReport(**report) if report else None
        return tagger


class _Tagged(NamedTuple):
    """Words of sentences that have some, and a valid tag for each word."""

    words: list[list[str]]
    tags: list[list[str]]

    def take(self, rows: Iterable[int]) -> _Tagged:
        return _Tagged(*([part[i] for i in rows] for part in self))


def _checked(
    sentences: Sequence[Words], tags: Tags, scheme: Scheme | Literal["auto"] | None
) -> tuple[_Tagged, Scheme | None]:
    """Check and convert sentences; a warning says what was converted or repaired."""
    words, checked = word_lists(sentences, tags), check_tags(tags, scheme)
    if checked.remark:
        warnings.warn(checked.remark, stacklevel=3)
    return _Tagged(words, checked.tags).take([i for i, one in enumerate(words) if one]), checked.scheme


def _split(given: _Tagged, seed: int) -> tuple[_Tagged, _Tagged]:
    """Nine tenths to train on, and a tenth that chooses the best epoch."""
    n = len(given.words)
    if n < 2:
        raise InputError(f"{n} sentences with words; at least two are needed, one to choose the best epoch by.")
    order, n_dev = np.random.RandomState(seed).permutation(n).tolist(), -(-n // 10)
    return given.take(order[n_dev:]), given.take(order[:n_dev])


def word_lists(sentences: Sequence[Words], tags: Tags | None = None) -> list[list[str]]:
    """Sentences as lists of words; TextError for other things, InputError unless there is a tag for each word."""
    words = [checked_words(sentence, i) for i, sentence in enumerate(checked_texts(sentences))]
    if tags is not None and len(words) != len(tags):
        raise InputError(f"{len(words)} sentences but tags of {len(tags)}; expected as many.")
    for i, (of_words, of_tags) in enumerate(zip(words, words if tags is None else tags, strict=True)):
        if len(of_words) != len(of_tags):
            raise InputError(f"sentence {i} has {len(of_words)} words but {len(of_tags)} tags.")
    return words
