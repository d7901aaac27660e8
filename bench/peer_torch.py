"""The benchmarks' operations in PyTorch: native kernels in inference mode, fused optimizers."""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .peers import BETA_1, BETA_2, CLIP, DROPPED, EPSILON, RHO, Call, Parameters

torch: Any = import_module("torch")  # by name: checkers of types need not find it
aten = torch.ops.aten
binary_cross_entropy, with_logits, huber_loss, l1_loss, mse_loss, nll_loss = (
    getattr(torch.nn.functional, name)
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss", "l1_loss", "mse_loss",
                 "nll_loss"))
relu_backward, sigmoid_backward, tanh_backward, elu_backward = (
    getattr(aten, f"{name}_backward").default for name in ("threshold", "sigmoid", "tanh", "elu"))
binary_backward, huber_backward, mse_backward = (
    getattr(aten, f"{name}_backward").default for name in ("binary_cross_entropy", "huber_loss", "mse_loss"))
MEAN = 1  # the reduction, as a number


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


def fused_sigmoid(x: Any, t: Any) -> tuple[Any, Any]:
    return with_logits(x, t, reduction="none").mean(1), torch.sigmoid(x)


def likelihood_backward(x: Any, labels: Any) -> Any:
    return torch.zeros_like(x).scatter_(1, labels.unsqueeze(1), -1 / len(x))


def dropped(x: Any, **knobs: Any) -> tuple[Any, Any]:
    # what torch.nn.functional.dropout does without a gradient, but it does not return the mask
    mask = torch.empty_like(x).bernoulli_(1 - DROPPED).div_(1 - DROPPED)
    return x * mask, mask


def penalty(w: Any, l1: float = 0.0, l2: float = 0.0) -> float:
    parts = ([l1 * torch.linalg.vector_norm(w, 1)] if l1 else []) + ([l2 * (w * w).sum()] if l2 else [])
    return sum(parts).item()


def penalty_backward(dw: Any, w: Any, l1: float = 0.0, l2: float = 0.0) -> Any:
    dx = torch.add(dw, w, alpha=2 * l2) if l2 else dw
    return torch.add(dx, torch.where(w < 0, -1.0, 1.0), alpha=l1) if l1 else dx


def scaled_rows(x: Any, weights: Any) -> Any:
    return x * (weights if x.ndim == 1 else weights[:, None])


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
    "add.forward": torch.add,
    "multiply.forward": torch.mul,
    "multiply.backward": lambda dy, a, b: (dy * b, dy * a),
    "concatenate.forward": lambda a, b: torch.cat((a, b), 1),
    "split.forward": lambda x, columns: (x[:, :columns].contiguous(), x[:, columns:].contiguous()),
    "leaky_relu.forward": torch.nn.functional.leaky_relu,
    "leaky_relu.backward": lambda dy, y: aten.leaky_relu_backward.default(dy, y, 0.01, True),
    "linear.forward": torch.clone,
    "linear.backward": lambda dy, y: torch.clone(dy),
    "step.forward": lambda x: torch.gt(x, 0, out=torch.empty_like(x)),  # heaviside takes 20 times as long
    "step.backward": lambda dy, y: dy * 0,
    "silu.forward": torch.nn.functional.silu,
    "silu.backward": aten.silu_backward.default,
    "elu.forward": torch.nn.functional.elu,
    "elu.backward": lambda dy, y, alpha=1.0: elu_backward(dy, alpha, 1, 1, True, y),  # True: from the output
    "gelu.forward": torch.nn.functional.gelu,
    "gelu.backward": aten.gelu_backward.default,
    "softplus.forward": torch.nn.functional.softplus,
    "softplus.backward": lambda dy, x: aten.softplus_backward(dy, x, 1, 20),  # x itself from 20 on
    "softmax.forward": lambda x: torch.softmax(x, 1),
    "softmax.backward": lambda dy, y: torch._softmax_backward_data(dy, y, 1, y.dtype),
    "binary_cross_entropy.forward": lambda p, t: binary_cross_entropy(p, t, reduction="none").mean(1),
    "binary_cross_entropy.backward": lambda p, t: binary_backward(p.new_ones(()), p, t, None, MEAN),
    "log_softmax.forward": lambda x: torch.log_softmax(x, 1),
    "log_softmax.backward": lambda dy, y: torch._log_softmax_backward_data(dy, y, 1, y.dtype),
    "categorical_cross_entropy.forward": lambda p, labels: picked(p, labels).log_().neg_().squeeze(1),
    "categorical_cross_entropy.forward one-hot":
        lambda p, t: p.clamp(CLIP, 1 - CLIP).log_().mul_(t).sum(1).neg_(),
    "categorical_cross_entropy.backward": cross_entropy_backward,
    "categorical_cross_entropy.backward one-hot": one_hot_backward,
    "softmax_cross_entropy.forward": fused,
    "softmax_cross_entropy.forward one-hot": fused_one_hot,
    "softmax_cross_entropy.backward": fused_backward,
    "softmax_cross_entropy.backward one-hot": lambda y, t: torch.sub(y, t).div_(len(y)),
    "sigmoid_cross_entropy.forward": fused_sigmoid,
    "sigmoid_cross_entropy.backward": lambda y, t: torch.sub(y, t).div_(y.numel()),
    "negative_log_likelihood.forward": lambda x, labels: nll_loss(x, labels, reduction="none"),
    "negative_log_likelihood.forward one-hot": lambda x, t: torch.mul(x, t).sum(1).neg_(),
    "negative_log_likelihood.backward": likelihood_backward,
    "negative_log_likelihood.backward one-hot": lambda x, t: torch.div(t, -len(x)),
    "categorical_accuracy.forward": lambda y, labels: (y.argmax(1) == labels).sum().item(),
    "categorical_accuracy.forward one-hot": lambda y, t: (y.argmax(1) == t.argmax(1)).sum().item(),
    "dropout.forward": dropped,
    "dropout.backward": torch.mul,
    "huber.forward": lambda y, t: huber_loss(y, t, reduction="none").mean(1),
    "huber.backward": lambda y, t: huber_backward(y.new_ones(()), y, t, MEAN, 1.0),
    "binary_accuracy.forward": lambda p, t, threshold=0.5: ((p > threshold) == (t > 0.5)).sum().item(),
    "regression_accuracy.forward": lambda y, t, precision: ((y - t).abs() < precision).sum().item(),
    "clip_norm.forward": lambda x: torch.linalg.vector_norm(x).item(),
    "mean.forward": lambda x: x.mean().item(),
    "scale_rows.forward": scaled_rows,
    "scale_rows.backward": scaled_rows,
    "mean_absolute_error.forward": lambda y, t: l1_loss(y, t, reduction="none").mean(1),
    "mean_absolute_error.backward": lambda y, t: torch.sub(y, t).sgn_().div_(y.numel()),
    "mean_squared_error.forward": lambda y, t: mse_loss(y, t, reduction="none").mean(1),
    "mean_squared_error.backward": lambda y, t: mse_backward(y.new_ones(()), y, t, MEAN),
    "normal.forward": lambda shape, dtype, **knobs: torch.randn(shape, dtype=getattr(torch, np.dtype(dtype).name)),
    "penalty.forward": penalty,
    "penalty.backward": penalty_backward,
}
INTO: dict[str, Callable[..., Any]] = {  # an array that is there already
    "add.forward": lambda a, b, out: torch.add(a, b, out=out),
    "multiply.forward": lambda a, b, out: torch.mul(a, b, out=out),
    "relu.forward": lambda x, out: torch.clamp_min(x, 0, out=out),  # the fastest of those that take out
    "sigmoid.forward": lambda x, out: torch.sigmoid(x, out=out),
    "tanh.forward": lambda x, out: torch.tanh(x, out=out),
    "leaky_relu.forward": lambda x, out: aten.leaky_relu.out(x, 0.01, out=out),
    "linear.forward": lambda x, out: out.copy_(x),
    "step.forward": lambda x, out: torch.gt(x, 0, out=out),
    "silu.forward": lambda x, out: aten.silu.out(x, out=out),
    "elu.forward": lambda x, out, alpha=1.0: aten.elu.out(x, alpha, out=out),
    "gelu.forward": lambda x, out: aten.gelu.out(x, out=out),
    "softplus.forward": lambda x, out: aten.softplus.out(x, out=out),
    "softmax.forward": lambda x, out: torch.softmax(x, 1, out=out),
    "log_softmax.forward": lambda x, out: torch.log_softmax(x, 1, out=out),
}


def kernel(key: str, args: tuple[Any, ...], knobs: dict[str, Any], out: bool) -> Call | None:
    function = (INTO if out else FUNCTIONS).get(key)
    if function is None:
        return None
    tensors = [torch.from_numpy(x) for x in args]
    if out:
        tensors.append(torch.empty_like(tensors[0]))
    return lambda: function(*tensors, **knobs)


def step(op: str, args: tuple[Any, ...], knobs: dict[str, Any]) -> Call | None:
    if op == "clip_norm":
        return scaled(torch.tensor(args[0]), **knobs)
    w, dw, *state = (torch.tensor(x) for x in args)
    w.grad = dw
    if op == "adam":
        kind = torch.optim.AdamW if "weight_decay" in knobs else torch.optim.Adam
        optimizer = kind([w], knobs["learning_rate"], (BETA_1, BETA_2), EPSILON, knobs.get("weight_decay", 0.0),
                         fused=True)
        done = round(math.log(1 - knobs["correction_1"], BETA_1)) - 1  # steps before this one
        optimizer.state[w] = {"step": torch.tensor(float(done)), "exp_avg": state[0], "exp_avg_sq": state[1]}
    elif op == "adagrad":
        optimizer = torch.optim.Adagrad([w], knobs["learning_rate"], eps=EPSILON, fused=True)
        optimizer.state[w]["sum"] = state[0]
    elif op == "rmsprop":
        optimizer = torch.optim.RMSprop([w], knobs["learning_rate"], RHO, EPSILON)
        optimizer.state[w] = {"step": torch.tensor(0.0), "square_avg": state[0]}
    elif op == "sgd":
        optimizer = torch.optim.SGD([w], knobs["learning_rate"], knobs.get("momentum", 0.0),
                                    nesterov=knobs.get("nesterov", False), fused=True)
        if state:  # its moving mean is of gradients, ours of changes
            optimizer.state[w] = {"momentum_buffer": state[0] / -knobs["learning_rate"]}
    else:
        return None

    def call() -> Any:
        optimizer.step()
        return w

    return call


def scaled(gradient: Any, max_norm: float, norm: float | None = None) -> Call:
    parameter = torch.empty_like(gradient)
    parameter.grad = gradient
    total = None if norm is None else torch.tensor(norm, dtype=gradient.dtype)

    def call() -> Any:
        if total is None:
            torch.nn.utils.clip_grad_norm_([parameter], max_norm)
        else:
            torch.nn.utils.clip_grads_with_norm_([parameter], max_norm, total)
        return gradient

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
