"""A whole model in one npz file without pickle. A JSON text in it describes the layers, the loss and the optimizer.

Loading such a file runs no code from it: classes are looked up by name in a fixed table, and numbers are checked.
"""

import inspect
import json
import os
from typing import Any

import numpy as np

from .. import layers, losses, metrics, optimizers, schedules
from ..arrays import Array, as_floats
from ..checks import real
from ..files import read, read_json, write
from ..parameters import named, parameters_of
from ..training import model as models
from ..training.history import numbers
from ..training.recording import METHODS

FORMAT = "nnjit model 1"
DESCRIPTION = "model.json"
COUNT = 2**52  # the most steps in a file
DEPTH = 20  # how often layers may be within others there
BASES: list[type] = [losses.Loss]  # which compute nothing
CLASSES: dict[str, type] = {
    **{name: found for module in (layers, losses, metrics, optimizers, schedules)
       for name, found in vars(module).items()
       if inspect.isclass(found) and found.__module__.startswith(module.__name__) and not name.startswith("_")
       and found not in BASES},
    "layers.Step": layers.Step,  # "Step" is the schedule
    "Model": models.Model}
LAYERS = tuple(found for found in CLASSES.values() if found.__module__.startswith(layers.__name__))
NAMES = {found: name for name, found in reversed(CLASSES.items())}


def add_classes(module: str, classes: dict[str, type], *bases: type) -> None:
    """Let models with these classes, by their names in a module of nn, be saved and loaded; not with the bases. A class
    that has a name already keeps it for saving."""
    BASES.extend(bases)
    for name, found in classes.items():
        if found not in BASES:
            CLASSES[f"{module}.{name}"] = found
            NAMES.setdefault(found, f"{module}.{name}")


def _describe(part: Any) -> Any:
    """The class and the arguments of an object, from its attributes of their names."""
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.dtype):
        return part.name
    if isinstance(part, (tuple, list)):
        return [_describe(each) for each in part]
    if isinstance(part, dict):  # class weights
        return {str(key): _describe(each) for key, each in part.items()}
    if type(part) not in NAMES:
        kind = "of a base class" if type(part) in BASES else "not of a class of nnjit.nn"
        raise TypeError(f"{part!r} cannot be saved: it is {kind}")
    if isinstance(part, layers.Residual):
        return {"class": NAMES[type(part)], "body": _describe(part.body.layers), "shortcut": _describe(part.shortcut),
                "activation": _describe(part.activation)}
    if isinstance(part, (layers.Sequential, layers.Parallel)):
        more = {"join": part.join} if isinstance(part, layers.Parallel) else {}
        return {"class": NAMES[type(part)], "layers": _describe(part.layers), **more}
    if hasattr(part, "arguments"):
        return {"class": NAMES[type(part)], **part.arguments()}
    names = inspect.signature(type(part).__init__).parameters
    arguments = {name: _describe(getattr(part, name)) for name in names if name != "self" and hasattr(part, name)}
    if isinstance(part, layers.Dense):
        arguments["dtype"] = part.dtype.name
    if isinstance(part, optimizers.SGD) and not part.momentum:
        arguments.pop("nesterov", None)  # without a momentum it has no effect, and is refused as an argument
    return {"class": NAMES[type(part)], **arguments}


def _class(described: dict[str, Any]) -> type:
    if described["class"] not in CLASSES:
        raise ValueError(f"there is no class {described['class']!r}")
    return CLASSES[described["class"]]


def _argument(value: Any) -> Any:
    if isinstance(value, dict) and "class" not in value:  # class weights; keys in JSON are strings
        return {_class_number(key): weight for key, weight in value.items()}
    return _schedule(value) if isinstance(value, dict) else value


def _class_number(key: str) -> int:
    # int takes "01" and "0_1" for 1, too
    if not key.isdecimal() or key != str(int(key)):
        raise ValueError(f"{key[:40]!r} is no class number")
    return int(key)


def _schedule(described: Any) -> Any:
    # nothing else is an argument: a Dense could claim any size
    if _class(described).__module__ != schedules.__name__:
        raise ValueError(f"{described['class']} where a schedule belongs")
    return _build(described, object)


def _build(described: Any, kind: type | tuple[type, ...]) -> Any:
    if described is None:
        return None
    wish = kind.__name__ if isinstance(kind, type) else "layer"
    if not isinstance(described, dict):
        raise ValueError(f"{str(described)[:40]} where a {wish} belongs")
    arguments = {name: _argument(value) for name, value in described.items() if name != "class"}
    found = _class(described)
    if not issubclass(found, kind):
        raise ValueError(f"{described['class']} where a {wish} belongs")
    if issubclass(found, layers.Dense):
        layer = found.__new__(found)
        layers.Dense.__init__(layer, **arguments, initializer="zeros")  # the book's would draw random numbers
        return layer
    return found(**arguments)


def _layer(described: Any, name: str, arrays: dict[str, Array], depth: int = 0) -> Any:
    """A layer by its description, and those that it is made of; `name` is where it stands, such as "3.body.0"."""
    if depth > DEPTH:
        raise ValueError(f"layers are within each other more than {DEPTH} times")
    found = _class(described) if isinstance(described, dict) else object
    if not issubclass(found, (layers.Sequential, layers.Parallel, layers.Residual)):
        if isinstance(described, dict) and "n_inputs" in described and (
                arrays[f"layer{name}.weights"].shape != (described["n_inputs"], described["n_neurons"])):
            raise ValueError(f"the weights of layer {name} have another shape than the layer")
        return _build(described, LAYERS)

    def several(each: list[Any], prefix: str) -> list[Any]:
        return [_layer(one, f"{prefix}.{number}", arrays, depth + 1) for number, one in enumerate(each)]

    if issubclass(found, layers.Residual):
        more = {part: each and _layer(each, f"{name}.{part}", arrays, depth + 1)
                for part in ("shortcut", "activation") for each in [described[part]]}
        return found(*several(described["body"], f"{name}.body"), **more)
    more = {"join": described["join"]} if issubclass(found, layers.Parallel) else {}
    return found(*several(described["layers"], name), **more)


def _figures(name: Any, values: Any) -> Array:
    try:
        return np.array(numbers(name, values))
    except TypeError as error:
        raise TypeError(f"the model cannot be saved: {error}") from error


def _count(value: Any) -> Any:
    # nobody makes so many steps, but a file may claim them: a training from there on can be saved, too
    value = _describe(value)
    return COUNT if isinstance(value, int) and COUNT < value < 2 * COUNT else value


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model: layers, loss, optimizer with its state, accuracy and history. See `Model.save`."""
    optimizer = model.optimizer
    ours = isinstance(optimizer, optimizers._Optimizer)
    names, parts = zip(*named(model.layers)) if model.layers else ((), ())
    for part in (*parts, model.loss, optimizer, model.accuracy):
        if part is not None and not METHODS.isdisjoint(vars(part)):
            lost = ", ".join(sorted(METHODS & {*vars(part)}))
            raise TypeError(f"{part!r} cannot be saved: its own {lost} would be lost")
    # a state that does not fit (say, of a momentum that was switched off) is not used again
    states = [optimizer._kept(layer) if ours and parameters_of(layer) else None for layer in parts]
    if type(model) not in NAMES:
        raise TypeError(f"{type(model).__name__} cannot be saved: it is not nn.Model, but a subclass")
    figures = {str(name): _figures(name, values) for name, values in model.history.items()}
    description = {"format": FORMAT, "class": NAMES[type(model)], "layers": [_describe(each) for each in model.layers],
                   "loss": _describe(model.loss), "balanced": getattr(model.loss, "balanced", None),
                   "optimizer": _describe(optimizer), "accuracy": _describe(model.accuracy),
                   "precision_given": getattr(model.accuracy, "_given", None),
                   "clip_norm": _describe(model.clip_norm),
                   "history": {name: [] for name in figures},
                   "iterations": _count(getattr(optimizer, "iterations", 0)),
                   "learning_rate": _describe(getattr(optimizer, "current_learning_rate", 0.0)),
                   "calls": [_count(getattr(each, "calls", None)) for each in parts],
                   "trainable": [_describe(getattr(each, "trainable", None)) for each in parts],
                   "powers": [state and state.powers for state in states]}
    arrays = {DESCRIPTION: np.frombuffer(json.dumps(description, default=_describe).encode(), np.uint8)}
    # by number, since a name may be any text
    arrays.update({f"history{number}": values for number, values in enumerate(figures.values()) if len(values)})
    for place, layer, state in zip(names, parts, states):
        arrays.update({f"layer{place}.{name}": values for name, values in parameters_of(layer).items()})
        arrays.update({f"layer{place}.state{number}": array for number, array in
                       enumerate(state.arrays if state else ())})
    try:
        _restore(dict(arrays))
    except (TypeError, ValueError) as error:  # an attribute was set to an invalid value
        raise type(error)(f"the model cannot be saved, since it could not be loaded: {error}") from error
    write(path, arrays)


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT:
        raise ValueError(f"{name} must be a whole number of at least 0 and at most {COUNT}, got {str(value)[:40]}")
    return value


def _powers(number: str, values: Any, count: int) -> tuple[float, ...]:
    found = tuple(real(f"powers of layer {number}", value) for value in values)
    if len(found) != count or not all(0 <= power <= 1 for power in found):
        raise ValueError(f"powers of layer {number} must be {count} numbers in 0..1, got {str(values)[:40]}")
    return found


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file that `save` wrote. See `Model.load`."""
    return read(path, _restore, "model")


def _restore(arrays: dict[str, Array]) -> Any:
    if DESCRIPTION not in arrays:
        raise ValueError(f"it has no {DESCRIPTION}, but {', '.join(arrays) or 'nothing'}")
    description = read_json(arrays.pop(DESCRIPTION).tobytes(), DESCRIPTION)
    if description["format"] != FORMAT:
        raise ValueError(f"its format is {description['format']!r}, this version reads {FORMAT!r}")
    model = _build({"class": description["class"]}, models.Model)
    for number, each in enumerate(description["layers"]):
        model.add(_layer(each, str(number), arrays))
    names, parts = zip(*named(model.layers)) if model.layers else ((), ())
    model.set(loss=_build(description["loss"], losses.Loss),
              optimizer=_build(description["optimizer"], optimizers._Optimizer),
              accuracy=_build(description["accuracy"], metrics._Counting),
              clip_norm=description["clip_norm"])
    if description.get("balanced") is not None:
        model.loss.balanced = losses.as_class_weights([float(weight) for weight in description["balanced"]])
    if description.get("precision_given") is False:
        model.accuracy._given = False  # the next training computes it from its targets
    optimizer = model.optimizer
    if optimizer is not None:
        optimizer.iterations = _whole("iterations", description["iterations"])
        optimizer.current_learning_rate = description["learning_rate"]
        # in files without powers all layers were updated in each step
        powers = description.get("powers") or [optimizer._after(optimizer.iterations)] * len(parts)
    before = "trainable" not in description  # layers could be frozen
    if not before:
        for layer, trainable in zip(parts, description["trainable"], strict=True):
            layer.trainable = trainable
    for number, (place, layer, calls) in enumerate(zip(names, parts, description["calls"], strict=True)):
        if calls is not None:
            if not hasattr(layer, "calls"):
                raise ValueError(f"{layer} counts no calls")
            layer.calls = _whole("calls", calls)
        for name in parameters_of(layer):
            setattr(layer, name, arrays[f"layer{place}.{name}"])
        state: list[Array] = []
        while (name := f"layer{place}.state{len(state)}") in arrays:
            state.append(as_floats(arrays[name], layer.dtype, name))
        if state:
            like = [values for values in parameters_of(layer).values() for _ in range(getattr(optimizer, "buffers", 0))]
            if [values.size for values in state] != [values.size for values in like]:
                raise ValueError(f"the optimizer's state of layer {place} does not fit the layer")
            kept = optimizers._State()
            # that of biases (1, n_neurons) in older files
            kept.arrays = tuple(values.reshape(each.shape) for values, each in zip(state, like))
            kept.powers = _powers(place, powers[number], len(optimizer.powers))
            optimizer._states[layer] = kept
    for number, (name, values) in enumerate(description["history"].items()):
        if not values and f"history{number}" in arrays:  # older files have the figures in the description
            figures = arrays[f"history{number}"]
            if figures.ndim != 1:
                raise ValueError(f"the history of {name} must have shape (N,), got {figures.shape}")
            values = figures.tolist()
        model.history[name] = [float(value) for value in values]
    if before and not model.history["regularization_loss"]:  # which was noted of models with regularizers only
        model.history["regularization_loss"] = [0.0] * len(model.history["loss"])
    model.finalize()
    return model
