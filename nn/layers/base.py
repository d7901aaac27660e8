"""What all layers have."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..arrays import Array, Calling, flag, rename

# what outputs are to a loss; endings.py checks that it takes them
SHARES, PROBABILITIES, LOGARITHMS = "probabilities of classes", "a probability for each output", "log-probabilities"
NUMBERS, PASSED = "other numbers", "what it gets"


class _Layer(Calling):
    inputs: Array | None = None
    output: Array | None = None
    dinputs: Array | None = None

    @property
    def trainable(self) -> bool:
        """Whether trainings update the parameters: `layer.trainable = False` freezes them, in each model that has the
        layer. Raises TypeError for what is neither True nor False."""
        return vars(self).get("trainable", True)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        vars(self)["trainable"] = flag("trainable", value)


def penalty(name: str, values: Array, l1: float, l2: float) -> float:
    """The penalty of weights or biases; `name` is what the names of their regularizers begin with."""
    try:
        found: float = backend.ops.penalty.forward(values, l1=l1, l2=l2)
    except (TypeError, ValueError) as error:
        rename(error, l1=f"{name}_regularizer_l1", l2=f"{name}_regularizer_l2")
        raise
    return found


Layer = Any  # whatever has forward and backward as above; with parameters, also the attributes of Dense
