"""AdaGrad's update of one layer's weights: 7 operations and 5 numbers moved for each weight."""

from nnjit.bench.cases import Kernel, suite
from nnjit.bench.peers import EPSILON

CASES = [Kernel("adagrad", "step", (k, c), 7 * k * c)
         for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]]

test_adagrad = suite(CASES)


def in_torch(torch):
    def step(w, dw, cache, *, learning_rate):
        w.grad = dw
        optimizer = torch.optim.Adagrad([w], learning_rate, eps=EPSILON, fused=True)
        optimizer.state[w]["sum"] = cache
        return optimizer.step

    return {"step": step}


def in_jax(jax):
    def step(w, dw, cache, *, learning_rate):
        cache = cache + dw * dw
        return w - learning_rate * dw / (jax.numpy.sqrt(cache) + EPSILON), cache

    return {"step": step}
