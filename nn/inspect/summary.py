"""A model's layers in a table: their shapes and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..checks import shown
from ..layers import Layer, _Container, entering, shape_of, trained
from ..parameters import children, parameters_of
from ..training.network import Network

HEADER = ("name", "layer", "output shape", "parameters", "")
WIDTH = 100  # of a line, in characters
LEAST = {1: 24, 0: 16, 2: 16}  # the columns that are cut where lines are longer, in this order, and their least widths


class SummaryRow(NamedTuple):
    """A layer: its name, such as "3.body.1", what it is, and the shape of a sample's outputs, None if unknown."""

    name: str
    layer: str
    shape: tuple[int, ...] | None
    parameters: int  # without those of the layers that it is made of, which have their own rows
    trainable: bool


@dataclass(frozen=True)
class Summary:
    """The layers of a model as `rows`, and its numbers of parameters; `str` gives the table."""

    rows: list[SummaryRow]

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """The number of parameters that are trained."""
        return sum(row.parameters for row in self.rows if row.trainable)

    @property
    def frozen(self) -> int:
        """The number of parameters that are not trained."""
        return self.total - self.trainable

    def __str__(self) -> str:
        cells = [HEADER, *((" ".join(row.name.split()), row.layer, _shape_text(row.shape), f"{row.parameters:,}",
                            "" if row.trainable or not row.parameters else "frozen") for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        over = sum(widths) + 2 * len(widths[1:]) - WIDTH
        for column, least in LEAST.items():
            cut = max(0, min(over, widths[column] - least))
            widths[column] -= cut
            over -= cut
        lines = ["  ".join(_fitted(cell, width, place) for place, (cell, width) in enumerate(zip(row, widths))).rstrip()
                 for row in cells]
        return "\n".join([*lines, f"parameters: {self.total:,}, trainable: {self.trainable:,}, "
                                  f"frozen: {self.frozen:,}"])


def summary(model: Network) -> Summary:
    """The layers of a model, also those within others, and its numbers of parameters.

    The model need not be finalized. Shapes are unknown before the first layer that states its shape, such as Dense or
    Input, unless `finalize` got an `input_shape`, and after a layer without `output_shape`. Raises TypeError for
    anything that is not a model, ValueError for layers that do not fit.
    """
    if not isinstance(model, Network):
        raise TypeError(f"model must be an nn.Model, got {shown(model)}")
    model._shape()  # raises for layers that do not fit, by their numbers
    found = set(map(id, trained(model.layers)))
    rows = []
    for name, layer, given in _placed("", model, model._input_shape):
        own = parameters_of(layer)
        rows.append(SummaryRow(name, _text(layer), shape_of(layer, given), sum(map(_size, own.values())),
                               id(layer) in found or not own))
    return Summary(rows)


def _placed(prefix: str, owner: Layer, shape: Any) -> Iterator[tuple[str, Layer, Any]]:
    # name, layer and the shape of its inputs, of all that a model or a layer is made of
    given = (entering(owner.layers, shape) if isinstance(owner, Network) else
             owner._entering(shape) if isinstance(owner, _Container) else {})
    for name, layer in _parts(owner).items():
        yield prefix + name, layer, given.get(name)
        yield from _placed(f"{prefix}{name}.", layer, given.get(name))


def _parts(owner: Layer) -> dict[str, Layer]:
    # of a model within a model, too, which is not trained
    return {str(number): layer for number, layer in enumerate(owner.layers)} if isinstance(owner, Network) else (
        children(owner))


def _text(layer: Layer) -> str:
    return type(layer).__name__ if _parts(layer) else shown(layer)


def _size(values: Any) -> int:
    return 0 if values is None else int(np.size(values))


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "?" if shape is None else f"({', '.join(map(str, ('N', *shape)))})"


def _fitted(cell: str, width: int, column: int) -> str:
    if len(cell) > width:  # the end of a name tells it apart
        return f"...{cell[3 - width:]}" if column == 0 else f"{cell[:width - 3]}..."
    return cell.rjust(width) if column == 3 else cell.ljust(width)
