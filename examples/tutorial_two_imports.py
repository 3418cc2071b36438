"""The well-known ELMo tutorial's own code (TensorFlow 1, TF-Hub), with nothing but its two imports changed.

    import tensorflow_hub as hub   →   from elmokit.compat import tfhub as hub
    import tensorflow as tf        →   from elmokit.compat import tensorflow as tf

It runs on the sample beside this file and the model inside the package, offline: `python tutorial_two_imports.py`.
With hub.Module("https://tfhub.dev/google/elmo/2", trainable=True), as in the tutorial, Google's weights are fetched.
New code is better off with `Elmo.load().encode(texts)`, whose means leave the padding out.
"""

import csv
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from elmokit.compat import tensorflow as tf
from elmokit.compat import tfhub as hub

with (Path(__file__).parent / "product_tweets.csv").open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
train = {
    "clean_tweet": np.array([row["tweet"].lower() for row in rows]),
    "label": np.array([int(row["label"]) for row in rows]),
}

elmo = hub.Module("default", trainable=True)

embeddings = elmo(["Roasted ants are a popular snack in Columbia"], signature="default", as_dict=True)["elmo"]
print(embeddings.shape)


def elmo_vectors(x):
    embeddings = elmo(x.tolist(), signature="default", as_dict=True)["elmo"]

    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(tf.tables_initializer())
        # return average of ELMo features
        return sess.run(tf.reduce_mean(embeddings, 1))


list_train = [train["clean_tweet"][i : i + 100] for i in range(0, train["clean_tweet"].shape[0], 100)]
elmo_train = [elmo_vectors(x) for x in list_train]
elmo_train_new = np.concatenate(elmo_train, axis=0)

xtrain, xvalid, ytrain, yvalid = train_test_split(elmo_train_new, train["label"], random_state=42, test_size=0.2)

lreg = LogisticRegression(max_iter=1000)
lreg.fit(xtrain, ytrain)
preds_valid = lreg.predict(xvalid)
print(f"F1 {f1_score(yvalid, preds_valid):.3f}")
