"""RMSprop's update of one layer's weights: 9 operations and 5 numbers moved for each weight."""

from nnjit.bench.cases import Kernel, suite
from nnjit.bench.peers import EPSILON, RHO

CASES = [Kernel("rmsprop", "step", (k, c), 9 * k * c)
         for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]]
CASES.append(Kernel("rmsprop", "step", (784, 128), 9 * 784 * 128, entry=1, note="one neuron in 16 unused"))

test_rmsprop = suite(CASES)


def in_torch(torch):
    def step(w, dw, cache, *, learning_rate):
        w.grad = dw
        optimizer = torch.optim.RMSprop([w], learning_rate, RHO, EPSILON)
        optimizer.state[w] = {"step": torch.tensor(0.0), "square_avg": cache}
        return optimizer.step

    return {"step": step}


def in_jax(jax):
    def step(w, dw, cache, *, learning_rate):
        cache = RHO * cache + (1 - RHO) * dw * dw
        return w - learning_rate * dw / (jax.numpy.sqrt(cache) + EPSILON), cache

    return {"step": step}
