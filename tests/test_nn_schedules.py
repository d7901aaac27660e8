"""nn/schedules.py: each schedule against its formula, and optimizers that follow one."""

import math

import numpy as np
import pytest

from nnjit import nn
from nnjit.nn import schedules

ITERATIONS = (0, 1, 2, 9, 10, 11, 99, 100, 101, 5000)
FORMULAS = {
    "constant": (schedules.Constant(0.5), lambda i: 0.5),
    "step": (schedules.Step(0.5, every=10, factor=0.3), lambda i: 0.5 * 0.3 ** (i // 10)),
    "exponential": (schedules.Exponential(0.5, factor=0.999), lambda i: 0.5 * 0.999**i),
    "cosine": (schedules.Cosine(0.5, steps=100, final=0.1),
               lambda i: 0.1 + 0.4 * (1 + math.cos(math.pi * min(i, 100) / 100)) / 2),
    "warm-up": (schedules.WarmUp(10, schedules.Exponential(0.5, factor=0.9)),
                lambda i: 0.5 * (i + 1) / 10 if i < 10 else 0.5 * 0.9 ** (i - 10)),
    "warm-up to a number": (schedules.WarmUp(10, 0.25), lambda i: 0.25 * min(i + 1, 10) / 10),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    schedule, formula = FORMULAS[name]
    for iteration in ITERATIONS:
        # each squaring doubles the relative error of a power
        assert schedule(iteration) == pytest.approx(formula(iteration), rel=2**-52 * (iteration + 8))


def test_the_cosine_is_right_everywhere():
    x = np.linspace(0, 1, 10_001)
    found = np.array([schedules._half_wave(each) for each in x])
    # pi x and the cosine are each rounded, there and here, and the cosine is at most pi / 2 times as steep
    np.testing.assert_allclose(found, (1 + np.cos(np.pi * x)) / 2, rtol=0, atol=8 * 2**-53)
    assert found[0] == 1 and found[-1] == 0 and (np.diff(found) < 0).all()


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 3)).astype(np.float32), rng.integers(0, 2, 40)


@pytest.mark.parametrize("make", (lambda rate: nn.Adam(rate), lambda rate: nn.SGD(rate, momentum=0.5),
                                  lambda rate: nn.SGD(rate, decay=0.1)))
def test_optimizers_follow_a_schedule(make, monkeypatch):
    def train(rate, at_once):
        model = nn.Model()
        model.add(nn.Dense(3, 2, rng=0))
        model.add(nn.Softmax())
        model.set(loss=nn.CategoricalCrossentropy(), optimizer=make(rate))
        model.finalize()
        with monkeypatch.context() as patch:
            patch.setattr(nn.training.pace.Pace, "next", lambda self, most: max(1, min(most, at_once)))
            model.train(*data(), epochs=30)
        return model

    schedule = schedules.WarmUp(3, schedules.Cosine(0.5, steps=20))
    one, many = train(schedule, 1), train(schedule, 7)
    decay = one.optimizer.decay
    assert one.history["learning_rate"] == [schedule(i) / (1 + decay * i) for i in range(30)]
    assert one.history["learning_rate"] == many.history["learning_rate"]
    assert one.history["loss"] == many.history["loss"]
    assert (one.layers[0].weights == many.layers[0].weights).all()
    assert (train(schedules.Constant(0.5), 1).layers[0].weights == train(0.5, 1).layers[0].weights).all()


def test_a_function_of_a_user_will_do():
    optimizer = nn.SGD(lambda iteration: 1 / (1 + iteration))
    for wish in (1, 1 / 2, 1 / 3):
        optimizer.pre_update_params()
        assert optimizer.current_learning_rate == wish
        optimizer.post_update_params()


@pytest.mark.parametrize(("make", "text"), (
    (lambda: schedules.Constant(-1), "rate must be finite and at least 0, got -1.0"),
    (lambda: schedules.Step(1.0, every=0), "every must be at least 1, got 0"),
    (lambda: schedules.Cosine(1.0, steps=2.5), "steps must be a whole number, got 2.5"),
    (lambda: schedules.Exponential(1.0, factor=math.inf), "factor must be finite and at least 0, got inf"),
    (lambda: schedules.WarmUp(0, 1.0), "steps must be at least 1, got 0"),
    (lambda: schedules.WarmUp(3, -1.0), "schedule must be finite and at least 0, got -1.0"),
))
def test_mistakes_are_named(make, text):
    with pytest.raises((TypeError, ValueError), match=f"^{text}$"):
        make()


def test_whole_numbers_are_floats():
    """The power of a whole number would have as many digits as there were updates."""
    assert schedules.Exponential(1, factor=2)(2**52) == math.inf
    assert schedules.Step(1, every=1, factor=2)(2**52) == math.inf
    with pytest.raises(ValueError, match="final must be finite and at least 0, got inf"):
        schedules.Cosine(0.1, steps=5, final=10**400)
