"""The parts of a model, such as layers and losses, as JSON describes them: by a class and its arguments.

Classes are looked up by name in a fixed table, and all that is wrong is said with its place in the description.
"""

import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import layers, losses, metrics, optimizers, schedules
from ..arrays import Array
from ..checks import shown, whole
from ..training import model as models

DEPTH = 20  # how often layers may be within others in a file, and
SCHEDULES = 10  # schedules
BASES: list[type] = [losses.Loss]  # which compute nothing
CLASSES: dict[str, type] = {
    **{name: found for module in (layers, losses, metrics, optimizers, schedules)
       for name, found in vars(module).items()
       if inspect.isclass(found) and found.__module__.startswith(module.__name__) and not name.startswith("_")
       and found not in BASES},
    "layers.Step": layers.Step,  # "Step" is the schedule
    "Model": models.Model}
LAYERS: tuple[type, ...] = tuple(found for found in CLASSES.values() if found.__module__.startswith(layers.__name__))
CONTAINERS: dict[type, tuple[str, ...]] = {  # what describes them, first the layers in a row
    layers.Sequential: ("layers",), layers.Parallel: ("layers", "join"),
    layers.Residual: ("body", "shortcut", "activation")}
NAMES = {found: name for name, found in reversed(CLASSES.items())}


def add_classes(module: str, classes: dict[str, type], *bases: type) -> None:
    """Let models with these classes, by their names in a module of nn, be saved and loaded; not with the bases. A class
    that has a name already keeps it for saving."""
    BASES.extend(bases)
    for name, found in classes.items():
        if found not in BASES:
            CLASSES[f"{module}.{name}"] = found
            NAMES.setdefault(found, f"{module}.{name}")


def describe(part: Any) -> Any:
    """The class and the arguments of an object, from its attributes of their names."""
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.dtype):
        return part.name
    if isinstance(part, (tuple, list)):
        return [describe(each) for each in part]
    if isinstance(part, dict):  # class weights
        return {str(key): describe(each) for key, each in part.items()}
    if type(part) not in NAMES:
        kind = "of a base class" if type(part) in BASES else "not of a class of nnjit.nn"
        raise TypeError(f"{shown(part)} cannot be saved: it is {kind}")
    if type(part) is layers.Residual:
        return {"class": NAMES[type(part)], "body": describe(part.body.layers), "shortcut": describe(part.shortcut),
                "activation": describe(part.activation)}
    if type(part) in CONTAINERS:
        return {"class": NAMES[type(part)], **{name: describe(getattr(part, name)) for name in CONTAINERS[type(part)]}}
    if hasattr(part, "arguments"):
        return {"class": NAMES[type(part)], **part.arguments()}
    names = inspect.signature(type(part).__init__).parameters
    arguments = {name: describe(getattr(part, name)) for name in names if name != "self" and hasattr(part, name)}
    if isinstance(part, layers.Dense):  # the book's does not take it
        arguments["dtype"] = part.dtype.name
    if isinstance(part, optimizers.SGD) and not part.momentum:
        arguments.pop("nesterov", None)  # without a momentum it has no effect, and is refused as an argument
    return {"class": NAMES[type(part)], **arguments}


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Where a part of a description is read: a TypeError or ValueError names the place."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error


def check_names(given: Collection[str], needed: Collection[str], others: Collection[str] = ()) -> None:
    """Raise ValueError for a name that is needed and not given, or given and not known."""
    for name in needed:
        if name not in given:
            raise ValueError(f"it lacks {name!r}")
    for name in given:
        if name not in needed and name not in others:
            raise ValueError(f"it has {shown(name)}, which is not known here: known are "
                             f"{', '.join(dict.fromkeys([*needed, *others])) or 'none'}")


def as_list(name: str, value: Any) -> list[Any]:
    """A list as it is. Raises ValueError for anything else."""
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {shown(value)}")
    return value


def taken(arrays: dict[str, Array], name: str) -> Array:
    """An array of the file, which is then no longer among them. Raises ValueError if there is none."""
    if name not in arrays:
        raise ValueError(f"the file lacks {name}")
    return arrays.pop(name)


def build(described: Any, kind: type | tuple[type, ...], what: str, depth: int = 0) -> Any:
    """An object of a class in `kind`, which is `what` in words. Raises TypeError or ValueError for any other."""
    found = _class(described, kind, what)
    if depth > SCHEDULES:
        raise ValueError(f"schedules are nested more than {SCHEDULES} times")
    parameters = inspect.signature(layers.Dense if issubclass(found, layers.Dense) else found).parameters.values()
    known = {each.name: each.default for each in parameters if each.name not in ("initializer", "rng")
             and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    given = {name: value for name, value in described.items() if name != "class"}
    check_names(given, [name for name, default in known.items() if default is inspect.Parameter.empty], known)
    for name, value in given.items():
        if value is None and known[name] is not None:
            raise ValueError(f"{name} must not be null")
        with placed(name):
            given[name] = _argument(value, depth)
    if issubclass(found, layers.Dense):
        layer = found.__new__(found)
        layers.Dense.__init__(layer, **given, initializer="zeros")  # the book's would draw random numbers
        return layer
    if issubclass(found, layers._Weighted):
        given["initializer"] = "zeros"
    return found(**given)


def _class(described: Any, kind: type | tuple[type, ...], what: str) -> type:
    if not isinstance(described, dict):
        raise ValueError(f"it must be the description of {what}, got {shown(described)}")
    check_names(described, ["class"], described)
    name = described["class"]
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(f"there is no class {shown(name)}")
    if not issubclass(CLASSES[name], kind):
        raise ValueError(f"{name} where {what} belongs")
    return CLASSES[name]


def _argument(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        inner = [part for each in value for part in (each if isinstance(each, list) else [each])]
        if any(isinstance(each, (list, dict)) for each in inner):
            raise ValueError(f"it must be a list of numbers, or of pairs of them, got {shown(value)}")
    if not isinstance(value, dict):
        return value
    if "class" in value:  # nothing else is an argument: a Dense could claim any size
        return build(value, schedules._Schedule, "a schedule", depth + 1)
    return {_class_number(key): weight for key, weight in value.items()}


def _class_number(key: str) -> int:
    # class weights; keys in JSON are strings. int takes "01" and "0_1" for 1, too
    if len(key) > 20 or not key.isdecimal() or key != str(int(key)):
        raise ValueError(f"{key[:40]!r} is not a class number")
    return int(key)


def build_layer(described: Any, name: str, arrays: dict[str, Array], depth: int = 0) -> Any:
    """A layer by its description, and those that it is made of; `name` is where it stands, such as "3.body.0".

    Raises TypeError or ValueError that names it for anything else.
    """
    place = f"layer {name}"
    with placed(place):
        if depth > DEPTH:
            raise ValueError(f"layers are nested more than {DEPTH} times")
        found = _class(described, LAYERS, "a layer")
        if found not in CONTAINERS:
            _check_size(found, described, name, arrays)
            return build(described, LAYERS, "a layer")
        row, *more = CONTAINERS[found]
        check_names(described, ["class", row, *more])
        several = as_list(row, described[row])

    def inner(each: Any, part: str) -> Any:
        return build_layer(each, f"{name}.{part}", arrays, depth + 1)

    given = {part: described[part] for part in more}
    if found is layers.Residual:
        given = {part: None if each is None else inner(each, part) for part, each in given.items()}
    children = [inner(each, f"body.{number}" if row == "body" else str(number)) for number, each in enumerate(several)]
    with placed(place):
        return found(*children, **given)


def _check_size(kind: type, described: dict[str, Any], name: str, arrays: dict[str, Array]) -> None:
    # before a layer takes the memory that the description claims
    if issubclass(kind, layers.Dense):
        check_names(described, ["n_inputs", "n_neurons"], described)
        shape: tuple[int, ...] = whole("n_inputs", described["n_inputs"]), whole("n_neurons", described["n_neurons"])
    elif issubclass(kind, (layers.Conv2d, layers.ConvTranspose2d)):
        check_names(described, ["in_channels", "out_channels", "kernel_size"], described)
        shape = kind._described_shape(**described)
    elif issubclass(kind, (layers.BatchNorm, layers.LayerNorm)):
        check_names(described, ["num_features"], described)
        shape = (whole("num_features", described["num_features"]),)
    else:
        return
    first = f"layer{name}.{'weights' if issubclass(kind, layers._Weighted) else 'gamma'}"
    if first not in arrays:
        raise ValueError(f"the file lacks {first}")
    if arrays[first].shape != shape:
        raise ValueError(f"{first} must have shape {shown(shape)}, got {arrays[first].shape}")
