"""Gradient descent's update of one layer's weights, without and with momentum, and with Nesterov's."""

from nnjit.bench.cases import Kernel, suite

CASES = []
for k, c in [(64, 3), (64, 64), (784, 128), (784, 512), (2048, 2048)]:
    CASES += [
        Kernel("sgd", "step", (k, c), 2 * k * c),
        Kernel("sgd", "step", (k, c), 4 * k * c, entry=1, note="momentum"),
    ]
CASES.append(Kernel("sgd", "step", (784, 128), 7 * 784 * 128, entry=2, note="nesterov"))

test_sgd = suite(CASES)


def in_torch(torch):
    def step(w, dw, *state, learning_rate, momentum=0.0, nesterov=False):
        w.grad = dw
        optimizer = torch.optim.SGD([w], learning_rate, momentum, nesterov=nesterov, fused=True)
        if state:  # its moving mean is of gradients, ours of changes
            optimizer.state[w] = {"momentum_buffer": state[0] / -learning_rate}
        return optimizer.step

    return {"step": step}


def in_jax(jax):
    def step(w, dw, v=None, *, learning_rate, momentum=0.0, nesterov=False):
        if v is None:
            return (w - learning_rate * dw,)
        v = momentum * v - learning_rate * dw
        return w + (momentum * v - learning_rate * dw if nesterov else v), v

    return {"step": step}
