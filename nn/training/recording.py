"""A model's training step, recorded once from its layers, then repeated without their checks and new arrays.

The kernel calls are the same as layer by layer, so the results are the same to the bit.
"""

import operator
import threading
from functools import reduce
from typing import Any

import numpy as np

from .. import backend
from ..arrays import LAST, Array, address, aligned
from ..parameters import Parameters

GRADIENTS = ("dinputs", "dweights", "dbiases")
OUTPUTS = ("inputs", "output", "binary_mask")  # those that a prediction sets
# methods that a recording skips or relies on
METHODS = {"forward", "backward", "penalties", "regularization_loss", "targets", "accumulate", "hits",
           "pre_update_params", "update_params", "post_update_params"}
OWN = f"{backend.__package__}."


def ours(*parts: Any) -> bool:
    """Whether all objects are of classes of this package, without a method replaced in the instance."""
    return all(type(part).__module__.startswith(OWN) and METHODS.isdisjoint(vars(part))
               for part in parts if part is not None)


def recordable(*parts: Any) -> bool:
    """Whether the calls of objects may be recorded. A user's classes may do anything."""
    return ours(*parts) and all(getattr(type(part), "recordable", True) for part in parts)


def unchanged(*parts: Any) -> bool:
    """Whether the classes of objects still have their original methods."""
    for kind in {type(part) for part in parts}:
        for name in METHODS:
            method = getattr(kind, name, None)
            if method is not None and not method.__module__.startswith(OWN):
                return False
    return True


def writeable(layers: list[Any]) -> bool:
    """Whether kernels use the parameters of layers directly; read-only ones they copy."""
    return all(array.flags.carray for layer in layers for array in layer.held())


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Recording:
    """The kernel calls of some layers for a batch, to be repeated for other batches of that size."""

    def __init__(self, calls: Any, *batches: Array) -> None:
        self._calls = calls
        self._found: dict[tuple[int, int], list[tuple[int, int, tuple[int, ...]]]] = {}
        for call, (_, args) in enumerate(calls):
            for place, arg in enumerate(args):
                if isinstance(arg, np.ndarray):
                    self._found.setdefault((address(arg), arg.size), []).append((call, place, arg.shape))
        self._batches = [self._places(batch) for batch in batches]
        # a layer that used a converted copy of the batch would use the same copy again
        known = {id(calls[call][1][place]) for places in self._batches for call, place, _ in places}
        self.usable = all(self._batches) and not calls.foreign and not any(
            np.may_share_memory(arg, batch) for batch in batches for _, args in calls for arg in args
            if isinstance(arg, np.ndarray) and id(arg) not in known)
        self._last: tuple[Any, ...] = ()

    def _places(self, x: Array) -> list[tuple[int, int, tuple[int, ...]]]:
        # (call, argument, shape) where x, or x in another shape, is an argument
        return self._found.get((address(x), x.size), [])

    def _prepare(self, parts: tuple[Any, ...], kept: tuple[Array, ...], names: tuple[str, ...],
                 result: Array | None = None) -> Any:
        # moves all arrays but `kept`, and views of these, to aligned memory; returns where `result` then is
        self._parts = [(part, {name: vars(part)[name] for name in names if name in vars(part)}) for part in parts]
        batch = kept[0]
        self._views = []  # attributes that are the batch, and their shapes
        for part, arrays in self._parts:
            for name, array in list(arrays.items()):
                if isinstance(array, np.ndarray) and array.size == batch.size and address(array) == address(batch):
                    self._views.append((part, name, array.shape))
                    del arrays[name]
        moved: dict[int, Array] = {}
        owners = {id(_owner(array)) for array in kept}

        def move(array: Any) -> Any:
            if not isinstance(array, np.ndarray):
                return array
            owner = _owner(array)
            if id(owner) in owners:
                return array
            if id(owner) not in moved:
                moved[id(owner)] = aligned(owner.shape, owner.dtype)
                moved[id(owner)][...] = owner
            start = (address(array) - address(owner)) // array.itemsize
            return moved[id(owner)].reshape(-1)[start:start + array.size].reshape(array.shape)

        for _, args in self._calls:
            args[:] = map(move, args)
        for _, arrays in self._parts:
            arrays.update({name: move(array) for name, array in arrays.items()})
        self._replay = backend.Replay(self._calls)
        self.release()
        return move(result)

    def _take(self, *batches: Array) -> None:
        if any(map(operator.is_not, batches, self._last)):
            for batch, places in zip(batches, self._batches):
                self._replay.arrays(batch, places)
            self._last = batches
        self._see(batches[0])

    def _see(self, batch: Array) -> None:
        # attributes of the first layers that are the batch: Input and Flatten pass it on
        for part, name, shape in self._views:
            setattr(part, name, batch if batch.shape == shape else batch.reshape(shape))

    def release(self) -> None:
        """Drop the references to the batch."""
        self._last = (None,) * len(self._batches)
        for places in self._batches:
            for call, place, _ in places:
                self._calls[call][1][place] = None

    def shares(self, x: Array) -> bool:
        """Whether an array may share memory with what the calls read or write."""
        return any(np.may_share_memory(x, arg) for _, args in self._calls for arg in args
                   if isinstance(arg, np.ndarray))

    def show(self) -> None:
        """Give layers and loss these arrays as their attributes."""
        for part, arrays in self._parts:
            vars(part).update(arrays)


class Plan(_Recording):
    """The kernel calls of one step on batches like `data`, X (N, n_inputs), y and optionally weights (N,): forward,
    loss, accuracy, backward, clipping.

    `run` repeats them on other batches of that size. Outputs and gradients are then in the same arrays at each step,
    which the layers show as `output`, `dinputs`, `dweights` and so on.

    Nothing is checked again: labels must be less than the columns of the last output.
    """

    def __init__(self, model: Any, parameters: Parameters, *data: Array) -> None:
        criterion = model._criterion
        dropouts = [layer for layer in model.layers if hasattr(layer, "calls")]
        counts = [layer.calls for layer in dropouts]
        with backend.capture() as calls:
            losses, outputs = model._forward_loss(True, *data)
            self._mean = len(calls)
            backend.ops.mean.forward(losses)
            criterion.regularization_loss()
            self._penalties = range(self._mean + 1, len(calls))
            self._hits = len(calls) if model.accuracy else None
            if model.accuracy:
                model.accuracy.hits(outputs, data[1])
            model._backward(*data)
        super().__init__(calls, *data)
        self._chain: tuple[Any, Any] | None = None  # an optimizer's recorded call, and all calls of a step with it
        self.pace = 1  # steps at once in the last training
        for layer, count in zip(dropouts, counts):
            layer.calls = count  # recording was no step
        # a metric may have used a converted copy of labels that the loss used directly
        self.usable &= self._hits is None or self._hits in [call for call, _, _ in self._batches[1]]
        if not self.usable:
            return
        for layer, gradients in zip(parameters.layers, parameters.cut(parameters.gradients)):
            for name, gradient in zip(("dweights", "dbiases"), gradients):
                for call, place, shape in self._places(getattr(layer, name)):
                    calls[call][1][place] = gradient.reshape(shape)
                setattr(layer, name, gradient)
        if model.clip_norm is not None:
            with backend.capture() as clipping:
                backend.ops.clip_norm.step(parameters.gradients, max_norm=model.clip_norm)
            calls += clipping
            self.usable &= not clipping.foreign
        # the place of a dropout's stream: the last argument of the first call with its mask
        self._streams = []
        for layer in dropouts:
            call = self._places(layer.binary_mask)[0][0]
            self._streams.append((layer, call, len(calls[call][1]) - 1))
        frozen = [array for layer in model._with_weights() if layer not in parameters.layers for array in layer.held()]
        self._prepare((*model.layers, criterion), (*data, parameters.values, parameters.gradients, *frozen), LAST)
        # what a step leaves as it is: gradients before the first layer that is trained, inputs of a layer joined with
        # the loss
        for _, arrays in self._parts[:model.layers.index(parameters.layers[0])]:
            for name in GRADIENTS:
                arrays.pop(name, None)
        if len(model._scoring) < len(model.layers):
            self._parts[-2][1].pop("inputs", None)

    def run(self, *data: Array) -> tuple[float, float, int | None]:
        """The mean loss of a batch, the penalties, the number of hits (None without accuracy); sets all gradients."""
        self._take(*data)
        replay = self._replay
        for layer, call, place in self._streams:
            replay.integer(call, place, layer._calls)
            layer._calls += 1
        replay.run()
        penalty = 0.0
        for call in self._penalties:
            penalty += replay.result(call)
        return replay.result(self._mean), penalty, None if self._hits is None else replay.result(self._hits)

    def repeatable(self, update: Any) -> bool:
        """Whether `repeat` can be used: not for calls on threads, which Python starts."""
        return bool(self.usable and self._replay.compiled and update.compiled)

    def repeat(self, data: tuple[Array, ...], samples: int, update: Any,
               numbers: Array) -> tuple[list[float], list[float], list[int] | None]:
        """`run` and `update`, an optimizer's recorded call, for each row of its `numbers`: on successive batches of
        `samples` rows of `data`, or, if it has no more rows, on all of them each time. The results of `run`, as lists.
        """
        if self._chain is None or self._chain[0] is not update:
            self._take(*[batch[:samples] for batch in data])
            self._chain = update, backend.Replay(self._calls + update.calls)
        turns = np.arange(len(numbers))
        batches = []
        for batch, places in zip(data, self._batches):
            step = samples * batch.strides[0] if len(batch) > samples else 0
            batches.append((places, address(batch) + step * turns))
        streams = []
        for layer, call, place in self._streams:
            streams.append((call, place, layer._calls + turns))
            layer._calls += len(numbers)
        results = [self._mean, *self._penalties] + ([] if self._hits is None else [self._hits])
        place = len(update.calls[0][1]) - numbers.shape[1]
        losses, *found = self._chain[1].repeat(batches, streams, len(self._calls), place, numbers, results)
        self._take(*[batch[len(batch) - samples:] for batch in data])
        hits = None if self._hits is None else found.pop()
        # not `sum`, which from Python 3.12 on rounds differently than successive additions
        penalties = [reduce(operator.add, each, 0.0) for each in zip(*found)] if found else [0.0] * len(losses)
        return losses, penalties, hits


class Forward(_Recording):
    """The kernel calls for the outputs of batches like X (N, n_inputs), as long as the layers do not change."""

    def __init__(self, model: Any, X: Array) -> None:
        layers = model.layers
        self._seen = self._look(model)
        self._kind = X.shape, X.dtype
        self._input = output = aligned(*self._kind)
        self._input[...] = X
        with backend.capture() as calls:
            for layer in layers:
                output = layer.forward(output, False)
        super().__init__(calls, self._input)
        self._busy = threading.Lock()
        parameters = [array for layer in layers if hasattr(layer, "held") for array in layer.held()]
        self._output = self._prepare(tuple(layers), (self._input, *parameters), OUTPUTS, output)
        self._take(self._input)

    @staticmethod
    def _look(model: Any) -> list[Any]:
        # what the outputs depend on, apart from the parameters' values
        seen: list[Any] = [type(model).forward, vars(model).get("forward")]
        for layer in model.layers:
            state = vars(layer)
            seen += (layer, type(layer).forward, state.get("forward"), state.get("_weights"), state.get("_biases"))
        return seen

    def fits(self, model: Any, X: Array) -> bool:
        """Whether the model's layers would make the same calls for X."""
        seen = self._look(model)
        return (self.usable and (X.shape, X.dtype) == self._kind and len(seen) == len(self._seen)
                and not any(map(operator.is_not, seen, self._seen)))

    def run(self, X: Array) -> Array | None:
        """The outputs for X in a new array; None while another thread runs this."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            self._input[...] = X  # 1.5 us less than using X itself and releasing it after
            self._replay.run()
            self._see(X)
            self.show()
            return self._output.copy()
        finally:
            self._busy.release()
