"""`Tagger`: words → tags (names, chunks, parts of speech) on frozen ELMo vectors, as ELMo was first used.

A learned mix of the layers of a frozen biLM, a BiLSTM and a CRF (Peters et al. 2018, §4). Spans are learned as BIOES,
decoded under its rules and written in the scheme of the training tags, so predictions are valid.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from elmokit.blocks import blocks
from elmokit.encoding import Encoder
from elmokit.errors import ConfigError, InputError, needing
from elmokit.files import make_folder
from elmokit.tasks.saved import SavedHead, loaded_head, save_head
from elmokit.tasks.tagging.bioes import SCHEMES, Scheme, TagMetrics, Tags, TagSet, check_tags, tag_metrics
from elmokit.tasks.tagging.cache import (
    Vectors,
    Words,
    by_sentence,
    cached_layers,
    encode_layers,
    mean_and_scale,
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
        scheme: how tags mark spans: "IOB1", "IOB2" (BIO) or "BIOES"; None for none (parts of speech); "auto" finds it.
        hidden_width, dropout: width of the LSTM in each direction; dropout before and after it.
        learning_rate: learning rate of AdamW at the start; it decays linearly to a tenth.
        batch_size: sentences per step.
        epochs, patience: passes over the sentences at most, and without a better score until training stops.
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
            from elmokit.fitting import FitOptions
        self._network: TagNetwork | None = None
        self._tag_set: TagSet
        self._options = FitOptions(
            n_epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            clip_norm=5.0,
            seed=self.seed,
        )
        n_layers = self.elmo.config.n_layers
        if self.layers not in ("learned", *range(-n_layers, n_layers)):
            raise ConfigError(
                f"layers is {self.layers!r}; expected 'learned' or a layer's number, 0 to {n_layers - 1}."
            )
        check_tags([], self.scheme)
        sizes = f"hidden_width is {self.hidden_width}, batch_size {self.batch_size}, dropout {self.dropout}"
        if self.hidden_width < 1 or self.batch_size < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(f"{sizes}; expected 1 or more, 1 or more, and 0 ≤ and < 1.")

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
        show_progress: bool | None = None,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> Tagger:
        """Train on n `sentences`, lists of words, with a tag for each word, and keep the weights of the best epoch.

        `tags` of other schemes are converted and invalid ones repaired, with a warning. `dev` are sentences and tags
        that choose the best epoch; None holds out a tenth. `folder` holds a temporary file of the vectors and the
        snapshot of the last epoch, from which an interrupted `fit` with the same arguments continues
        (`elmokit.fitting.remove_snapshots` removes it); None for the system's temporary folder and no snapshot.
        `on_epoch` is called after each epoch; `show_progress` is that of `Elmo.encode`. Returns itself.

        Raises:
            InputError: no sentences, different numbers of tags and words, the same tag everywhere.
            OutputError: not enough room for the vectors.
            TrainingError: the snapshot is damaged.
        """
        from elmokit.fitting import fit
        from elmokit.tasks.tagging.network import batches

        given, scheme = _checked(sentences, tags, self.scheme)
        order, n_dev = np.random.RandomState(self.seed).permutation(len(given)), -(-len(given) // 10)
        judge = [given[i] for i in order[:n_dev]] if dev is None else _checked(*dev, scheme)[0]
        train = [given[i] for i in order[n_dev:]] if dev is None else given
        if not train or not judge:
            needed = "some are needed to learn from, and others to choose the best epoch by"
            raise InputError(f"{len(given)} sentences with words; {needed}.")
        (words, true), (judge_words, judge_tags) = (zip(*part, strict=True) for part in (train, judge))
        tag_set = TagSet.of(true, scheme)
        numbers, lengths = [tag_set.encode(own) for own in true], np.array(list(map(len, words)))
        folder = None if folder is None else make_folder(folder)
        identity = json.dumps([self.elmo.fingerprint, self._settings(), scheme, train, judge])
        cache = partial(cached_layers, self.elmo, layers=self._numbers, folder=folder, show_progress=show_progress)
        stored, judged = cache(words), by_sentence(cache(judge_words), judge_words)
        vectors = by_sentence(stored, words)

        def score(network: TagNetwork) -> float:
            parts = blocks(judged, 1024)
            predicted = [tag_set.decode(own) for part in parts for own in network.best(part, tag_set.allowed())]
            return tag_metrics(judge_tags, predicted, mark_spans=scheme is not None).main

        self._network, self.report_ = fit(
            lambda: self._new_network(len(tag_set.names), mean_and_scale(stored)),
            self._options,
            batches=lambda rng: list(batches(lengths, self.batch_size, rng)),
            loss=lambda network, rows: network([vectors[i] for i in rows], [numbers[i] for i in rows]),
            score=score,
            snapshots=folder,
            identity=identity.encode(),
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

        TextError for what is no sentence; `show_progress` is that of `Elmo.encode`.
        """
        network, tag_set, words = self._checked_network(), self._tag_set, word_lists(sentences)
        vectors, rules = encode_layers(self.elmo, words, self._numbers, show_progress=show_progress), tag_set.allowed()
        parts = blocks(vectors, 4096, weigh=lambda own: own.shape[1], most=8192)
        return [tag_set.decode(tags) for part in parts for tags in network.best(part, rules)]

    def evaluate(self, sentences: Sequence[Words], tags: Tags, *, show_progress: bool | None = None) -> TagMetrics:
        """Compare predictions for `sentences` with the true `tags`, which are not repaired; `print` shows a table.

        Accuracy, and precision, recall and F1 of spans, as seqeval counts them; `show_progress` as in `Elmo.encode`.
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
        """Write `tagger.json` and `tagger.safetensors`, no pickle, and JSON values (`metadata`) to a new `folder`."""
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


def _checked(
    sentences: Sequence[Words], tags: Tags, scheme: Scheme | Literal["auto"] | None
) -> tuple[list[tuple[list[str], list[str]]], Scheme | None]:
    """The words and valid tags of each sentence that has some; a warning says what was converted or repaired."""
    words, checked = word_lists(sentences, tags), check_tags(tags, scheme)
    if checked.remark:
        warnings.warn(checked.remark, stacklevel=3)
    return [pair for pair in zip(words, checked.tags, strict=True) if pair[0]], checked.scheme


def word_lists(sentences: Sequence[Words], tags: Tags | None = None) -> list[list[str]]:
    """Sentences as lists of words; TextError for other things, InputError unless there is a tag for each word."""
    words = [checked_words(sentence, i) for i, sentence in enumerate(checked_texts(sentences))]
    if tags is not None and len(words) != len(tags):
        raise InputError(f"{len(words)} sentences but tags of {len(tags)}; expected as many.")
    for i, (of_words, of_tags) in enumerate(zip(words, words if tags is None else tags, strict=True)):
        if len(of_words) != len(of_tags):
            raise InputError(f"sentence {i} has {len(of_words)} words but {len(of_tags)} tags.")
    return words
