"""How a model may end: which losses fit which last layers, which layers are joined with their loss, and what metrics
need to know.

Each loss of this package declares what it takes (`_takes`), and each layer what it gives (`_gives`). A user's own
layers and losses are not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from ..layers import (LOGARITHMS, NUMBERS, PASSED, PROBABILITIES, SHARES, Dense, Dropout, Layer, LogSoftmax, Sigmoid,
                      Softmax)
from ..losses import (BinaryCrossentropy, CategoricalCrossentropy, Loss, NegativeLogLikelihood,
                      SigmoidBinaryCrossentropy, SoftmaxCategoricalCrossentropy, _Categorical)
from .watching import recordable

# what to write instead of a loss and a layer that do not fit; {} is the layer, or the activation of a Dense
INSTEAD: dict[type[Loss], dict[str, str]] = {
    CategoricalCrossentropy: {
        NUMBERS: "add Softmax() as the last layer, or use SoftmaxCategoricalCrossentropy()",
        PROBABILITIES: "write Softmax() in place of {} for one class per sample, or use BinaryCrossentropy() for "
                       "several labels",
        LOGARITHMS: "use NegativeLogLikelihood()"},
    BinaryCrossentropy: {
        NUMBERS: "add Sigmoid() as the last layer, or use SigmoidBinaryCrossentropy()",
        LOGARITHMS: "write Sigmoid() in place of {}, or use NegativeLogLikelihood()"},
    NegativeLogLikelihood: {
        NUMBERS: "add LogSoftmax() as the last layer, or use SoftmaxCategoricalCrossentropy()",
        SHARES: "write LogSoftmax() in place of {}, or use CategoricalCrossentropy()",
        PROBABILITIES: "write LogSoftmax() in place of {} for one class per sample, or use BinaryCrossentropy() for "
                       "several labels"},
    SoftmaxCategoricalCrossentropy: {
        SHARES: "leave {} out, or use CategoricalCrossentropy()",
        PROBABILITIES: "leave {} out for one class per sample, or use BinaryCrossentropy() for several labels",
        LOGARITHMS: "leave {} out, or use NegativeLogLikelihood()"},
    SigmoidBinaryCrossentropy: {
        SHARES: "leave {} out for several labels, or use CategoricalCrossentropy() for one class per sample",
        PROBABILITIES: "leave {} out, or use BinaryCrossentropy()",
        LOGARITHMS: "leave {} out, or use NegativeLogLikelihood()"}}


def _given(layer: Layer | None) -> str | None:
    # None if unknown
    return getattr(layer, "_gives", None) if recordable(layer) else None


def source(layers: Sequence[Layer]) -> Layer | None:
    """The layer whose outputs the last one gives or passes on; None if all layers pass on their inputs."""
    return next((layer for layer in reversed(layers) if _given(layer) != PASSED), None)


def check(layers: Sequence[Layer], loss: Loss | None, outputs: int | None) -> None:
    """Raise ValueError for a loss that does not fit the last layers, or needs more than a single output, and for layers
    between the loss and the layer whose outputs it takes.
    """
    if loss is None or not recordable(loss):
        return
    last, name = source(layers), type(loss).__name__
    gives = _given(last)
    if isinstance(loss, _Categorical) and outputs == 1:
        better = "BinaryCrossentropy" if gives == PROBABILITIES else "SigmoidBinaryCrossentropy"
        raise ValueError(f"{name} needs an output for each class, but the model has a single one: use {better}(), or "
                         "give the last layer with weights as many outputs as there are classes")
    if gives is not None and loss._takes and gives not in loss._takes:
        instead = next(INSTEAD[kind] for kind in type(loss).__mro__ if kind in INSTEAD)[gives]
        what = f"activation={last.activation!r}" if isinstance(last, Dense) else repr(last)
        takes = {NUMBERS: "scores", PROBABILITIES: "probabilities"}.get(loss._takes[0], loss._takes[0])
        raise ValueError(f"{name} takes {takes}, but {last!r} gives {gives}: {instead.format(what)}")
    behind = [*takewhile(lambda layer: layer is not last, reversed(layers))]
    for layer in behind:
        if isinstance(layer, Dropout) and loss._takes and NUMBERS not in loss._takes:
            logarithms = "log-" * (LOGARITHMS in loss._takes)
            raise ValueError(f"{layer!r} would drop some of the {logarithms}probabilities that {name} takes: put it "
                             "before the last layer with weights, or leave it out")
    if behind and joined(last, loss):
        raise ValueError(f"{behind[-1]!r} after {last!r} does nothing, but keeps {name} from being joined with it: "
                         f"leave {behind[-1]!r} out")


def middle(layers: Sequence[Layer], loss: Loss | None) -> float | None:
    """What parts two classes in the outputs of a model: 0.5, or 0 in scores of labels. None for outputs that say
    something only beside each other, log-probabilities and scores of classes.
    """
    if isinstance(loss, SigmoidBinaryCrossentropy):
        return 0.0
    beside = isinstance(loss, (SoftmaxCategoricalCrossentropy, NegativeLogLikelihood))
    return None if beside or _given(source(layers)) == LOGARITHMS else 0.5


def check_single(number: int, layer: Layer, outputs: int | None) -> None:
    """Raise ValueError for a softmax over a single output, which is constant."""
    if outputs == 1 and isinstance(layer, (Softmax, LogSoftmax)) and recordable(layer):
        raise ValueError(f"layer {number}, {layer}, of a single output is always {int(isinstance(layer, Softmax))}: "
                         "use Sigmoid() and BinaryCrossentropy(), or give the layer before it an output for each class")


def joined(last: Layer, loss: Loss | None) -> Loss | None:
    """The loss of scores that is equal to the last layer (or its activation) and the loss together; None if none is."""
    if not recordable(last, loss):
        return None
    if isinstance(last, Softmax) and type(loss) is CategoricalCrossentropy:
        return SoftmaxCategoricalCrossentropy()
    sigmoid = isinstance(last, Sigmoid) or isinstance(last, Dense) and last.activation == "sigmoid"
    return SigmoidBinaryCrossentropy() if sigmoid and type(loss) is BinaryCrossentropy else None


class Unactivated:
    """A Dense without its activation, for a loss that is joined with it. Its arrays are those of the layer."""

    def __init__(self, layer: Dense) -> None:
        self.layer = layer

    def forward(self, inputs: Any, training: bool = True) -> Any:
        return self.layer._forward(inputs, None)

    def backward(self, dvalues: Any, *, input_gradient: bool = True) -> Any:
        return self.layer._backward(dvalues, None, input_gradient)
