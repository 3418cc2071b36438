"""Fitted classifiers ↔ JSON and safetensors: the arrays of scikit-learn's estimators, set again when they are read."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import FeatureUnion, Pipeline

from elmokit import checkpoints
from elmokit.checkpoints import Checkpoint
from elmokit.encoding import Encoder, Encoding
from elmokit.errors import CheckpointError, InputError
from elmokit.files import checksum
from elmokit.tasks.classify.features import make_features, make_torch_head, restore_scaler
from elmokit.tasks.classify.logistic import linear, one_vs_rest
from elmokit.tasks.saved import Arrays, SavedHead, loaded_head, read_head_config, save_head

FILES = "classifier"
_BILM = "bilm"


def is_multi_label(folder: str | Path) -> bool:
    """Whether a folder holds a `MultiLabelClassifier`."""
    head = read_head_config(folder, FILES).get("head")
    return isinstance(head, dict) and head.get("kind") == "one-vs-rest"


def save_classifier(classifier: Any, folder: str | Path, *, metadata: dict[str, Any]) -> None:
    """Write a fitted classifier; see `TextClassifier.save`."""
    c, fitted, weight = classifier, classifier.pipeline_["head"], classifier.class_weight
    if c.features is not None:
        raise InputError("a baseline without ELMo's vectors can't be saved.")
    head: dict[str, Any] = {"kind": "one-vs-rest" if c.several else c.head_name, "join": c.join}
    if c.head_name == "logistic":
        head["C"] = list(c.C_.values()) if c.several else c.C_
        linears = fitted.estimators_ if c.several else [fitted]
        arrays = {name: np.concatenate([getattr(x, f"{name}_") for x in linears]) for name in ("coef", "intercept")}
        arrays = {**_feature_arrays(c.pipeline_["features"]), **arrays}
    else:
        arrays = {name: x for name, x in fitted.arrays().items() if not name.startswith("bilm.")}
    if c.head_name == "bilstm":
        head["over"] = fitted.over
    if c.head_name == "finetune":
        checkpoints.save(fitted.checkpoint(), Path(folder) / _BILM)
        head["bilm_sha256"] = checksum(Path(folder) / _BILM / "model.safetensors")
    config = {
        "encoding": c.encoding.to_dict(),
        "cleaning": list(c.cleaning),
        "head": head,
        "class_weight": weight if isinstance(weight, str | None) else [list(pair) for pair in weight.items()],
        "threshold": c.threshold,
        "positive": c.positive,
        "classes": c.classes_.tolist(),
        "metadata": metadata,
    }
    save_head(folder, FILES, model=c.elmo_, config=config, arrays=arrays)


def load_classifier(cls: Any, folder: str | Path, elmo: Encoder | None = None) -> Any:
    """Read a classifier; see `TextClassifier.load`."""
    several = is_multi_label(folder)
    if several != cls.several:
        kind, right = ("several labels", "MultiLabelClassifier") if several else ("one label", "TextClassifier")
        raise CheckpointError(f"{folder}: this classifier gives {kind} per text; load it with {right}.")
    with loaded_head(folder, FILES, elmo) as (saved, model):
        return _restored(cls, saved, model)


def _restored(cls: Any, saved: SavedHead, elmo: Any) -> Any:
    config, head, weight = saved.config, saved.config["head"], saved.config["class_weight"]
    classes = list(config["classes"])
    if len(classes) < (1 if cls.several else 2) or len(set(classes)) != len(classes):
        raise ValueError(f"{len(classes)} classes")
    if not all(isinstance(label, str | int | float) for label in classes):
        raise TypeError("a class is neither a string nor a number")
    options = {"cleaning": list(config["cleaning"]), "threshold": config["threshold"]}
    options["class_weight"] = dict(weight) if isinstance(weight, list) else weight
    if not cls.several:
        options |= {"head": head["kind"], "join": head["join"], "positive": config["positive"]}
    if isinstance(head.get("C"), float):
        options["C"] = head["C"]
    made = cls(elmo, encoding=Encoding.from_dict(config["encoding"]), **options)
    made.check()
    made.elmo_ = elmo
    made._set_classes(classes)
    if not cls.several and made.positive is not None and made.positive not in classes:
        raise ValueError(f"positive is {made.positive!r}, which is no class")
    features = make_features(made)
    if made.head_name == "logistic":
        _restore_features(features, saved, made)
        fitted = _restored_linear(saved, made)
    else:
        fitted = _restored_torch(saved, made)
    made.pipeline_ = Pipeline([("features", features), ("head", fitted)])
    return made


def _feature_arrays(features: Any) -> Arrays:
    """Scaling of the vectors; terms and weights of counted n-grams, if there are some."""
    if not isinstance(features, FeatureUnion):
        return {"mean": features["scale"].mean_, "scale": features["scale"].scale_}
    vectors, counts = (transformer for _, transformer in features.transformer_list)
    terms = "\n".join(counts.get_feature_names_out().tolist()).encode("utf-8", "surrogatepass")
    return {**_feature_arrays(vectors), "idf": counts.idf_, "terms": np.frombuffer(terms, np.uint8)}


def _restore_features(features: Any, saved: SavedHead, made: Any) -> None:
    """Set what the features had learned when they were saved."""
    vectors = features
    if isinstance(features, FeatureUnion):
        vectors, counts = (transformer for _, transformer in features.transformer_list)
        terms = saved.array("terms", None, kind="u").tobytes().decode("utf-8", "surrogatepass").split("\n")
        counts.set_params(vocabulary=terms).idf_ = saved.array("idf", len(terms))
    vectors["elmo"].fit([])
    restore_scaler(vectors["scale"], saved, made.elmo_.width(made.encoding))


def _restored_linear(saved: SavedHead, made: Any) -> Any:
    K, given = len(made.classes_), saved.config["head"]["C"]
    strengths = [float(C) for C in given] if isinstance(given, list) else [float(given)] * K  # 0.1 had one for all
    if len(strengths) != K or not all(0 < C < np.inf for C in strengths):
        raise ValueError(f"C is {given!r}; expected a positive number, or one per label")
    n_rows = K if made.several or K > 2 else 1
    width = made.elmo_.width(made.encoding) + (len(saved.array("idf", None)) if made.join else 0)
    coef, intercept = saved.array("coef", n_rows, width), saved.array("intercept", n_rows)
    if not made.several:
        return linear(coef, intercept, K, strengths[0])
    return one_vs_rest([linear(coef[k : k + 1], intercept[k : k + 1], 2, C) for k, C in enumerate(strengths)])


def _restored_torch(saved: SavedHead, made: Any) -> Any:
    fitted, head = make_torch_head(made, made.numbered_weights()), saved.config["head"]
    if made.head_name == "bilstm":
        fitted.set_params(over=head["over"])
    else:
        fitted.set_params(start=partial(_tuned, saved.path.parent / _BILM, head["bilm_sha256"]))
    return fitted.restore(saved, len(made.classes_), made.elmo_.config)


def _tuned(folder: Path, sha256: str) -> Checkpoint:
    """The biLM beside a head, if it is the one that was trained with it."""
    weights = folder / "model.safetensors"
    if not weights.is_file() or checksum(weights) != sha256:
        raise CheckpointError(f"{folder}: not the biLM that the head beside it was trained with; save it again.")
    return checkpoints.load(folder, with_softmax=False)
