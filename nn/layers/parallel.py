"""Parallel: branches with the same inputs, whose outputs are joined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import backend
from ..arrays import Array, as_floats
from ..checks import checked, flag, shown
from .base import Layer, Shape
from .containers import _Container, backward, forward, shape_of, single

OF_BRANCHES = "output_", "joined_"  # with a number: attributes of a Parallel, each branch's outputs and all up to it


def _as_join(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in ("concatenate", "add", "multiply"):
        raise ValueError(f"{name} must be 'concatenate', 'add' or 'multiply', got {shown(value)}")
    return value


class Parallel(_Container):
    """Branches that get the same inputs, and whose outputs are joined.

    branches: layers, such as Sequential(...) or Identity().
    join: "concatenate" joins the outputs along the last axis, images (N, C, H, W) along their channels; "add" and
        "multiply" combine them element by element. "multiply" also takes images and outputs (N, C), which scale the
        channels, as in squeeze-and-excitation. All in the order of the branches.

    The gradients of the branches with respect to the inputs are added in their order.
    Raises TypeError for anything that is not a layer, ValueError if there is no branch and for another join.
    """

    join: str = checked(_as_join)

    def __init__(self, *branches: Layer, join: str = "concatenate") -> None:
        if not branches:
            raise ValueError("Parallel needs at least one branch, such as Parallel(Dense(4, 8), Identity())")
        self.join = join
        self.layers = [single(branch, "Parallel") for branch in branches]

    def __repr__(self) -> str:
        return f"Parallel({', '.join(map(repr, self.layers))}, join={self.join!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if not name.startswith(OF_BRANCHES)}

    def output_shape(self, shape: Shape | None) -> Shape | None:
        """That of the joined outputs. Raises ValueError for branches that do not fit."""
        found = [shape_of(branch, shape) for branch in self.layers]
        known = [each for each in found if each is not None]
        if self.join == "concatenate":
            axis = 0 if known and len(known[0]) == 3 else -1
            if len({len(each) for each in known}) > 1 or len({_without(each, axis) for each in known}) > 1:
                raise ValueError(f"cannot join outputs of shapes {known} along their "
                                 f"{'channels' if axis == 0 else 'last axis'}")
            if len(known) < len(found):
                return None
            size = sum(each[axis] for each in known)
            return (size, *known[0][1:]) if axis == 0 else (*known[0][:-1], size)
        if self.join == "multiply" and len(known) < len(found):  # an unknown one may be of images, scaled by others
            known = [each for each in known if len(each) > 1]
        for each in known[1:]:
            if each != known[0] and not (self.join == "multiply" and len(known[0]) == 3 and each == known[0][:1]):
                raise ValueError(f"has branches that give different shapes, {known}: {self.join} needs the same")
        return known[0] if known else None

    def _entering(self, shape: Shape | None) -> dict[str, Shape | None]:
        return {str(number): shape for number in range(len(self.layers))}

    def forward(self, inputs: ArrayLike, training: bool = True) -> Array:
        """The joined outputs for inputs (N, ...)."""
        training = flag("training", training)
        outputs = [as_floats(forward([branch], inputs, training)) for branch in self.layers]
        outputs = [as_floats(each, outputs[0].dtype) for each in outputs]
        joined = [outputs[0]]
        for each in outputs[1:]:
            joined.append(self._join(joined[-1], each))
        # what `backward` needs, as attributes, which a recorded step shows
        vars(self).update({f"{OF_BRANCHES[0]}{number}": each for number, each in enumerate(outputs)})
        vars(self).update({f"{OF_BRANCHES[1]}{number}": each for number, each in enumerate(joined)})
        self.output = joined[-1]
        return joined[-1]

    def _join(self, x: Array, y: Array) -> Array:
        if self.join == "concatenate":
            axis = _axis(x)
            if x.ndim != y.ndim or _without(x.shape, axis) != _without(y.shape, axis):
                raise ValueError(f"{self} has branches that give {x.shape} and {y.shape}, which cannot be joined along "
                                 f"{'their channels' if axis == 1 else 'the last axis'}")
            rows = backend.ops.concatenate.forward(_rows(x), _rows(y))
            if axis == 1:
                return rows.reshape(len(x), x.shape[1] + y.shape[1], *x.shape[2:])
            return rows.reshape(*x.shape[:-1], rows.shape[1])
        if self.join == "multiply" and x.ndim == 4 and y.shape == x.shape[:2]:
            scaled: Array = backend.ops.scale_channels.forward(x, y)
            return scaled
        if x.shape != y.shape:
            raise ValueError(f"{self} has branches that give {x.shape} and {y.shape}: {self.join} needs the same shape")
        found: Array = getattr(backend.ops, self.join).forward(x, y)
        return found

    def backward(self, dvalues: ArrayLike, *, input_gradient: bool = True) -> Array | None:
        """The gradient with respect to the inputs, the branches' added in their order. Sets those of all layers."""
        input_gradient = flag("input_gradient", input_gradient)
        if self.output is None:
            raise RuntimeError("call forward before backward")
        dvalues = as_floats(dvalues, self.output.dtype, "dvalues", infinite=True)
        if dvalues.shape != self.output.shape:
            raise ValueError(f"dvalues must have shape {self.output.shape} to match the outputs, got {dvalues.shape}")
        dx: Array | None = None
        for branch, gradient in zip(self.layers, self._split(dvalues)):
            found = backward([branch], gradient, input_gradient)
            if found is not None:
                dx = as_floats(found) if dx is None else backend.ops.add.forward(dx, as_floats(found, dx.dtype))
        self.dinputs = dx
        return dx

    def _split(self, d: Array) -> list[Array]:
        # the gradients of the branches' outputs
        outputs, joined = ([getattr(self, f"{name}{number}") for number in range(len(self.layers))]
                           for name in OF_BRANCHES)
        found = []
        for before, each in zip(reversed(joined[:-1]), reversed(outputs[1:])):
            own = d
            if self.join == "multiply":
                operation = backend.ops.multiply if before.shape == each.shape else backend.ops.scale_channels
                d, own = operation.backward(d, before, each)
            elif self.join == "concatenate":
                first, second = backend.ops.split.forward(_rows(d), columns=_rows(before).shape[1])
                d, own = first.reshape(before.shape), second.reshape(each.shape)
            found.append(own)
        return [d, *reversed(found)]


def _axis(x: Array) -> int:
    # along which outputs are joined: the channels of images
    return 1 if x.ndim == 4 else x.ndim - 1


def _without(shape: Shape, axis: int) -> Shape:
    return tuple(size for place, size in enumerate(shape) if place != axis % len(shape))


def _rows(x: Array) -> Array:
    # what lies side by side after the join, in rows
    if not x.ndim:
        raise ValueError("inputs must have shape (N, ...), got ()")
    axis = _axis(x)
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
