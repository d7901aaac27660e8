"""A whole model in one npz file without pickle. A JSON text in it describes the layers, the loss and the optimizer.

Loading such a file runs no code from it: classes are looked up by name in a fixed table, and numbers are checked.
"""

import json
import os
from typing import Any

import numpy as np

from .. import losses, metrics, optimizers
from ..arrays import Array, as_floats
from ..checks import finite, flag, real, shown
from ..files import read, read_json, write
from ..parameters import named, parameters_of, state_of
from ..targets import as_class_weights
from ..training import model as models
from ..training.history import numbers
from ..training.watching import METHODS
from .parts import NAMES, as_list, build, build_layer, check_names, describe, placed, taken

FORMAT = "nnjit model 1"
DESCRIPTION = "model.json"
NEEDED = ("format", "class", "layers", "loss", "optimizer", "accuracy", "clip_norm", "history", "iterations",
          "learning_rate", "calls")
LATER = ("balanced", "input_shape", "precision_given", "powers", "trainable")  # older files lack some of these
COUNT = 2**52  # the most steps in a file


def _figures(name: Any, values: Any) -> Array:
    try:
        return np.array(numbers(name, values))
    except TypeError as error:
        raise TypeError(f"the model cannot be saved: {error}") from error


def _count(value: Any) -> Any:
    # nobody makes so many steps, but a file may claim them: a training from there on can be saved, too
    value = describe(value)
    return COUNT if isinstance(value, int) and COUNT < value < 2 * COUNT else value


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model: layers, loss, optimizer with its state, accuracy and history. See `Model.save`."""
    optimizer = model.optimizer
    ours = isinstance(optimizer, optimizers._Optimizer)
    names, parts = zip(*named(model.layers)) if model.layers else ((), ())
    for part in (*parts, model.loss, optimizer, model.accuracy):
        if part is not None and not METHODS.isdisjoint(vars(part)):
            lost = ", ".join(sorted(METHODS & {*vars(part)}))
            raise TypeError(f"{shown(part)} cannot be saved: its own {lost} would be lost")
    # a state that does not fit (say, of a momentum that was switched off) is not used again
    states = [optimizer._fitting_state(layer, found) if ours and (found := parameters_of(layer)) else None
              for layer in parts]
    if type(model) not in NAMES:
        raise TypeError(f"{type(model).__name__} cannot be saved: it is not nn.Model, but a subclass")
    figures = {str(name): _figures(name, values) for name, values in model.history.items()}
    description = {"format": FORMAT, "class": NAMES[type(model)], "layers": [describe(each) for each in model.layers],
                   "loss": describe(model.loss), "balanced": getattr(model.loss, "balanced", None),
                   "optimizer": describe(optimizer), "accuracy": describe(model.accuracy),
                   "precision_given": getattr(model.accuracy, "_given", None),
                   "clip_norm": describe(model.clip_norm), "input_shape": describe(model._input_shape),
                   "history": {name: [] for name in figures},
                   "iterations": _count(getattr(optimizer, "iterations", 0)),
                   "learning_rate": describe(getattr(optimizer, "current_learning_rate", 0.0)),
                   "calls": [_count(getattr(each, "calls", None)) for each in parts],
                   "trainable": [describe(getattr(each, "trainable", None)) for each in parts],
                   "powers": [state and state.powers for state in states]}
    arrays = {DESCRIPTION: np.frombuffer(json.dumps(description, default=describe).encode(), np.uint8)}
    # by number, since a name may be any text
    arrays.update({f"history{number}": values for number, values in enumerate(figures.values()) if len(values)})
    for place, layer, state in zip(names, parts, states):
        arrays.update({f"layer{place}.{name}": values for name, values in state_of(layer).items()})
        arrays.update({f"layer{place}.state{number}": array for number, array in
                       enumerate(state.arrays if state else ())})
    try:
        _restore(dict(arrays))
    except (TypeError, ValueError) as error:  # an attribute was set to an invalid value
        raise type(error)(f"the model cannot be saved, since it could not be loaded: {error}") from error
    write(path, arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file that `save` wrote. See `Model.load`."""
    return read(path, _restore, "model")


def _restore(arrays: dict[str, Array]) -> Any:
    if DESCRIPTION not in arrays:
        raise ValueError(f"it has no {DESCRIPTION}, but {', '.join(arrays) or 'nothing'}")
    description = read_json(arrays.pop(DESCRIPTION).tobytes(), DESCRIPTION)
    with placed(DESCRIPTION):
        check_names(description, ["format"], description)
        if description["format"] != FORMAT:
            raise ValueError(f"its format is {shown(description['format'])}, this version reads {FORMAT!r}")
        check_names(description, NEEDED, LATER)
    model = build({"class": description["class"]}, models.Model, "a model")
    for number, each in enumerate(as_list("layers", description["layers"])):
        model.add(build_layer(each, str(number), arrays))
    _set_parts(model, description)
    _set_layers(model, description, arrays)
    _set_history(model, description, arrays)
    if arrays:
        raise ValueError(f"it has {', '.join(arrays)}, which belongs to no layer and no history of {DESCRIPTION}")
    model.finalize(description.get("input_shape"))
    return model


def _set_parts(model: Any, description: dict[str, Any]) -> None:
    """Loss, optimizer and accuracy, each with its state but that of the layers."""
    found = {}
    for name, kind in (("loss", losses.Loss), ("optimizer", optimizers._Optimizer), ("accuracy", metrics._Metric)):
        what = f"{'a' if name == 'loss' else 'an'} {name}"
        with placed(name):
            found[name] = None if description[name] is None else build(description[name], kind, what)
    model.set(**found, clip_norm=description["clip_norm"])
    balanced, given = description.get("balanced"), description.get("precision_given")
    if balanced is not None:
        if not hasattr(model.loss, "balanced"):
            raise ValueError("balanced must be null for a loss without class weights")
        with placed("balanced"):
            model.loss.balanced = as_class_weights([real("a class", each) for each in as_list("it", balanced)])
    if given is not None:
        if not hasattr(model.accuracy, "_given"):
            raise ValueError("precision_given must be null for an accuracy without a precision")
        model.accuracy._given = flag("precision_given", given)  # if False, the next training computes it
    iterations = _whole("iterations", description["iterations"])
    rate = finite("learning_rate", description["learning_rate"])
    if model.optimizer is not None:
        model.optimizer.iterations, model.optimizer.current_learning_rate = iterations, rate


def _set_layers(model: Any, description: dict[str, Any], arrays: dict[str, Array]) -> None:
    """What the layers have learned and counted, and the optimizer's state of each."""
    places, parts = zip(*named(model.layers)) if model.layers else ((), ())
    optimizer = model.optimizer
    if "trainable" in description:  # else layers could not be frozen
        for place, layer, trainable in zip(places, parts, _for_each(parts, "trainable", description)):
            with placed(f"layer {place}"):
                layer.trainable = trainable
    # in files without powers all layers were updated in each step
    powers = (_for_each(parts, "powers", description) if "powers" in description else
              [optimizer and [*optimizer._powers_after(optimizer.iterations)]] * len(parts))
    for place, layer, calls, power in zip(places, parts, _for_each(parts, "calls", description), powers):
        with placed(f"layer {place}"):
            if hasattr(layer, "calls"):
                layer.calls = _whole("calls", calls)
            elif calls is not None:
                raise ValueError(f"calls must be null, since {layer} counts none, got {shown(calls)}")
            for name in state_of(layer):
                setattr(layer, name, taken(arrays, f"layer{place}.{name}"))
            _set_state(optimizer, layer, place, power, arrays)


def _for_each(parts: Any, name: str, description: dict[str, Any]) -> list[Any]:
    values = as_list(name, description[name])
    if len(values) != len(parts):
        raise ValueError(f"{name} must have {len(parts)} elements, one for each layer, got {len(values)}")
    return values


def _set_state(optimizer: Any, layer: Any, place: str, powers: Any, arrays: dict[str, Array]) -> None:
    state: list[Array] = []
    while (name := f"layer{place}.state{len(state)}") in arrays:
        state.append(as_floats(arrays.pop(name), layer.dtype, name))
    if powers is not None and optimizer is not None:
        powers = _powers(powers, len(optimizer.powers))
    if not state:
        return
    like = [values for values in parameters_of(layer).values() for _ in range(getattr(optimizer, "buffers", 0))]
    if [values.size for values in state] != [values.size for values in like]:
        raise ValueError("the optimizer's state does not fit the layer")
    if powers is None:
        raise ValueError("powers must be a list for a layer with state, got None")
    kept = optimizers._State()
    # that of biases (1, n_neurons) in older files
    kept.arrays = tuple(values.reshape(each.shape) for values, each in zip(state, like))
    kept.powers = powers
    optimizer._states[layer] = kept


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT:
        raise ValueError(f"{name} must be a whole number of at least 0 and at most {COUNT}, got {shown(value)}")
    return value


def _powers(values: Any, count: int) -> tuple[float, ...]:
    found = tuple(real("powers", value) for value in as_list("powers", values))
    if len(found) != count or not all(0 <= power <= 1 for power in found):
        raise ValueError(f"powers must be {count} numbers in 0..1, got {shown(values)}")
    return found


def _set_history(model: Any, description: dict[str, Any], arrays: dict[str, Array]) -> None:
    given = description["history"]
    if not isinstance(given, dict):
        raise ValueError(f"history must be an object with a list for each name, got {shown(given)}")
    for number, (name, values) in enumerate(given.items()):
        what = f"history of {shown(name)}"
        # older files have the figures in the description
        if not as_list(what, values) and f"history{number}" in arrays:
            figures = arrays.pop(f"history{number}")
            if figures.ndim != 1:
                raise ValueError(f"{what} must have shape (N,), got {figures.shape}")
            values = figures.tolist()
        model.history[name] = [real(what, value) for value in values]
    if "trainable" not in description and not model.history["regularization_loss"]:
        # it was noted of models with regularizers only
        model.history["regularization_loss"] = [0.0] * len(model.history["loss"])
