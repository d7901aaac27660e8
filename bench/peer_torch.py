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
