"""The benchmarks of networks of images: what is timed, and that PyTorch and JAX compute the same."""

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from functools import lru_cache

import numpy as np
import pytest

from nnjit import nn
from nnjit.bench import image_cases, peers, running
from nnjit.bench.image_cases import ImageNetwork
from nnjit.kernels import reference

RATE, COUNT = 1e-3, 3
SMALL = {
    "lenet5": ImageNetwork("step", "lenet5", 6, (("width", 0.5),)),
    "resnet8": ImageNetwork("step", "resnet8", 4, (("width", 0.25),)),
    "dcgan": ImageNetwork("step", "dcgan", 6, (("filters", 4),)),
}
QUICKLY_COMPILED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # 30 s, not 120
CHILD = """
import pickle, sys
import numpy as np
from nnjit.bench import cases, peers

peer, given = pickle.load(sys.stdin.buffer)
found = {}
with cases._set_up(peer, False):
    for name, args in given.items():
        result = peers.images(peer, *args)()
        found[name] = result if isinstance(result, list) else np.array(result)
sys.stdout.buffer.write(pickle.dumps(found))
"""


def losses(case, models):
    """Of so many steps of ours."""
    if case.name == "dcgan":
        step = image_cases.gan_step(*models, *case.data())
        return [loss for _ in range(COUNT) for loss in step()]
    return models[0].train(*case.data(), epochs=COUNT)["loss"]


@lru_cache
def computed():
    """What is given to peers, and our results: the losses of steps, and the outputs after them."""
    given, found = {}, {}
    for name, case in SMALL.items():
        models, data = case.models(RATE), case.data()
        given[name] = "step", [image_cases.parts(model.layers) for model in models], data, COUNT, RATE
        given[name] = pickle.loads(pickle.dumps(given[name]))  # as they are before the steps
        found[name] = losses(case, models)
        # with running statistics of the steps
        predicted = models[0], data[1][0] if name == "dcgan" else data[0]
        given[f"{name} outputs"] = "predict", [image_cases.parts(models[0].layers)], predicted[1:], 1, RATE
        found[f"{name} outputs"] = predicted[0].predict(predicted[1])
    return given, found


@lru_cache
def results_of(peer):
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"no {peers.NAMES[peer]}")
    environment = {**os.environ, "XLA_FLAGS": QUICKLY_COMPILED}
    done = subprocess.run([sys.executable, "-c", CHILD], input=pickle.dumps((peer, computed()[0])), capture_output=True,
                          env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_trains_the_same_network_of_images(peer, name):
    found, expected = np.array(results_of(peer)[name]), np.array(computed()[1][name])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (np.abs(np.diff(expected)) > 1e-2 * expected[1:]).all()  # a step more or less would be seen


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("peer", ("torch", "jax"))
def test_a_peer_predicts_the_same_of_images(peer, name):
    found, expected = results_of(peer)[f"{name} outputs"], computed()[1][f"{name} outputs"]
    assert found.dtype == np.float32
    found = found.transpose(0, 3, 1, 2) if found.shape != expected.shape else found  # JAX may have channels behind
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("padding", [1, ((0, 1), (2, 1)), "same"])
def test_parts_are_what_layers_compute(padding):
    rng = np.random.default_rng(0)
    model = nn.Model([nn.Conv2d(2, 3, 3, padding=padding, activation="relu", rng=rng),
                      nn.Residual(nn.Conv2d(3, 3, 1, rng=rng), activation="tanh"), nn.Flatten()])
    found = image_cases.parts(model.layers)
    assert [part.kind for part in found] == ["conv2d", "relu", "residual", "tanh", "reshape"]
    x = rng.standard_normal((2, 2, 5, 5)).astype(np.float32)
    [first, _, residual, *_] = found
    y = np.maximum(reference.conv2d.forward(x, *first.arrays, **first.options), 0)
    [inner] = residual.options["body"]
    assert residual.options["shortcut"] == []
    y = np.tanh(y + reference.conv2d.forward(y, *inner.arrays, **inner.options)).reshape(2, -1)
    model.finalize((2, 5, 5))
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-4, atol=1e-6)


def test_numpy_leaves_out_what_takes_seconds():
    assert SMALL["dcgan"].prepare("numpy")[0] is None
    assert SMALL["dcgan"].prepare("sklearn")[0] is None
    assert SMALL["lenet5"].prepare("numpy")[0] is not None


def test_a_row_of_one_contender_is_no_row(monkeypatch):
    found = {"group": "step dcgan batch 64", "dtype": "f32", "flops": 1, "bytes": 1, "footprint": 1, "median": 1e-3}
    both = {**found, "group": "step lenet5 batch 64"}
    rows = {"numpy": [both], "nnjit": [both, found]}
    monkeypatch.setattr(running, "run", lambda contender, *args: rows[contender])
    monkeypatch.setattr(running, "together", lambda order, *args: {contender: rows[contender] for contender in order})
    monkeypatch.setattr(running, "_limits", lambda *args: {})
    monkeypatch.setattr(running, "_calls", lambda *args: [])
    assert [row["group"] for row in running.measure(quick=True)["rows"]] == [both["group"]]


def test_the_products_of_images_are_counted():
    case = ImageNetwork("step", "lenet5", 3)
    predicted = ImageNetwork("predict", "lenet5", 3).prepare("nnjit")[1]
    products = [28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25, 400 * 120, 120 * 84, 84 * 10]
    assert predicted.flops == 2 * 3 * sum(products) and predicted.repeats == 1
    work = case.prepare("nnjit")[1]
    assert work.flops == 2 * 3 * (3 * sum(products) - products[0]) + 13 * 61_706
    assert work.repeats == image_cases.STEPS["lenet5"]


@pytest.mark.parametrize("name", SMALL)
def test_what_is_timed_of_a_network_of_images(name):
    call, _ = SMALL[name].prepare("nnjit")
    found = call()
    assert np.isfinite(found if name == "dcgan" else found["loss"]).all()


def test_the_fastest_call_is_new():
    made = []

    def maker(seconds):
        def make():
            made.append(seconds)
            return lambda: time.sleep(seconds)
        return make

    peers.fastest([maker(0.02), maker(0), maker(0.02)], 0)
    assert made == [0.02, 0, 0.02, 0]
