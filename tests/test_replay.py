"""kernels/core/replay.py: captured calls, made again by compiled code, do what Python's calls do."""

import numpy as np
import pytest
from numba import prange

from nnjit import kernels
from nnjit.kernels.core import capture, compile, replay
from nnjit.kernels.core.replay import Replay

DTYPES = (np.float32, np.float64)


@compile.loops
def _axpy(x, y, a, count):
    for i in prange(count):
        y[i] += a * x[i]


@compile.loops
def _total(x, start):
    total = start
    for row in prange(x.shape[0]):
        for column in range(x.shape[1]):
            total += x[row, column]
    return total


@compile.loops
def _largest(x, at):
    return x[at, 0, 1] if x.size else -1


@compile.loops
def _fail(x):
    if x[0] > 0:
        raise MemoryError
    x[0] = 1


@compile.loops(writes=("y",))
def _copy(x, y):
    for i in prange(x.size):
        y[i] = x[i]


@compile.loops(updates=("y",))
def _double(y):
    for i in prange(y.size):
        y[i] *= 2


def captured(*calls):
    with capture.capture() as found:
        results = [compile.pick(nest, True, parallel)(*args) for nest, parallel, args in calls]
    return found, results


@pytest.mark.parametrize("dtype", DTYPES)
def test_kinds_of_arguments_and_results(dtype):
    x, y = np.arange(6, dtype=dtype), np.zeros(6, dtype)
    whole = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    calls, results = captured((_axpy, False, (x, y, 0.5, 5)), (_total, False, (x.reshape(2, 3), 1.5)),
                              (_largest, False, (whole, 1)), (_total, False, (x.reshape(3, 2), -1.0)))
    again = Replay(calls)
    assert y.tolist() == [0, 0.5, 1, 1.5, 2, 0]
    again.run()
    assert y.tolist() == [0, 1, 2, 3, 4, 0]
    assert [again.result(number) for number in range(4)] == results == [None, 16.5, 13, 14.0]
    assert [type(again.result(number)) for number in (1, 2)] == [float, int]


def test_other_arrays_and_numbers():
    x, y = np.ones(4), np.zeros(4)
    calls, _ = captured((_axpy, False, (x, y, 1.0, 4)), (_axpy, False, (y, y, 1.0, 2)), (_total, False, (x[None], 0.0)))
    again = Replay(calls)
    other, third = np.full(4, 3.0), np.arange(4.0)
    again.arrays(other, [(0, 0, (4,))])
    again.floats(0, 2, [2.0])
    again.arrays(third[None], [(1, 0, (4,)), (1, 1, (4,))])
    again.floats(2, 1, [0.25])
    again.run()
    assert y.tolist() == [8, 8, 7, 7]  # 2 x 1 at the capture; then + 2 x 3, to all
    assert third.tolist() == [0, 2, 2, 3]
    assert again.result(2) == 4.25
    assert calls[0][1][0] is other and calls[0][1][2] == 2.0
    assert calls[1][1][0].shape == (4,)


@pytest.mark.parametrize("parallel", ((True, False, False), (False, True, False), (False, False, True),
                                      (True, True, True), (False, False, False)))
def test_calls_keep_their_order_around_parallel_ones(parallel):
    x = np.array([1.0, 2.0])
    y, z = np.zeros(2), np.zeros(2)
    calls, _ = captured((_axpy, parallel[0], (x, y, 2.0, 2)), (_axpy, parallel[1], (y, z, 10.0, 2)),
                        (_total, parallel[2], (z[None], 0.0)))
    again = Replay(calls)
    for number in (1, 2, 3):
        y[:], z[:] = 0, 0
        again.arrays(x * number, [(0, 0, (2,))])
        again.run()
        assert z.tolist() == [20 * number, 40 * number]
        assert again.result(2) == 60 * number


def test_repeated_with_other_arrays_and_numbers():
    x, y = np.ones(4), np.zeros(4)
    calls, _ = captured((_axpy, False, (x, y, 1.0, 4)), (_axpy, False, (x, y, 1.0, 2)), (_total, False, (y[None], 0.0)),
                        (_largest, False, (np.zeros((2, 2, 2), np.int64), 1)))
    y[:] = 0
    again = Replay(calls)
    batches = np.arange(12.0).reshape(3, 4)
    addresses = np.array([row.ctypes.data for row in batches])
    numbers = np.array([[10.0], [100.0], [1000.0]])
    totals, largest = again.repeat([([(0, 0, (4,))], addresses)], [], 1, 2, numbers, [2, 3])
    assert y.tolist() == [12 + 1110, 15 + 1110, 18, 21]  # call 1 adds its number times x, which is 1, to two of y
    assert totals == [6 + 20, 28 + 220, 66 + 2220] and largest == [0, 0, 0]
    assert [type(values[0]) for values in (totals, largest)] == [float, int]


def test_whether_all_is_compiled():
    x = np.ones(4)
    for parallel in (False, True):
        calls, _ = captured((_axpy, False, (x, x, 1.0, 4)), (_total, parallel, (x[None], 0.0)))
        assert Replay(calls).compiled is not parallel
    assert not Replay([]).compiled


def test_a_failing_repetition_is_told():
    x = np.zeros(1)
    calls, _ = captured((_axpy, False, (np.ones(1), x, -1.0, 1)), (_fail, False, (x,)))
    x[:] = 1
    with pytest.raises(MemoryError):
        Replay(calls).repeat([], [], 0, 2, np.array([[-2.0], [-2.0], [0.5], [-2.0]]), [])
    assert x[0] == 1.5  # twice to -1 and set to 1, then positive


def test_a_failing_call_is_told():
    x = np.zeros(1)
    calls, _ = captured((_fail, False, (x,)))
    x[:] = 0
    again = Replay(calls)
    again.run()
    assert x[0] == 1
    with pytest.raises(MemoryError):
        again.run()


def test_arguments_lie_as_numba_passes_them():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, 1:]
    assert replay.words_of(x) == [0, 0, 16, 4, x.ctypes.data, 2, 2, 4, 48, 16, 4]
    assert replay.words_of(7) == [7] and replay.words_of(-2) == [-2]
    assert np.array(replay.words_of(-0.5), np.int64).view(np.float64)[0] == -0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_chain_of_operations(dtype):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((40, 7), (7, 5), (5,)))
    labels = rng.integers(0, 5, 40)
    with capture.capture() as calls:
        y = kernels.dense.forward(x, w, b, activation="tanh")
        losses, p = kernels.softmax_cross_entropy.forward(y, labels)
        mean = kernels.mean.forward(losses)
        hits = kernels.categorical_accuracy.forward(p, labels)
        dy = kernels.softmax_cross_entropy.backward(p, labels)
        gradients = kernels.dense.backward(dy, x, w, y, activation="tanh")
    arrays = [y, losses, p, dy, *gradients]
    expected = [array.copy() for array in arrays]
    for array in arrays:
        array[...] = np.nan
    again = Replay(calls)
    again.run()
    assert [array.tobytes() for array in arrays] == [array.tobytes() for array in expected]
    results = [again.result(number) for number in range(len(calls))]
    assert mean in results and hits in results


def test_what_is_read_is_known_or_written_before():
    def found(calls, known):
        return Replay.unexplained(calls, known)[:2]

    x, y, z = (np.full(6, value, np.float32) for value in range(3))
    calls, _ = captured((_copy, False, (x, y)), (_double, False, (y,)), (_copy, True, (y[2:5], z[:3])),
                        (_total, False, (z[:2].reshape(1, 2), 0.0)))
    assert Replay.unexplained(calls, [x]) is None
    assert found(calls, [np.ones(6, np.float32)]) == (0, "x")
    assert found(calls, [x[:5]]) == (0, "x")
    assert found(calls[1:], [x]) == (0, "y")
    assert found(calls[2:], [x, y[2:4]]) == (0, "x")
    calls, _ = captured((_copy, False, (x, y)), (_copy, False, (y + 1, z)))
    assert found(calls, [x]) == (1, "x")
    calls, _ = captured((_copy, False, (x[:3], z[:3])), (_total, False, (z[1:5].reshape(2, 2), 0.0)))
    assert found(calls, [x]) == (1, "x")
    calls, _ = captured((_copy, False, (x[:3], z[:3])), (_copy, False, (x[3:], z[3:])), (_copy, False, (z[1:5], y[:4])))
    assert Replay.unexplained(calls, [x]) is None


def test_a_capture_knows_who_called():
    class Caller:
        def call(self, *args):
            compile.pick(_copy, True, False)(*args)

    x, caller = np.ones(6, np.float32), Caller()
    with kernels.capture() as calls:
        compile.pick(_copy, True, False)(x, x + 1)
        caller.call(x, x + 1)
    assert calls.callers == [None, caller]
