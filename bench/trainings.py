"""Trainings through `nnjit.nn` from data and initial weights made of integers, and the digests of what they give:
losses, accuracies, learning rates, and the parameters and buffers at the end."""

import hashlib

import numpy as np

from .. import nn
from .exact import Exact, feed

STEPS, IMAGE_STEPS = 200, 50


def train(optimizer, activation, dtype):
    """A model after 200 steps: losses, accuracies and weights, from data and initial weights made of integers."""
    rng = Exact(f"training {activation}")
    X, y = rng.standard_normal((300, 64)).astype(dtype), rng.integers(0, 10, 300)
    model = nn.Model()
    for sizes in ((64, 64), (64, 48), (48, 10)):
        layer = nn.Dense(*sizes, activation=activation if sizes[1] > 10 else None, dtype=dtype, rng=0)
        layer.weights = rng.standard_normal(sizes) / 8
        model.add(layer)
    model.add(nn.Softmax())
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer, accuracy=nn.Accuracy())
    model.finalize()
    history = model.train(X, y, epochs=STEPS // 5, batch_size=64, shuffle=False)  # 4 batches of 64 and one of 44
    assert history["loss"][-1] < history["loss"][0] / 2, "the training does not learn"
    return _found(history, model)


def _found(history, model):
    return ([np.array(history[name]) for name in ("loss", "accuracy", "learning_rate")]
            + [x for arrays in model.get_parameters() for x in arrays])


def dense():
    """The digest of three trainings of dense layers."""
    state = hashlib.sha256()
    with nn.use("numba"):
        feed(state, train(nn.Adam(0.005, decay=1e-3), "relu", np.float32))
        feed(state, train(nn.SGD(0.25, decay=1e-3, momentum=0.875), "tanh", np.float32))
        feed(state, train(nn.SGD(1.0, momentum=0.75), "sigmoid", np.float64))
    return state.hexdigest()


def train_images(make, size, optimizer, dtype, batch=16):
    """A network of images after 50 steps."""
    rng = Exact(f"training {make.__name__}")
    X = rng.standard_normal((2 * batch, *size)).astype(dtype)
    y = rng.integers(0, 10, len(X))
    model = make(rng=0, dtype=dtype)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=optimizer, accuracy=nn.Accuracy())
    model.finalize()
    model.set_parameters([_drawn(rng, *arrays) for arrays in model.get_parameters()])
    history = model.train(X, y, epochs=IMAGE_STEPS // 2, batch_size=batch, shuffle=False)
    assert history["loss"][-1] < history["loss"][0] / 2, "the training does not learn"
    return _found(history, model)


def _drawn(rng, weights, *others):
    # of a normalization as it is
    if weights.ndim < 2:
        return weights, *others
    terms = weights[0].size if weights.ndim == 4 else len(weights)
    return rng.standard_normal(weights.shape) * 2.0 ** -(terms.bit_length() // 2), *others


def lenet5():
    """The digest of a training of LeNet-5."""
    state = hashlib.sha256()
    with nn.use("numba"):
        feed(state, train_images(nn.models.lenet5, (1, 28, 28), nn.Adam(0.002), np.float32))
    return state.hexdigest()


def resnet8():
    """The digest of a training of ResNet-8."""
    state = hashlib.sha256()
    with nn.use("numba"):
        feed(state, train_images(nn.models.resnet8, (3, 32, 32), nn.SGD(0.0625, momentum=0.875), np.float32))
    return state.hexdigest()


TRAININGS = {"training": dense, "training_lenet5": lenet5, "training_resnet8": resnet8}
