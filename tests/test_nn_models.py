"""The named networks: their sizes as published, and that they learn."""

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn.parameters import gradients_of, parameters_of, walk

PUBLISHED = {"lenet5": 61_706, "alexnet": 61_100_840, "vgg11": 132_863_336, "vgg16": 138_357_544,
             "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "squeezenet1_1": 1_235_496,
             "densenet121": 7_978_856, "googlenet": 6_624_904, "mobilenet_v2": 3_504_872, "efficientnet_b0": 5_288_548}


@pytest.mark.parametrize("name, parameters", PUBLISHED.items())
def test_published_size(name, parameters, monkeypatch):
    # zeros take no memory before they are written
    monkeypatch.setattr(nn.layers.conv, "draw", lambda create, shape, rng: np.zeros(shape, np.float32))
    monkeypatch.setattr(nn.initializers, "find", lambda create: lambda n, m, rng: np.zeros((n, m), np.float32))
    assert nn.summary(getattr(nn.models, name)()).total == parameters


SMALL = {"lenet5": {}, "alexnet": dict(size=63, width=0.1, dropout=0), "vgg11": dict(size=32, width=0.1, dropout=0),
         "vgg16": dict(size=32, width=0.15, dropout=0), "resnet18": dict(size=32, width=0.125),
         "resnet34": dict(size=32, width=0.0625), "resnet50": dict(size=32, width=0.0625), "resnet8": dict(size=16),
         "resnet20": dict(size=16, width=0.5), "squeezenet1_1": dict(size=32, width=0.5, dropout=0),
         "densenet121": dict(size=32, width=0.25, blocks=(2, 2, 2, 2)),
         "googlenet": dict(size=32, width=0.125, dropout=0), "mobilenet_v2": dict(size=32, width=0.25, dropout=0),
         "efficientnet_b0": dict(size=32, width=0.125, dropout=0)}
RATES = {"squeezenet1_1": 0.0005, "mobilenet_v2": 0.001}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", SMALL)
def test_64_images_are_learned_by_heart(name):
    rng = np.random.default_rng(0)
    model = getattr(nn.models, name)(4, rng=0, **SMALL[name])
    X, y = rng.standard_normal((64, *model._input_shape)).astype(np.float32), rng.integers(0, 4, 64)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(RATES.get(name, 0.002)), accuracy=nn.Accuracy())
    model.finalize()
    for _ in range(10):
        model.train(X, y, epochs=8, batch_size=32)
        if model.history["accuracy"][-1] == 1:
            break
    assert model.history["accuracy"][-1] >= 0.98 and model.why_not_recorded is None


def test_the_two_networks_of_a_dcgan():
    generator = nn.models.dcgan_generator(20, channels=1, size=28, filters=8, rng=0)
    discriminator = nn.models.dcgan_discriminator(channels=1, size=28, filters=8, rng=1)
    images = generator.predict(np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32))
    assert images.shape == (5, 1, 28, 28) and np.abs(images).max() <= 1
    assert discriminator.predict(images).shape == (5, 1)
    assert nn.summary(nn.models.dcgan_generator(rng=0)).total == 3_576_704
    for size in (27, 9, 5, 36):
        with pytest.raises(ValueError, match="size must be 4, 5, 6 or 7 times a power of 2"):
            nn.models.dcgan_generator(size=size)


DROPPING = ("alexnet", "vgg11", "squeezenet1_1", "googlenet", "mobilenet_v2", "efficientnet_b0")


@pytest.mark.parametrize("name", DROPPING)
def test_a_dropout_that_is_none_is_named(name):
    make = getattr(nn.models, name)
    for wrong in (1.0, -0.1, np.nan, 10**5000):
        with pytest.raises(ValueError, match="^dropout, the share that is dropped, must be at least 0 and below 1"):
            make(3, size=64, width=0.02, dropout=wrong)
    for wrong in (None, False, True, "", [], "0.5", np.array([0.5, 0.5])):
        with pytest.raises(TypeError, match="^dropout must be a number, got"):
            make(3, size=64, width=0.02, dropout=wrong)
    model = make(3, size=64, width=0.02, dropout=np.float32(0))
    assert not [layer for layer in walk(model.layers) if isinstance(layer, nn.Dropout)]


def test_images_that_are_too_small_are_refused():
    for network, size in ((nn.models.lenet5, 8), (nn.models.vgg11, 31), (nn.models.alexnet, 62),
                          (nn.models.squeezenet1_1, 16), (nn.models.densenet121, 2)):
        with pytest.raises(ValueError, match=f"^size must be larger for this network, got {size}: layer .* window"):
            network(2, size=size, **({} if network is nn.models.lenet5 else {"width": 0.05}))


@pytest.mark.parametrize("name, arguments, text", (
    *[("densenet121", {"blocks": wrong}, "blocks must be numbers of layers, such as .*, got ")
      for wrong in (None, 3, "ab", ())],
    ("densenet121", {"blocks": (1, 1.5)}, "blocks must be a whole number, got 1.5"),
    ("densenet121", {"blocks": (1, 0)}, "blocks must be at least 1, got 0"),
    ("squeezenet1_1", {"classes": 2.5}, "classes must be a whole number, got 2.5"),
    ("efficientnet_b0", {"classes": 1}, r"layer [0-9]+, Softmax\(\), of a single output is always 1")))
def test_wrong_arguments_are_named(name, arguments, text):
    with pytest.raises((TypeError, ValueError), match=f"^{text}"):
        getattr(nn.models, name)(**{**SMALL[name], "width": 0.05, **arguments})


# ---- blocks, beside their definitions in PyTorch


def torch_blocks(torch):
    """By name: one of our blocks, and the same in PyTorch as a function of its parameters in our order."""
    F = torch.nn.functional
    make = nn.models.parts.Maker(1.0, 0, np.float64)

    def norm(x, gamma, beta, eps=1e-5):
        return F.batch_norm(x, None, None, gamma, beta, True, 0.1, eps)

    def residual(p, x, stride, shortcut):
        y = F.relu(norm(F.conv2d(x, p[0], stride=stride, padding=1), p[1], p[2]))
        y = norm(F.conv2d(y, p[3], padding=1), p[4], p[5])
        return F.relu(y + (norm(F.conv2d(x, p[6], stride=stride), p[7], p[8]) if shortcut else x))

    def bottleneck(p, x):
        y = F.relu(norm(F.conv2d(x, p[0]), p[1], p[2]))
        y = F.relu(norm(F.conv2d(y, p[3], stride=2, padding=1), p[4], p[5]))
        return F.relu(norm(F.conv2d(y, p[6]), p[7], p[8]) + norm(F.conv2d(x, p[9], stride=2), p[10], p[11]))

    def fire(p, x):
        y = F.relu(F.conv2d(x, p[0], p[1]))
        return torch.cat([F.relu(F.conv2d(y, p[2], p[3])), F.relu(F.conv2d(y, p[4], p[5], padding=1))], 1)

    def dense_layer(p, x):
        y = F.conv2d(F.relu(norm(x, p[0], p[1])), p[2])
        return torch.cat([x, F.conv2d(F.relu(norm(y, p[3], p[4])), p[5], padding=1)], 1)

    def inception(p, x):
        def conv(x, at, padding=0):
            return F.relu(norm(F.conv2d(x, p[at], padding=padding), p[at + 1], p[at + 2], 1e-3))
        return torch.cat([conv(x, 0), conv(conv(x, 3), 6, 1), conv(conv(x, 9), 12, 1),
                          conv(F.max_pool2d(x, 3, 1, 1), 15)], 1)

    def inverted(p, x):
        y = F.relu6(norm(F.conv2d(x, p[0]), p[1], p[2]))
        y = F.relu6(norm(F.conv2d(y, p[3], padding=1, groups=y.shape[1]), p[4], p[5]))
        return x + norm(F.conv2d(y, p[6]), p[7], p[8])

    def squeeze(p, x):
        means = F.silu(F.linear(x.mean((2, 3)), p[0].T, p[1]))
        return x * torch.sigmoid(F.linear(means, p[2].T, p[3]))[:, :, None, None]

    models = nn.models
    return {
        "basic block": (models.residual.basic_block(make, 6, 6, 1), lambda p, x: residual(p, x, 1, False), 6),
        "basic block, smaller": (models.residual.basic_block(make, 6, 8, 2), lambda p, x: residual(p, x, 2, True), 6),
        "bottleneck": (models.residual.bottleneck(make, 6, 12, 2), bottleneck, 6),
        "fire": (models.branches.fire_module(make, 6, 3, 5), fire, 6),
        "dense layer": (models.branches.dense_layer(make, 6, 4), dense_layer, 6),
        "inception": (models.branches.inception(make, 6, 3, 4, 5, 2, 3, 4), inception, 6),
        "inverted residual": (models.mobile.inverted_residual(make, 6, 6, 3, 1, 3, nn.ReLU6, 0), inverted, 6),
        "squeeze and excitation": (models.mobile.squeeze_excitation(make, 6, 2), squeeze, 6)}


BLOCKS = ("basic block", "basic block, smaller", "bottleneck", "fire", "dense layer", "inception", "inverted residual",
          "squeeze and excitation")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_that_of_pytorch(name, torch):
    block, theirs, channels = torch_blocks(torch)[name]
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, channels, 8, 6))
    layers = [layer for layer in walk([block]) if parameters_of(layer)]
    for layer in layers:
        for array in parameters_of(layer).values():
            array[...] = rng.standard_normal(array.shape) * 0.5
    y = block.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = block.backward(dy)
    leaves = [torch.tensor(array.copy(), requires_grad=True) for layer in layers for array in
              parameters_of(layer).values()]
    leaf = torch.tensor(x, requires_grad=True)
    expected = theirs(leaves, leaf)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=1e-8, atol=1e-9)
    gradients = [gradient for layer in layers for gradient in gradients_of(layer).values()]
    for ours, each in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(ours, each.grad.numpy(), rtol=1e-8, atol=1e-9)
