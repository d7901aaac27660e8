"""Calls of PyTorch: native kernels in inference mode, fused optimizers."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .peers import BETA_1, BETA_2, EPSILON, Call, Parameters

torch: Any = import_module("torch")  # by name: checkers of types need not find it


def kernel(functions: dict[str, Callable[..., Any]], key: str, args: tuple[Any, ...], options: dict[str, Any],
           out: bool) -> Call | None:
    function = functions.get(f"{key} out=" if out else key)
    if function is None:
        return None
    tensors = [torch.from_numpy(x) for x in args]
    if out:
        tensors.append(torch.empty_like(tensors[0]))
    return lambda: function(*tensors, **options)


def step(rule: Callable[..., Call], args: tuple[Any, ...], options: dict[str, Any]) -> Call:
    tensors = [torch.tensor(x) for x in args]
    advance = rule(*tensors, **options)

    def call() -> Any:
        advance()
        return tensors[0]

    return call


def network(what: str, parameters: Parameters, x: Any, y: Any, steps: int, learning_rate: float) -> Call:
    regression = y.ndim > 1
    with torch.inference_mode(False), torch.enable_grad():
        layers: list[Any] = []
        for w, b in parameters:
            layers += [torch.nn.Linear(*w.shape), torch.nn.Tanh() if regression else torch.nn.ReLU()]
            layers[-2].weight = torch.nn.Parameter(torch.tensor(w.T))
            layers[-2].bias = torch.nn.Parameter(torch.tensor(b))
        layers.pop()
        model, inputs, targets = torch.nn.Sequential(*layers), torch.tensor(x), torch.tensor(y)
        criterion = torch.nn.MSELoss() if regression else torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), learning_rate, (BETA_1, BETA_2), EPSILON, fused=True)
        trained = [(layer.weight.detach().t(), layer.bias.detach()) for layer in layers[::2]]

    def accuracy(scores: Any) -> float:
        share: float = (scores.argmax(1) == targets).float().mean().item()
        return share

    def evaluate() -> tuple[float, float]:
        scores = model(inputs)
        return criterion(scores, targets).item(), accuracy(scores)

    def train() -> Parameters:
        for _ in range(steps):
            with torch.inference_mode(False), torch.enable_grad():
                optimizer.zero_grad(set_to_none=True)
                scores = model(inputs)
                loss = criterion(scores, targets)
                loss.backward()
                optimizer.step()
                loss.item()  # our training reports it, too
            if what == "epoch":
                accuracy(scores)
                evaluate()
        return trained

    if what == "predict":
        if not regression:
            model.append(torch.nn.Softmax(1))
        model.eval()
        return lambda: model(inputs)
    return evaluate if what == "evaluate" else train
