"""Tiny checkpoints that TensorFlow itself wrote: training checkpoints and a TF-Hub module of make_tiny's variants.

Needs TensorFlow 2 and h5py (an environment of its own): `python make_tensorflow.py` writes `tiny_tf/`.
Variables have the names of bilm-tf's `training.py` and of the published module's log.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

sys.path.insert(0, str(Path(__file__).parent))
import make_tiny

HERE = Path(__file__).parent / "tiny_tf"
LEAVES = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}


def cell_name(dataset, pattern, single):
    """A variable's name for a dataset of the published format."""
    match = re.fullmatch(r"RNN_(\d)/RNN/(?:MultiRNNCell/Cell(\d+)/)?LSTMCell/(\w+)", dataset)
    if match is None:
        return dataset
    return (single if match[2] is None else pattern).format(d=match[1], l=match[2], leaf=LEAVES[match[3]])


def softmax_arrays(P):
    rng = np.random.default_rng(99)
    V = len(make_tiny.WORDS)
    return {"softmax/W": rng.standard_normal((V, P)), "softmax/b": rng.standard_normal(V)}


def arrays_of(variant):
    with tempfile.TemporaryDirectory() as folder:
        return make_tiny.make(variant, folder)


def variables(arrays, prefix):
    return {name: tf.Variable(x.astype(np.float32), name=prefix + name) for name, x in arrays.items()}


def write_training_checkpoint(variant, folder):
    """What `bilm.training.train` leaves behind, Adagrad slots included."""
    options, arrays = arrays_of(variant)
    pattern = "RNN_{d}/rnn/multi_rnn_cell/cell_{l}/lstm_cell/{leaf}"
    named = {cell_name(n, pattern, "RNN_{d}/rnn/lstm_cell/{leaf}"): x for n, x in arrays.items()}
    named |= softmax_arrays(options["lstm"]["projection_dim"])
    folder.mkdir(parents=True)
    with tf.Graph().as_default(), tf.Session() as session:
        kept = variables(named, "lm/")
        tf.train.get_or_create_global_step()
        tf.get_variable("train_perplexity", initializer=17.5)
        loss = tf.add_n([tf.reduce_sum(v) for v in kept.values()])
        tf.train.AdagradOptimizer(0.2, initial_accumulator_value=1.0).minimize(loss)
        session.run(tf.global_variables_initializer())
        session.run(tf.train.get_global_step().assign(1234))
        tf.train.Saver().save(session, str(folder / "model.ckpt"), global_step=1234, write_meta_graph=False)
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/someone/run/model.ckpt-1234"\n')
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "vocab.txt").write_text("\n".join(make_tiny.WORDS) + "\n", encoding="utf-8")


def write_hub_module(variant, folder):
    """A SavedModel with the published module's names; its graph only hands a number through."""
    _, arrays = arrays_of(variant)
    pattern = "RNN_{d}/RNN/MultiRNNCell/Cell{l}/rnn/lstm_cell/{leaf}"
    named = {cell_name(n, pattern, "RNN_{d}/RNN/rnn/lstm_cell/{leaf}"): x for n, x in arrays.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        variables(named, "bilm/")
        variables({"weights": np.array([0.3, -0.2, 0.5]), "scaling": np.array(1.7)}, "aggregation/")
        tf.Variable(np.zeros((2, 3), np.float32), name="bilm/state_buffer")
        session.run(tf.global_variables_initializer())
        x = tf.placeholder(tf.float32, [], name="x")
        tf.saved_model.simple_save(session, str(folder), {"x": x}, {"y": tf.identity(x)})
    pb = folder / "saved_model.pb"
    graph = SavedModel.FromString(pb.read_bytes())
    del graph.meta_graphs[0].graph_def.node[:]  # nothing reads the graph: 75 kB less in the repository
    graph.meta_graphs[0].meta_info_def.Clear()
    pb.write_bytes(graph.SerializeToString())


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    write_training_checkpoint("skip", HERE / "training")
    write_training_checkpoint("one_layer_short_names", HERE / "training_one_layer")
    write_hub_module("skip", HERE / "hub")


if __name__ == "__main__":
    main()
