"""Words → tags: names, chunks, parts of speech, learned on frozen ELMo features (extra `torch`).

The vectors of all layers of a frozen biLM, a learned mix of them, a BiLSTM and a CRF: the way ELMo was first used
(Peters et al. 2018, §4). Tags that mark spans are learned as BIOES, in which the ends of spans have tags of their own,
decoded under its rules, and given back in the scheme that they came in; so what is predicted is always valid.
A saved tagger is two files, JSON and safetensors, and knows its model.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from elmokit.errors import CheckpointError, ConfigError, InputError, MissingExtra, OutputError, TrainingError
from elmokit.tasks.bio import Scheme, check_tags
from elmokit.tasks.entities import TagScores, score_tags
from elmokit.tasks.saved_head import check_model, load_head, save_head
from elmokit.tasks.split import held_out_split
from elmokit.tasks.tag_codec import TagCodec
from elmokit.tasks.tag_options import TagOptions, TagReport
from elmokit.tasks.vector_store import OnProgress, VectorStore, WordEncoder, encode_layers, probe_of
from elmokit.text.inputs import checked_texts, checked_words

if TYPE_CHECKING:
    from elmokit.tasks.crf import Constraints
    from elmokit.tasks.tag_network import TagNetwork

Words = Sequence[str]
Tags = Sequence[Sequence[str]]

_FILES = "tag"
_SNAPSHOT = "snapshot.safetensors"
_BLOCK = 256
_DEV_SHARE = 0.1


@dataclass(frozen=True)
class TaggedSentences:
    """Sentences with a tag for each word.

    Args:
        words: of each sentence.
        tags: as many for each.
    """

    words: list[list[str]]
    tags: list[list[str]]

    def take(self, rows: Iterable[int]) -> TaggedSentences:
        """Some of the sentences, by number."""
        rows = list(rows)
        return TaggedSentences([self.words[row] for row in rows], [self.tags[row] for row in rows])

    def with_words(self) -> TaggedSentences:
        """Those that are not empty."""
        return self.take(row for row, words in enumerate(self.words) if words)


@dataclass(frozen=True, eq=False)
class _Learned:
    """A network, what its numbers mean, and what they may be."""

    network: TagNetwork
    codec: TagCodec
    constraints: Constraints | None


class Tagger:
    """A tagger of words.

    Args:
        elmo: the model that the features come from.
        layers: "learned" for a learned mix of all, or the number of one.
        scheme: how tags mark spans: "IOB1", "IOB2" (BIO), "BIOES"; None where they mark none, as parts of speech;
            "auto" to find it.
        options: how to train.
        device: where the head runs, as PyTorch names it.

    Attributes:
        scheme_: the scheme of the tags; None where they mark no spans. Known after `fit`.
        report_: the last report of training.

    Raises:
        MissingExtra: PyTorch is not installed.
        ConfigError: a layer that the model does not have.

    Example (`elmo` is any loaded model):
        ``Tagger(elmo).fit([["Ann", "sings"]] * 9, [["B-PER", "O"]] * 9).predict([["Bo", "sings"]])``
    """

    def __init__(
        self,
        elmo: WordEncoder,
        *,
        layers: int | Literal["learned"] = "learned",
        scheme: Scheme | Literal["auto"] | None = "auto",
        options: TagOptions | None = None,
        device: str = "cpu",
    ) -> None:
        _check_torch()
        n_layers = elmo.config.n_layers
        if layers != "learned" and (not isinstance(layers, int) or not -n_layers <= layers < n_layers):
            raise ConfigError(f"layers is {layers!r}; expected 'learned' or a layer's number, 0 to {n_layers - 1}.")
        check_tags([], scheme)
        self.elmo = elmo
        self.layers: int | Literal["learned"] = layers
        self.scheme: Scheme | Literal["auto"] | None = scheme
        self.options = options or TagOptions()
        self.device = device
        self.scheme_: Scheme | None = None
        self.report_: TagReport | None = None
        self._learned: _Learned | None = None

    @property
    def _layer_numbers(self) -> list[int]:
        return list(range(self.elmo.config.n_layers)) if self.layers == "learned" else [self.layers]

    @property
    def layer_shares_(self) -> tuple[float, ...]:
        """The shares of the layers in the mix that was learned, adding up to 1; known after `fit`."""
        weights = self._check_fitted().network.mix.weights.detach()
        return tuple(round(float(share), 4) for share in weights.softmax(0))

    def fit(
        self,
        sentences: Sequence[Words],
        tags: Tags,
        *,
        dev: tuple[Sequence[Words], Tags] | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        on_progress: OnProgress | None = None,
        on_report: Callable[[TagReport], None] | None = None,
    ) -> Tagger:
        """Learn from sentences and their tags.

        Args:
            sentences: n lists of words.
            tags: a tag for each word. Tags that break their scheme's rules are mended, with a warning.
            dev: sentences and tags by which the best epoch is chosen; None holds out a tenth of `sentences`.
            folder: where the vectors and a snapshot lie while training, so that a run that was stopped can go on;
                emptied of both at the end. None for a temporary folder.
            resume: whether to go on from the snapshot in `folder`, if there is one.
            on_progress: called with (sentences encoded, sentences in all).
            on_report: called after each epoch.

        Returns:
            itself, with the weights of the best epoch.

        Raises:
            InputError: no sentences, tags and words that differ in number, all tags the same.
            TrainingError: a snapshot in `folder` while `resume` is False, or one of another run.
            OutputError: no room for the vectors.
        """
        from elmokit.tasks.tag_training import Lesson, TagTrainer

        checked = check_tags(tags, self.scheme)
        if checked.remark:
            warnings.warn(checked.remark, stacklevel=2)
        given = TaggedSentences(_sentences(sentences, tags), checked.tags).with_words()
        if dev is None:
            learn, judge_on = _held_out(given, self.options.seed)
        else:
            learn = given
            judge_on = TaggedSentences(_sentences(*dev), check_tags(dev[1], checked.scheme).tags).with_words()
        _check_not_empty(learn, judge_on)
        codec = TagCodec.of(learn.tags, checked.scheme)
        with _run_folder(folder, resume=resume) as run:
            stores = self._stores(run, learn.words, judge_on.words, on_progress)
            lesson = Lesson(
                store=stores[0],
                tags=[codec.encode(of_one) for of_one in learn.tags],
                dev=stores[1],
                judge=lambda found: _figure(codec, judge_on.tags, found),
                constraints=codec.constraints(),
            )
            trainer = TagTrainer(
                lesson,
                self.options,
                len(codec.names),
                snapshot=run / _SNAPSHOT,
                identity=_identity(self.options, learn, judge_on, probe_of(self.elmo)),
                device=self.device,
            )
            self.report_ = trainer.run(on_report)
        self.scheme_ = checked.scheme
        self._learned = _Learned(trainer.network, codec, lesson.constraints)
        return self

    def _stores(
        self, run: Path, learn: Sequence[Words], judge_on: Sequence[Words], on_progress: OnProgress | None
    ) -> tuple[VectorStore, VectorStore]:
        total = len(learn) + len(judge_on)

        def behind(done: int) -> OnProgress | None:
            return None if on_progress is None else lambda place, _: on_progress(done + place, total)

        layers = self._layer_numbers
        first = VectorStore.open(run / "train.f16", self.elmo, learn, layers=layers, on_progress=behind(0))
        second = VectorStore.open(run / "dev.f16", self.elmo, judge_on, layers=layers, on_progress=behind(len(learn)))
        return first, second

    def predict(self, sentences: Sequence[Words], *, on_progress: OnProgress | None = None) -> list[list[str]]:
        """The tags of sentences; a sentence's tags do not depend on the others.

        Args:
            sentences: n lists of words.
            on_progress: called with (sentences done, sentences in all).

        Returns:
            n lists with a tag for each word, in the scheme of the tags that were learned from.

        Raises:
            InputError: nothing learned yet.
            TextError: a sentence that is no list of words.
        """
        self._check_fitted()
        words = [checked_words(sentence, place) for place, sentence in enumerate(checked_texts(sentences))]
        found: list[list[str]] = []
        for start in range(0, len(words), _BLOCK):
            found += self._predict_block(words[start : start + _BLOCK])
            if on_progress is not None:
                on_progress(len(found), len(words))
        return found

    def _predict_block(self, sentences: list[list[str]]) -> list[list[str]]:
        import torch

        from elmokit.tasks.tag_training import batches, best_tags

        learned, device = self._check_fitted(), torch.device(self.device)
        texts = list(encode_layers(self.elmo, sentences, self._layer_numbers))
        found: list[list[str]] = [[] for _ in sentences]
        lengths = np.array([len(words) for words in sentences], dtype=np.int64)
        for rows in batches(lengths, self.options.batch_size, None):
            best = best_tags(learned.network, [texts[row] for row in rows], learned.constraints, device)
            for row, numbers in zip(rows, best, strict=True):
                found[row] = learned.codec.decode(numbers)
        return found

    def evaluate(self, sentences: Sequence[Words], tags: Tags, *, on_progress: OnProgress | None = None) -> TagScores:
        """Scores on sentences whose tags are known.

        Args:
            sentences: n lists of words.
            tags: a tag for each word, as they are: what breaks rules is not mended.
            on_progress: called with (sentences done, sentences in all).

        Returns:
            accuracy, and F1 of spans by seqeval's definition.

        Raises:
            InputError: nothing learned yet, tags and words that differ in number.
        """
        self._check_fitted()
        words = _sentences(sentences, tags)
        predicted = self.predict(words, on_progress=on_progress)
        return score_tags(tags, predicted, mark_spans=self.scheme_ is not None)

    def _check_fitted(self) -> _Learned:
        if self._learned is None:
            raise InputError("the tagger has learned nothing yet: call fit first, or load one.")
        return self._learned

    def save(self, folder: str | Path, *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the tagger: `tag.json` and `tag.safetensors`, no pickle.

        Args:
            folder: where to; made if it does not exist.
            facts: kept beside it, as JSON: the commands keep the columns here.

        Raises:
            InputError: nothing learned yet.
            OutputError: the folder can't be written.
        """
        learned = self._check_fitted()
        config = {
            "layers": self.layers,
            "scheme": learned.codec.scheme,
            "tags": list(learned.codec.names),
            "options": asdict(self.options),
            "report": asdict(self.report_) if self.report_ is not None else None,
            "facts": dict(facts or {}),
        }
        arrays = {name: tensor.cpu().numpy() for name, tensor in learned.network.state_dict().items()}
        save_head(folder, _FILES, model=self.elmo, probe=probe_of(self.elmo), config=config, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path, elmo: WordEncoder, *, device: str = "cpu") -> Tagger:
        """Read a tagger that `save` wrote.

        Args:
            folder: where it lies.
            elmo: the model it was made with.
            device: where the head runs.

        Returns:
            the tagger, ready to predict.

        Raises:
            MissingFile: no tagger there.
            CheckpointError: damaged files, or another model than it was made with.
            MissingExtra: PyTorch is not installed.
        """
        _check_torch()
        head = load_head(folder, _FILES)
        check_model(head, elmo, probe_of(elmo))
        config = head.config
        options = TagOptions(**config["options"])
        made = cls(elmo, layers=config["layers"], scheme=config["scheme"], options=options, device=device)
        codec = TagCodec(tuple(config["tags"]), config["scheme"])
        network = _network(head.arrays, len(codec.names), options, folder)
        made._learned = _Learned(network.to(device).eval(), codec, codec.constraints())
        made.scheme_ = config["scheme"]
        made.report_ = TagReport(**config["report"]) if config["report"] else None
        return made


def _check_torch() -> None:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", "tagging words") from None
    assert torch


def _sentences(sentences: Sequence[Words], tags: Tags) -> list[list[str]]:
    words = [checked_words(sentence, place) for place, sentence in enumerate(checked_texts(sentences))]
    if len(words) != len(tags):
        raise InputError(f"{len(words)} sentences but tags of {len(tags)}; expected as many.")
    for place, (one, of_one) in enumerate(zip(words, tags, strict=True)):
        if len(one) != len(of_one):
            raise InputError(f"sentence {place} has {len(one)} words but {len(of_one)} tags.")
    return words


def _held_out(given: TaggedSentences, seed: int) -> tuple[TaggedSentences, TaggedSentences]:
    """A tenth of the sentences to judge by, the others to learn from."""
    if len(given.words) < 2:
        raise InputError(f"{len(given.words)} sentences with words; it takes two at least, one to judge by.")
    learn, judge_on = held_out_split(len(given.words), test_size=_DEV_SHARE, seed=seed)
    return given.take(learn.tolist()), given.take(judge_on.tolist())


def _check_not_empty(learn: TaggedSentences, judge_on: TaggedSentences) -> None:
    for what, part in (("learn from", learn), ("judge by", judge_on)):
        if not part.words:
            raise InputError(f"there are no sentences with words to {what}.")


@contextmanager
def _run_folder(folder: str | Path | None, *, resume: bool) -> Iterator[Path]:
    """Where vectors and snapshot lie; both are removed when the training has ended well."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="elmokit-tag-") as temporary:
            yield Path(temporary)
        return
    run = Path(folder)
    if (run / _SNAPSHOT).is_file() and not resume:
        raise TrainingError(
            f"{run}: a training was stopped here. Go on with it (resume=True, --resume), or delete the folder."
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: the folder can't be made ({error.strerror}).") from error
    yield run
    for name in (_SNAPSHOT, "train.f16", "train.json", "dev.f16", "dev.json"):
        (run / name).unlink(missing_ok=True)
    if not any(run.iterdir()):
        run.rmdir()


def _figure(codec: TagCodec, truth: Tags, predicted: Sequence[Sequence[int]]) -> float:
    tags = [codec.decode(numbers) for numbers in predicted]
    return score_tags(truth, tags, mark_spans=codec.scheme is not None).figure


def _identity(
    options: TagOptions, learn: TaggedSentences, judge_on: TaggedSentences, probe: NDArray[np.float32]
) -> str:
    whole = json.dumps([asdict(options), asdict(learn), asdict(judge_on)])
    return hashlib.sha256(whole.encode() + probe.tobytes()).hexdigest()


def _network(arrays: Mapping[str, NDArray[Any]], n_tags: int, options: TagOptions, folder: str | Path) -> TagNetwork:
    import torch

    from elmokit.tasks.tag_network import TagNetwork

    n_layers, width = arrays["mean"].shape
    network = TagNetwork(
        n_layers,
        width,
        n_tags,
        hidden_width=options.hidden_width,
        n_lstm_layers=options.n_lstm_layers,
        dropout=options.dropout,
    )
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if name != "probe"}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: its two files do not fit together ({error}); save it again.") from None
    return network
