"""The named networks: their sizes as published, and that they learn."""

import numpy as np
import pytest

from nnjit import nn

PUBLISHED = {"lenet5": 61_706, "alexnet": 61_100_840, "vgg11": 132_863_336, "vgg16": 138_357_544,
             "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "squeezenet1_1": 1_235_496, "densenet121": 7_978_856,
             "googlenet": 6_624_904, "mobilenet_v2": 3_504_872, "efficientnet_b0": 5_288_548}


@pytest.mark.parametrize("name, parameters", PUBLISHED.items())
def test_published_size(name, parameters, monkeypatch):
    # zeros take no memory before they are written
    monkeypatch.setattr(nn.initializers, "draw", lambda create, shape, rng: np.zeros(shape, np.float32))
    monkeypatch.setattr(nn.initializers, "find", lambda create: lambda n, m, rng: np.zeros((n, m), np.float32))
    assert nn.summary(getattr(nn.models, name)()).total == parameters
