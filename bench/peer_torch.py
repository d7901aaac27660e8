"""The benchmarks' operations in PyTorch: native kernels in inference mode, fused optimizers."""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .peers import BETA_1, BETA_2, CLIP, EPSILON, Call, Parameters

torch: Any = import_module("torch")  # by name: checkers of types need not find it
aten = torch.ops.aten
nll_loss = torch.nn.functional.nll_loss
relu_backward, sigmoid_backward, tanh_backward = (
    getattr(aten, name).default for name in ("threshold_backward", "sigmoid_backward", "tanh_backward"))


def products(dz: Any, x: Any, w: Any) -> tuple[Any, ...]:
    return torch.mm(dz, w.t()), torch.mm(x.t(), dz), dz.sum(0)


def picked(p: Any, labels: Any) -> Any:
    return p.gather(1, labels.unsqueeze(1)).clamp_(CLIP, 1 - CLIP)


def cross_entropy_backward(p: Any, labels: Any) -> Any:
    return torch.zeros_like(p).scatter_(1, labels.unsqueeze(1), picked(p, labels).mul_(-len(p)).reciprocal_())


def one_hot_backward(p: Any, t: Any) -> Any:
    q = p.clamp(CLIP, 1 - CLIP).mul_(-len(p))
    return torch.div(t, q, out=q)


def fused(x: Any, labels: Any) -> tuple[Any, Any]:
    logarithms = torch.log_softmax(x, 1)
    return nll_loss(logarithms, labels, reduction="none"), logarithms.exp_()


def fused_backward(y: Any, labels: Any) -> Any:
    share = 1 / len(y)
    return torch.mul(y, share).scatter_add_(1, labels.unsqueeze(1), y.new_full((len(y), 1), -share))


def fused_one_hot(x: Any, t: Any) -> tuple[Any, Any]:
    logarithms = torch.log_softmax(x, 1)
    return torch.mul(logarithms, t).sum(1).neg_(), logarithms.exp_()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "matmul.forward": torch.mm,
    "matmul.backward": lambda dc, a, b: (torch.mm(dc, b.t()), torch.mm(a.t(), dc)),
    "dense.forward": lambda x, w, b: torch.addmm(b, x, w),
    "dense.forward relu": lambda x, w, b: torch.addmm(b, x, w).relu_(),
    "dense.forward sigmoid": lambda x, w, b: torch.addmm(b, x, w).sigmoid_(),
    "dense.forward tanh": lambda x, w, b: torch.addmm(b, x, w).tanh_(),
    "dense.backward": lambda dy, x, w, y: products(dy, x, w),
    "dense.backward relu": lambda dy, x, w, y: products(relu_backward(dy, y, 0), x, w),
    "dense.backward sigmoid": lambda dy, x, w, y: products(sigmoid_backward(dy, y), x, w),
    "dense.backward tanh": lambda dy, x, w, y: products(tanh_backward(dy, y), x, w),
    "relu.forward": torch.relu,
    "relu.backward": lambda dy, y: relu_backward(dy, y, 0),
    "sigmoid.forward": torch.sigmoid,
    "sigmoid.backward": sigmoid_backward,
    "tanh.forward": torch.tanh,
    "tanh.backward": tanh_backward,
    "softmax.forward": lambda x: torch.softmax(x, 1),
    "softmax.backward": lambda dy, y: torch._softmax_backward_data(dy, y, 1, y.dtype),
    "categorical_cross_entropy.forward": lambda p, labels: picked(p, labels).log_().neg_().squeeze(1),
    "categorical_cross_entropy.forward one-hot":
        lambda p, t: p.clamp(CLIP, 1 - CLIP).log_().mul_(t).sum(1).neg_(),
    "categorical_cross_entropy.backward": cross_entropy_backward,
    "categorical_cross_entropy.backward one-hot": one_hot_backward,
    "softmax_cross_entropy.forward": fused,
    "softmax_cross_entropy.forward one-hot": fused_one_hot,
    "softmax_cross_entropy.backward": fused_backward,
    "softmax_cross_entropy.backward one-hot": lambda y, t: torch.sub(y, t).div_(len(y)),
    "categorical_accuracy.forward": lambda y, labels: (y.argmax(1) == labels).sum().item(),
    "categorical_accuracy.forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum().item(),
    "mean.forward": lambda x: x.mean().item(),
}
INTO: dict[str, Callable[..., Any]] = {  # an array that is there already
    "relu.forward": lambda x, out: torch.clamp_min(x, 0, out=out),  # the fastest of those that take out
    "sigmoid.forward": lambda x, out: torch.sigmoid(x, out=out),
    "tanh.forward": lambda x, out: torch.tanh(x, out=out),
    "softmax.forward": lambda x, out: torch.softmax(x, 1, out=out),
}


def kernel(key: str, args: tuple[Any, ...], out: bool) -> Call | None:
    function = (INTO if out else FUNCTIONS).get(key)
    if function is None:
        return None
    tensors = [torch.from_numpy(x) for x in args]
    if out:
        tensors.append(torch.empty_like(tensors[0]))
    return lambda: function(*tensors)


def step(op: str, args: tuple[Any, ...], knobs: dict[str, Any]) -> Call | None:
    w, dw, *state = (torch.tensor(x) for x in args)
    w.grad = dw
    if op == "adam":
        optimizer = torch.optim.Adam([w], knobs["learning_rate"], (BETA_1, BETA_2), EPSILON, fused=True)
        done = round(math.log(1 - knobs["correction_1"], BETA_1)) - 1  # steps before this one
        optimizer.state[w] = {"step": torch.tensor(float(done)), "exp_avg": state[0], "exp_avg_sq": state[1]}
    elif op == "sgd":
        optimizer = torch.optim.SGD([w], knobs["learning_rate"], knobs.get("momentum", 0.0), fused=True)
        if state:  # its moving mean is of gradients, ours of changes
            optimizer.state[w] = {"momentum_buffer": state[0] / -knobs["learning_rate"]}
    else:
        return None

    def call() -> Any:
        optimizer.step()
        return w

    return call


def network(what: str, parameters: Parameters, x: Any, labels: Any, steps: int, learning_rate: float) -> Call:
    with torch.inference_mode(False), torch.enable_grad():
        layers: list[Any] = []
        for w, b in parameters:
            layers += [torch.nn.Linear(*w.shape), torch.nn.ReLU()]
            layers[-2].weight = torch.nn.Parameter(torch.tensor(w.T))
            layers[-2].bias = torch.nn.Parameter(torch.tensor(b))
        layers.pop()
        model, inputs, targets = torch.nn.Sequential(*layers), torch.tensor(x), torch.tensor(labels)
        if what == "predict":
            model.append(torch.nn.Softmax(1)).eval()
            return lambda: model(inputs)
        criterion = torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), learning_rate, (BETA_1, BETA_2), EPSILON, fused=True)
        trained = [(layer.weight.detach().t(), layer.bias.detach()) for layer in layers[::2]]

    def call() -> Parameters:
        with torch.inference_mode(False), torch.enable_grad():
            for _ in range(steps):
                optimizer.zero_grad(set_to_none=True)
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                loss.item()  # our training reports it, too
        return trained

    return call
