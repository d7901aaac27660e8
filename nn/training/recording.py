"""Kernel calls of a model, recorded once from its layers, then repeated without their checks and new arrays.

The kernel calls are the same as layer by layer, so the results are the same to the bit.
"""

import operator
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .. import backend
from ..arrays import Array, address, aligned
from ..checks import shown
from ..parameters import buffers_of
from .watching import arrays_of

UNSET: Any = object()
MOST = 64 << 20  # bytes of the arrays of a recorded evaluation or prediction
COPIED = 1 << 14  # bytes of a batch that is copied, which takes a few us less than using it and releasing it after


def _owner(array: Array) -> Array:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _of(place: Any) -> str:
    return "the model" if place is None else shown(place)


class Spans:
    """Parts of memory, as pairs of addresses: of the first byte, and of the one behind the last."""

    def __init__(self, spans: set[tuple[int, int]]) -> None:
        self._starts: list[int] = []  # of those that do not meet
        self._ends: list[int] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def meet(self, x: Array) -> bool:
        """Whether an array may lie in one of them."""
        if x.flags.c_contiguous:
            low = address(x)  # 2 us
            high = low + x.nbytes
        else:
            low, high = byte_bounds(x)
        place = bisect_left(self._starts, high)
        return place > 0 and self._ends[place - 1] > low


class _Recording:
    """The kernel calls of some layers for a batch, to be repeated for other batches of that size.

    It says itself whether it is complete: each array that a call reads must be the batch, one that the layers keep (a
    parameter or buffer), or written by an earlier call. The calls for the next batch are captured, too: they must be
    the same, with the same numbers, and write what the repeated calls write. `why` is None, or the reason why the calls
    are not repeated.
    """

    size = 0  # bytes of the arrays that are kept, where that is limited

    def __init__(self, calls: Any, layers: list[Any], *batches: Array) -> None:
        self._persistent = [array for layer in layers for array in arrays_of(layer)]
        self._state = buffers(layers)
        self._calls = calls
        self._found: dict[tuple[int, int], list[tuple[int, int, tuple[int, ...]]]] = {}
        for call, (_, args) in enumerate(calls):
            for place, arg in enumerate(args):
                if isinstance(arg, np.ndarray):
                    self._found.setdefault((address(arg), arg.size), []).append((call, place, arg.shape))
        self._batches = [self._places(batch) for batch in batches]
        self._last: tuple[Any, ...] | None = batches
        self._form = _form(calls)
        self.spans: set[tuple[int, int]] = set()  # of the memory that the calls use, without the batch's
        self.proved = False  # by a second batch
        self.why = self._gap(layers, batches)
        calls.callers = []  # copies of layers may be among them, and hold the batch

    @property
    def usable(self) -> bool:
        """Whether the calls may be repeated."""
        return self.why is None

    def _gap(self, layers: list[Any], batches: tuple[Array, ...]) -> str | None:
        # what the calls do not say
        if self._calls.foreign:
            return "other code, such as a signal handler, called a kernel in the step that was to be recorded"
        whole = {id(self._calls[call][1][place]) for places in self._batches for call, place, _ in places}
        for caller, (_, args) in zip(self._calls.callers, self._calls):
            for arg in args:
                if isinstance(arg, np.ndarray) and id(arg) not in whole and any(
                        np.may_share_memory(arg, batch) for batch in batches):
                    return f"{_of(caller)} gives a kernel a part of the batch"
        unknown = backend.Replay.unexplained(self._calls, [*batches, *self._persistent])
        if unknown is not None:
            call, name, array = unknown
            for layer in layers:
                for attribute, value in vars(layer).copy().items():  # another thread may be adding attributes
                    if attribute != "inputs" and isinstance(value, np.ndarray) and np.may_share_memory(value, array):
                        return f"the {attribute} of {_of(layer)} was not written by a kernel in this step"
            caller = _of(self._calls.callers[call])
            return (f"{caller} gives a kernel an array, its {name}, that is neither the batch nor a parameter nor "
                    "written by a kernel in the same step")
        return None if all(self._batches) else "the step does not use the whole batch"

    def _check_result(self, x: Array | None, what: str) -> None:
        # what no call reads, but a user gets
        if self.why is not None or x is None:
            return
        start, end = address(x), address(x) + x.nbytes
        written = [args[place] for variant, args in self._calls for place in backend.Replay.written(variant)]
        if not x.flags.c_contiguous or not any(
                address(each) <= start and end <= address(each) + each.nbytes for each in written):
            self.why = f"{what} were not written by a kernel in this step"

    def prove(self, calls: Any) -> None:
        """Compare with calls that were captured on the batch for which these were just repeated."""
        self.proved = True
        form = _form(calls)
        for call, (mine, other) in enumerate(zip(self._form, form)):
            if mine != other:
                self.why = f"{_of(calls.callers[call])} calls other kernels, or with other numbers, for each batch"
                return
        if len(form) != len(self._form) or calls.foreign:
            self.why = "the step makes other calls of kernels for each batch"
            return
        for call, (variant, args) in enumerate(calls):
            for place in backend.Replay.written(variant):
                if not _same_bits(args[place], self._calls[call][1][place]):
                    self.why = f"{_of(calls.callers[call])} computes with more than kernels"
                    return

    def _compare(self, calls: Any, before: list[Array], *batches: Array) -> None:
        # with calls that were captured on other batches, which these are repeated on, from the state `before`: copies
        # of the buffers, or nothing where none are written
        if calls.foreign:  # else next time
            return
        after = copies(self._state[:len(before)])
        restore(self._state, before)
        self._take(*batches)
        self._rerun(calls)
        self.prove(calls)
        if self.why is None and not all(map(_same_bits, self._state, after)):
            self.why = "a layer's buffers are written by more than kernels"
        self.release()
        restore(self._state, after)

    def _rerun(self, calls: Any) -> None:
        # all that calls captured on this batch have
        self._replay.run()

    def _places(self, x: Array) -> list[tuple[int, int, tuple[int, ...]]]:
        # (call, argument, shape) where x, or x in another shape, is an argument
        return self._found.get((address(x), x.size), [])

    def _check_size(self, kept: list[Array]) -> None:
        # many bytes are a reason not to keep the arrays that the calls write
        owners = {id(owner): owner.nbytes for _, args in self._calls for arg in args if isinstance(arg, np.ndarray)
                  for owner in [_owner(arg)]}
        size = sum(owners.values()) - sum(owners.get(each, 0) for each in {id(_owner(array)) for array in kept})
        if self.why is None and size > MOST:
            self.why = f"its arrays have {size} bytes, and at most {MOST} are kept: give a smaller batch_size"
        self.size = size if self.why is None else 0

    def _prepare(self, parts: list[Any], kept: list[Array], *results: Array | None) -> list[Any]:
        # moves all arrays but `kept`, the batches first, and views of these, to aligned memory; returns where `results`
        # then are
        self._parts: list[tuple[Any, dict[str, Any]]] = [
            (part, {name: array for name, array in vars(part).items() if isinstance(array, np.ndarray)
                    and not name.startswith("_") and self._places(array)}) for part in parts]
        batches = kept[:len(self._batches)]
        self._views: list[list[Any]] = [[] for _ in batches]  # attributes that are a batch, and their shapes
        for part, arrays in self._parts:
            for name, array in list(arrays.items()):
                for batch, views in zip(batches, self._views):
                    if array.size == batch.size and address(array) == address(batch):
                        views.append((part, name, array.shape))
                        del arrays[name]
                        break
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
        self._replay = self._make_replay()
        self.release()
        self.spans = {byte_bounds(_owner(arg)) for _, args in self._calls for arg in args
                      if isinstance(arg, np.ndarray)}
        return list(map(move, results))

    def _make_replay(self) -> Any:
        return backend.Replay(self._calls, [self._last])

    def _take(self, *batches: Array) -> None:
        if self._last is None or any(map(operator.is_not, batches, self._last)):
            for batch, places in zip(batches, self._batches):
                self._replay.arrays(batch, places)
            self._last = batches
        for number, batch in enumerate(batches):
            self._see(batch, number)

    def _see(self, batch: Array, number: int = 0) -> None:
        # attributes of layers that are the batch: Input and Flatten pass it on
        for part, name, shape in self._views[number]:
            setattr(part, name, batch if batch.shape == shape else batch.reshape(shape))

    def release(self) -> None:
        """Drop the references to the batch."""
        if self._last is None:
            return
        self._last = None
        for places in self._batches:
            for call, place, _ in places:
                self._calls[call][1][place] = None

    def show(self) -> None:
        """Give layers and loss these arrays as their attributes."""
        for part, arrays in self._parts:
            vars(part).update(arrays)


def buffers(layers: list[Any]) -> list[Array]:
    """The arrays that layers keep from step to step and do not learn."""
    return [array for layer in layers for array in buffers_of(layer).values()]


def copies(arrays: list[Array]) -> list[Array]:
    """Copies, for `restore`."""
    return [array.copy() for array in arrays]


def restore(arrays: list[Array], values: list[Array]) -> None:
    """Write values back into arrays."""
    for array, each in zip(arrays, values):
        array[...] = each


def _other(X: Array) -> Array:
    # another batch of the same kind: with the same one a number that was computed from it would be the same
    other = np.array(X[::-1], order="C")  # a copy, also of a single row
    if X.dtype.kind != "f":  # whole numbers may be places in a table
        return other
    with np.errstate(under="ignore"):
        other *= 0.5
    return other + X.dtype.type(1) if np.array_equal(other, X) else other


def _form(calls: Any) -> list[Any]:
    # each call's nest, its numbers, and which arrays it takes: by the place where each was met first
    first: dict[tuple[int, int], int] = {}
    form = []
    for variant, args in calls:
        kinds: list[Any] = [variant]
        for arg in args:
            if isinstance(arg, np.ndarray):
                kinds.append((first.setdefault((address(arg), arg.size), len(first)), arg.shape, arg.dtype))
            else:
                kinds.append(arg if arg == arg else "nan")
        form.append(kinds)
    return form


def _same_bits(x: Array, y: Array) -> bool:
    return x.tobytes() == y.tobytes()
