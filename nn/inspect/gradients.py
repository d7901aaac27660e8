"""Gradient checking: the backward of layers and loss beside central differences.

By the chain rule, the gradient of a model is right if that of each part is. So each part is checked alone, with the
gradient that it gets from the following parts in a real backward. A wrong part fails alone, and is named.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FLOAT32, FLOAT64, Array, as_floats
from ..checks import Seed, flag, generator, positive, shown, whole
from ..layers import Dense, Layer, penalties_of, result, with_parameters
from ..parameters import get_parameter, gradients_of, parameters_of, set_parameter, walk, within
from ..training.model import Model
from ..training.progress import say

SHIFT = 1e-3  # of parameters: far beyond the steps, so that few kinks remain within them


class GradientRow(NamedTuple):
    """The result for one array: the gradient of layer `layer` (its number in `model.layers` and its name) with respect
    to `name`."""

    layer: str
    name: str
    shape: tuple[int, ...]
    checked: int  # entries that were compared
    skipped: int  # entries at kinks, where differences are meaningless
    error: float  # the largest
    passed: bool
    note: str  # what is wrong, or ""


@dataclass(frozen=True)
class GradientCheck:
    """The result of `check_gradients`: true if all `rows` passed; `str` gives the table."""

    rows: list[GradientRow]
    tolerance: float

    def __bool__(self) -> bool:
        return all(row.passed for row in self.rows)

    def __str__(self) -> str:
        cells = [("layer", "gradient of", "shape", "checked", "skipped", "error", "")]
        for row in self.rows:
            verdict = "ok" if row.passed else "FAIL: " + row.note
            cells.append((row.layer, row.name, str(row.shape), str(row.checked), str(row.skipped),
                          f"{row.error:.1e}", verdict))
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = []
        for number, row_cells in enumerate(cells):
            padded = [cell.rjust(width) if 3 <= place <= 5 else cell.ljust(width)
                      for place, (cell, width) in enumerate(zip(row_cells, widths))]
            lines.append("  ".join(padded).rstrip())
        failed = sum(not row.passed for row in self.rows)
        lines.append(f"{failed} of {len(self.rows)} gradients FAIL" if failed else
                     f"all {len(self.rows)} gradients agree with central differences to {self.tolerance:g}")
        return "\n".join(lines)


def check_gradients(model: Model, X: ArrayLike, y: ArrayLike, *, numbers: int | None = 100, step: float = 1e-5,
                    tolerance: float = 1e-6, seed: Seed = 0, verbose: bool = True
                    ) -> GradientCheck:
    """Compare the gradients of a finalized model with central differences, print a table and return the result.

    X, y: a batch as for `train`; 10 to 100 samples are enough.
    numbers: how many entries of each array to check, including the one with the largest gradient; None checks all.
    step: the step of the differences, relative for entries above 1; a tenth and a hundredth of it are tried, too.
    tolerance: the largest error that passes.
    seed: a number or a NumPy Generator, for the choice of entries.
    verbose: print the table.

    For each layer, the gradients with respect to its inputs, weights and biases are compared with the differences of
    sum(dy * outputs) plus the penalties of its regularizers, where dy is the gradient that the layer's `backward` gets.
    For the loss, its mean is differentiated. A softmax or sigmoid that is joined with the loss is checked with it, not
    as a layer or part of a Dense. Inputs that are whole numbers have no gradient. Layers run as in training. Whole
    numbers among a layer's attributes, such as Dropout's `calls`, and NumPy Generators are restored before each
    forward, so that masks stay the same.

    The error of an entry is its difference from backward, divided by the largest gradient of its array, so that
    entries near 0 do not fail by rounding. An entry is skipped if the slope changes within the step by at least half
    the difference, which means a kink such as ReLU's. An array whose entries are all skipped does not pass.

    The model is not changed. A copy in float64 is checked, with its parameters shifted by about 0.001 at random, since
    biases of 0 are at the kink of ReLU for inputs of 0, and at that of L1.

    Raises RuntimeError for a model without loss or finalize, and for a layer whose outputs differ from call to call;
    TypeError for a layer that does not return float64 for float64; TypeError and ValueError for data that does not fit.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be an nn.Model, got {shown(model)}")
    model._check_ready("loss")
    verbose = flag("verbose", verbose)
    most = None if numbers is None else whole("numbers", numbers)
    step, tolerance = positive("step", step), positive("tolerance", tolerance)
    rng = generator("seed", seed)
    if not _are_whole(model._inputs(X)):
        X = as_floats(X, FLOAT64, "X")
    with np.errstate(all="ignore"):  # a NaN fails, by name
        arrays = _backward(_float64(model, rng), X, y)
        found = GradientCheck([_compare(*array, rng, most, step, tolerance) for array in arrays], tolerance)
    if verbose:
        for line in str(found).splitlines():
            say(line)
    return found


def _float64(model: Model, rng: np.random.Generator) -> Model:
    twin = copy.copy(model)
    twin.layers, twin.loss = copy.deepcopy((model.layers, model.loss))
    for part in (*walk(twin.layers), twin.loss):
        for name, value in list(vars(part).items()):
            if isinstance(value, np.ndarray) and value.dtype == FLOAT32:
                setattr(part, name, value.astype(np.float64))
            elif isinstance(value, np.dtype) and value == FLOAT32:
                setattr(part, name, FLOAT64)
            elif name == "parameters" and isinstance(value, dict):
                setattr(part, name, {key: np.array(values, FLOAT64) for key, values in value.items()})
    twin.finalize()
    for layer in with_parameters(twin.layers):
        layer.trainable = True  # a frozen one computes no gradients
        for name in parameters_of(layer):
            values = get_parameter(layer, name)
            set_parameter(layer, name, values + rng.normal(0, SHIFT, values.shape))
    if isinstance(twin._step.joined, Dense):
        twin._step.joined.activation = None
    return twin


class _Checked(NamedTuple):
    layer: str
    name: str
    values: Array
    gradient: Any  # by backward
    terms: Callable[[Array], Array]  # for such values; their sum is what the gradient is of


def _backward(model: Model, X: Any, y: ArrayLike) -> list[_Checked]:
    """A forward and a backward of the model, layer by layer: all arrays that have a gradient."""
    X, y, *weighted = model._samples("checked", X, y)
    weights = weighted[0] if weighted else np.ones(len(X))
    loss: Any = model._step.batch_loss
    inputs, states = [], []
    x = X.copy()
    layers = list(enumerate(model.layers[:len(model._step.body)]))
    for number, layer in layers:
        inputs.append(x.copy())
        states.append([(part, _state(part)) for part in walk([layer])])
        x = result(layer.forward(x, True), layer, "output")
        if x.dtype != FLOAT64 and not _are_whole(x):
            raise TypeError(f"layer {_name(number, layer)} must give float64 for float64, got {x.dtype}")
    outputs = x.copy()
    loss.output = x  # as in a training
    losses = loss.forward(x, y)
    gradient = np.asarray(result(loss.backward(loss.output, y), loss, "dinputs"))
    gradient = gradient * _along(weights, gradient)
    name = type(model.loss).__name__
    if model._step.joined is not None:
        name = f"{'Sigmoid' if isinstance(model._step.joined, Dense) else type(model._step.joined).__name__}, {name}"
    arrays = [_Checked(name, "inputs", outputs, gradient,
                       lambda x: loss.forward(x, y) * _along(weights, losses) / losses.size)]
    for number, layer in reversed(layers):
        if np.shape(gradient) != x.shape:
            break  # it fails, and the layers before cannot be checked
        x, dy = inputs.pop(), gradient
        found = layer.backward(dy.copy())
        gradient = _copy(getattr(layer, "dinputs", None) if found is None else found)
        arrays[:0] = _layer(_name(number, layer), layer, x, dy, gradient, states.pop())
    return arrays


def _along(weights: Array, values: Array) -> Array:
    # weights (N, ...) that broadcast to values of more dimensions
    return weights.reshape(*weights.shape, *[1] * (values.ndim - weights.ndim))


def _layer(label: str, layer: Layer, x: Array, dy: Array, dx: Any, states: list[tuple[Layer, dict[str, Any]]]
           ) -> list[_Checked]:
    # `states` are of the layer and of all that it is made of
    def of_inputs(x: Array) -> Array:
        for part, state in states:
            part.__dict__.update(copy.deepcopy(state))
        outputs = result(layer.forward(x.copy(), True), layer, "output")
        return np.append(dy * outputs, [penalty for part, _ in states for penalty in penalties_of(part)])

    def of(part: Layer, name: str, kept: Array) -> Callable[[Array], Array]:
        def terms(values: Array) -> Array:
            set_parameter(part, name, values)
            found = of_inputs(x)
            set_parameter(part, name, kept)
            return found
        return terms

    arrays = [] if _are_whole(x) else [_Checked(label, "inputs", x, dx, of_inputs)]
    for path, part in [("", layer), *within(layer)]:
        gradients = gradients_of(part)
        for name in parameters_of(part):
            values, gradient = get_parameter(part, name).copy(), _copy(gradients[name])
            if gradient is not None and values.shape == (1, *gradient.shape):  # biases
                gradient = gradient[None]
            arrays.append(_Checked(label, f"{path}.{name}" if path else name, values.copy(), gradient,
                                   of(part, name, values)))
    return arrays


def _compare(layer: str, name: str, values: Array, gradient: Any, terms: Callable[[Array], Array],
             rng: np.random.Generator, most: int | None, step: float, tolerance: float) -> GradientRow:
    if np.shape(gradient) != values.shape:
        what = "nothing" if gradient is None else f"shape {np.shape(gradient)}"
        return GradientRow(layer, name, values.shape, 0, 0, math.inf, False, f"backward gives {what}")
    base = terms(values)
    if not np.array_equal(base, terms(values), equal_nan=True):
        raise RuntimeError(f"layer {layer} gives other outputs each time: its random numbers must come from a NumPy "
                           "Generator among its attributes, or depend on a number that is one")
    size = np.abs(gradient)
    # the rounding of the differences: without it a gradient of 0 could not be checked
    rounding = 4 * np.finfo(np.float64).eps * np.linalg.norm(base) / step
    scale = max(size.max(), rounding / tolerance, np.finfo(np.float64).tiny)  # size first: NaN stays
    entries = np.arange(values.size)
    if most is not None and most < values.size:
        entries = rng.permutation(values.size)[:most]
        if size.argmax() not in entries:
            entries[0] = size.argmax()
    worst, note, skipped = 0.0, "", 0
    for at in zip(*np.unravel_index(np.sort(entries), values.shape)):
        slope, kink = _slope(values, at, gradient[at], terms, base, step, tolerance * scale)
        if kink:
            skipped += 1
            continue
        error = abs(gradient[at] - slope) / max(scale, abs(slope))
        if not error <= worst:  # NaN is worst
            worst = error
            place = ", ".join(map(str, at))
            note = f"at [{place}] backward gives {gradient[at]:.6g}, the differences {slope:.6g}"
    checked = len(entries) - skipped
    passed = checked > 0 and worst <= tolerance
    if not checked:
        note = "every entry is at a kink: try other inputs"
    return GradientRow(layer, name, values.shape, checked, skipped, float(worst), bool(passed), "" if passed else note)


def _slope(values: Array, at: tuple[Any, ...], expected: float, terms: Callable[[Array], Array], base: Array,
           step: float, near: float) -> tuple[float, bool]:
    """The central difference for one entry, at the first step where it is near `expected`, and, if at none, whether the
    slope changes within the step."""
    kept = values[at]
    slopes, bends = [], []
    for part in (1, 10, 100):
        h = step / part * max(1.0, abs(kept))
        above, below = kept + h, kept - h
        values[at] = above
        up = terms(values) - base
        values[at] = below
        down = terms(values) - base
        values[at] = kept
        slopes.append(float((up - down).sum() / (above - below)))
        bends.append(float((up + down).sum() / h))  # the right slope minus the left one
        if abs(slopes[-1] - expected) <= near:
            return slopes[-1], False
    # of a smooth function the bend shrinks as the step does; at a kink it stays, or the slope changes
    change = max(abs(slopes[-1] - slopes[-2]), abs(10 * bends[-1] - bends[-2]) / 9)
    return slopes[-1], change >= abs(slopes[-1] - expected) / 2


def _state(layer: Layer) -> dict[str, Any]:
    # the state that changes a layer's next forward
    return {name: copy.deepcopy(value) for name, value in vars(layer).items()
            if isinstance(value, (int, np.random.Generator, np.random.RandomState))}


def _are_whole(x: Array) -> bool:
    # numbers that have no gradient: indexes of a table's rows, say
    return x.dtype.kind in "iu"


def _copy(gradient: Any) -> Any:
    return None if gradient is None else np.array(gradient)


def _name(number: int, layer: Layer) -> str:
    return f"{number} {shown(layer)}"
