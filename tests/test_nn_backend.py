import subprocess
import sys

import numpy as np
import pytest

from nnjit import kernels, nn
from nnjit.kernels import reference
from nnjit.nn import backend


@pytest.fixture(autouse=True)
def restored():
    with nn.use(backend.name):
        yield


def test_the_kernels_are_the_default():
    code = "from nnjit.nn import backend; from nnjit import kernels; print(backend.name, backend.ops is kernels)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "numba True\n"


def test_a_plain_call_switches_for_good():
    nn.use("numpy")
    assert (backend.name, backend.ops) == ("numpy", reference)
    nn.use("numba")
    assert (backend.name, backend.ops) == ("numba", kernels)


def test_as_a_context_the_former_comes_back():
    nn.use("numba")
    with nn.use("numpy"):
        with nn.use("numba"):
            assert backend.ops is kernels
        assert backend.ops is reference
    assert backend.ops is kernels


def test_the_former_comes_back_after_an_error():
    nn.use("numba")
    with pytest.raises(KeyError), nn.use("numpy"):
        raise KeyError
    assert backend.ops is kernels


@pytest.mark.parametrize("name", ["torch", "", "NumPy", None, 1])
def test_an_unknown_name_is_told_both_and_changes_nothing(name):
    nn.use("numpy")
    with pytest.raises(ValueError, match='"numba" or "numpy", got'):
        nn.use(name)
    assert (backend.name, backend.ops) == ("numpy", reference)


def test_layers_call_the_chosen_twin(monkeypatch):
    called = []
    for name, module in backend.TWINS.items():
        monkeypatch.setattr(module.relu, "forward", lambda x, name=name: called.append(name) or x)
    layer = nn.ReLU()
    for name in ("numpy", "numba", "numpy"):
        with nn.use(name):
            layer.forward(np.ones((1, 1), np.float32))
    assert called == ["numpy", "numba", "numpy"]


def test_import_is_light():
    code = "import sys, nnjit.nn; print({'matplotlib', 'tqdm', 'nnfs', 'torch', 'http'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
