"""The models in tests/files: how they were made by earlier versions, and what they must give.

    python tests/old_files.py FOLDER NAME...     in a clone of that commit, with this file copied into it

writes NAME.npz, and NAME.json with what that version computed from it, floats as `float.hex`. 0b3cff1 wrote `frozen`,
a31b3d9 `classes`, `regression` and `parameters`, and ce653c5 `text`, whose history is text in the description and whose
layers have no count of their updates.
"""

import json
import sys
from pathlib import Path

import numpy as np

from nnjit import nn

SAMPLES = 24


def numbers(*shape):
    """Numbers in -2..2 that are exact in float32."""
    return ((np.arange(np.prod(shape)) * 7919 % 257 - 128) / 64).reshape(shape)


def dense(n_inputs, n_neurons, **more):
    """A layer whose initial weights are exact numbers, too."""
    layer = nn.Dense(n_inputs, n_neurons, rng=0, **more)
    layer.weights = numbers(n_inputs, n_neurons) / 4
    return layer


def classes():
    return [dense(4, 6, activation="relu", weight_regularizer_l2=0.01, bias_regularizer_l1=0.001),
            nn.Dropout(0.25, seed=3), dense(6, 3), nn.Softmax()], dict(
        loss=nn.CategoricalCrossentropy(label_smoothing=0.125, class_weights={0: 1, 1: 2, 2: 0.5}),
        optimizer=nn.Adam(0.02, decay=0.01), accuracy=nn.Accuracy(), clip_norm=1.5)


def frozen():
    layers = [dense(4, 5, activation="tanh"), dense(5, 4), nn.LeakyReLU(0.125), dense(4, 1, activation="sigmoid")]
    layers[1].trainable = False
    return layers, dict(loss=nn.BinaryCrossentropy(), accuracy=nn.BinaryAccuracy(),
                        optimizer=nn.SGD(nn.schedules.Step(0.25, every=9, factor=0.5), momentum=0.875, nesterov=True))


def regression():
    return [nn.Input(4), dense(4, 6, activation="sigmoid", dtype=np.float64), dense(6, 2, dtype=np.float64)], dict(
        loss=nn.Huber(1.5), optimizer=nn.RMSprop(0.01), accuracy=nn.RegressionAccuracy())


BUILD = {"classes": classes, "frozen": frozen, "regression": regression, "text": classes, "parameters": classes}
TARGETS = {"classes": np.arange(SAMPLES) * 5 % 7 % 3, "frozen": np.arange(SAMPLES) * 5 % 7 % 2,
           "regression": numbers(SAMPLES, 2) / 2}
TARGETS["text"] = TARGETS["parameters"] = TARGETS["classes"]
X = numbers(SAMPLES, 4)


def build(name):
    """A model before its training."""
    model = nn.Model()
    layers, parts = BUILD[name]()
    for layer in layers:
        model.add(layer)
    model.set(**parts)
    model.finalize()
    return model


def train(model, name):
    """Seven epochs of three batches; a second training shuffled as the first when `text` was written."""
    model.train(X, TARGETS[name], epochs=7, batch_size=9, shuffle=name != "text", progress=False)


def results(model, name):
    """What a model gives: predicted, evaluated, and trained on, which changes it."""
    outputs, evaluated = model.predict(X), model.evaluate(X, TARGETS[name])
    before = len(model.history["loss"])
    history = {key: model.history[key][:] for key in ("loss", "accuracy", "learning_rate")}
    train(model, name)
    found = {"outputs": outputs, "evaluated": evaluated, **{f"{key} so far": each for key, each in history.items()},
             **{key: model.history[key][before:] for key in history},
             "parameters": np.concatenate([each.ravel() for pair in model.get_parameters() for each in pair])}
    return {key: [float(each).hex() for each in np.ravel(values)] for key, values in found.items()}


if __name__ == "__main__":
    for each in sys.argv[2:]:
        made, path = build(each), Path(sys.argv[1], f"{each}.npz")
        train(made, each)
        if each == "parameters":
            made.save_parameters(path)
            made = build(each)
            made.load_parameters(path)
        else:
            made.save(path)
        path.with_suffix(".json").write_text(json.dumps(results(made, each), indent=1) + "\n")
