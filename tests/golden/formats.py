"""One tiny checkpoint of every format, for the tests that all formats share."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from golden import make_tiny, make_torch

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """A format's sample.

    `make` puts it into an empty folder and returns what a user would give to `load`; `variant` is the variant of
    make_tiny whose arrays it holds, whatever the format (None: ELMoForManyLangs has its own); `weights` is its file of
    weights, below the folder.
    """

    format: str
    make: Callable[[Path], Path]
    variant: str | None
    weights: str


def _hdf5(variant):
    def make(folder):
        make_tiny.make(variant, folder)
        return folder

    return make


def _copy(name):
    def make(folder):
        shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
        return folder

    return make


def _native(folder):
    from elmokit.checkpoints import load, save

    make_tiny.make("skip", folder / "old")
    save(load(folder / "old"), folder / "new")
    return folder / "new"


def _nlpl_zip(folder):
    make_tiny.make("plain", folder / "in", weights="model.hdf5")
    (folder / "in" / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n", encoding="utf-8")
    (folder / "in" / "meta.json").write_text("{}")
    with zipfile.ZipFile(folder / "11.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "in").iterdir()):
            archive.write(path, path.name)
    return folder / "11.zip"


def _seqvec(folder):
    make_tiny.make("skip", folder / "uniref50_v2")
    return Path(shutil.make_archive(str(folder / "seqvec"), "zip", folder, "uniref50_v2"))


def _manylangs_zip(folder):
    return Path(shutil.make_archive(str(folder / "144"), "zip", make_torch.make_manylangs(folder / "in")))


def _tar(name):
    def make(folder):
        return Path(shutil.make_archive(str(folder / "module"), "gztar", HERE / name))

    return make


SAMPLES = {
    "native": Sample("native", _native, "skip", "new/model.safetensors"),
    "allennlp": Sample("allennlp", _hdf5("plain"), "plain", "weights.hdf5"),
    "allennlp_word_input": Sample("allennlp", _hdf5("word_input"), "word_input", "weights.hdf5"),
    "nlpl_zip": Sample("allennlp", _nlpl_zip, "plain", "11.zip"),
    "bilm_tf": Sample("bilm-tf", _copy("tiny_tf/training"), "skip", "model.ckpt-1234.data-00000-of-00001"),
    "bilm_tf_one_layer": Sample(
        "bilm-tf", _copy("tiny_tf/training_one_layer"), "one_layer_short_names", "model.ckpt-1234.index"
    ),
    "tfhub": Sample("tfhub", _copy("tiny_tf/hub"), "skip", "variables/variables.data-00000-of-00001"),
    "seqvec_zip": Sample("allennlp", _seqvec, "skip", "seqvec.zip"),
    "manylangs": Sample("manylangs", make_torch.make_manylangs, None, "encoder.pkl"),
    "manylangs_zip": Sample("manylangs", _manylangs_zip, None, "144.zip"),
    "allennlp_archive": Sample("allennlp-archive", make_torch.make_archive, "skip", "model.tar.gz"),
    "tfhub_tar": Sample("tfhub", _tar("tiny_tf/hub"), "skip", "module.tar.gz"),
}


def expected(sample, folder):
    """Sentences and the reference's layers of each, for a sample's arrays."""
    if sample.variant is None:
        return make_torch.SENTENCES, make_torch.manylangs_vectors()
    options, arrays = make_tiny.make(sample.variant, folder)
    return make_tiny.sentences(sample.variant), make_tiny.vectors(sample.variant, options, arrays)
