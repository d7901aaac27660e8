"""The numbers that `nnjit.kernels` promises, for every operation: right results, from and into any memory.

Arguments come from `inputs` of the NumPy twins, error bounds from `bound` in each test_<op>.py.
"""

import re
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import memmap, readonly, reversed_, sliced, unaligned
from operations import (DTYPES, OPERATIONS, call, call_as_given, cases, document, each, each_dtype, functions, in_place,
                        same_as, signature)
from scalar import assert_same_bits

from nnjit.bench import contract

BOUNDS = {name: import_module(f"test_{name}").bound for name in OPERATIONS}  # now: Hypothesis lets no test import tests
ORACLE = {np.float32: np.float64, np.float64: np.longdouble}  # the twins' precision


def floats(args):
    return {name: x for name, x in args.items() if x.dtype.kind == "f"}


def oracle(operation, function, args, options, dtype):
    """The twin's results in higher precision, and the largest error that the kernel may have."""
    wide = ORACLE[dtype]
    args = [x.astype(wide) if x.dtype.kind == "f" else x for x in args.values()]
    with np.errstate(all="ignore"):
        expected = contract.call(contract.twins(operation)[1], function, args, options)
        u = float(np.finfo(dtype).eps) / 2
        bounds = BOUNDS[operation](function, u, expected, *args, **options)
    # the oracle's own error; what the bounds neglect (products of two errors); underflow
    factor = 1.01 + float(np.finfo(wide).eps / np.finfo(dtype).eps)
    bounds = [factor * limit + 64 * np.finfo(dtype).smallest_subnormal * (limit > 0) for limit in bounds]
    return expected, bounds


def assert_near(results, expected, bounds, where):
    for number, (x, r, limit) in enumerate(zip(results, expected, bounds, strict=True)):
        assert x.shape == r.shape == np.shape(limit), f"{where}: shapes of result {number}"
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(x - r) <= limit)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            raise AssertionError(f"{where}: result {number} at {at} is {x[at]}, expected {r[at]} +- {limit[at]:.2g}")


# ---- right results


@each_dtype
@each
def test_results_are_those_of_numpy_within_the_bound(operation, dtype):
    for shape in contract.shapes(operation):
        for function, args, options, where in cases(operation, shape, dtype):
            expected, bounds = oracle(operation, function, args, options, dtype)
            before = {name: x.copy() for name, x in args.items()}
            results = call(operation, function, args, options)
            assert_near(results, expected, bounds, where)
            for x, r in zip(results, expected, strict=True):
                # counts and means are Python numbers
                assert x.dtype == (dtype if x.ndim else np.asarray(r).dtype), f"{where}: {x.dtype}"
            for name, x in before.items():
                assert_same_bits(args[name], x, f"{where}: {name} was changed")


@each
def test_a_million_elements_are_as_right_as_a_few(operation):
    for function, args, options, where in cases(operation, contract.LARGE[contract.dimensions(operation)], np.float32):
        expected, bounds = oracle(operation, function, args, options, np.float32)
        assert_near(call(operation, function, args, options), expected, bounds, where)


@each_dtype
@each
def test_nan_infinity_zero_and_denormals_propagate(operation, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    longer = ((3, 40, 20, 5)[:contract.dimensions(operation)],) if contract.dimensions(operation) <= 4 else ()
    for shape in (contract.small(operation), *longer):
        for function, args, options, where in cases(operation, shape, dtype):
            for name in floats(args):
                for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1000 * tiny, np.finfo(dtype).smallest_normal / 4):
                    changed = {**args, name: args[name].copy()}
                    changed[name].flat[args[name].size // 2] = value
                    text = f"{where}, a {value} in {name}"
                    expected, bounds = oracle(operation, function, changed, options, dtype)
                    results = call(operation, function, changed, options)
                    for x, r in zip(results, expected, strict=True):
                        assert np.array_equal(np.isnan(x), np.isnan(r)), f"{text}: other NaNs than NumPy"
                        assert np.array_equal(x == np.inf, r == np.inf), f"{text}: other infinities than NumPy"
                        assert np.array_equal(x == -np.inf, r == -np.inf), f"{text}: other infinities than NumPy"
                    finite = [np.isfinite(r) & np.isfinite(limit) for r, limit in zip(expected, bounds)]
                    with np.errstate(invalid="ignore"):
                        bounds = [np.where(known, limit, np.inf) for known, limit in zip(finite, bounds)]
                        results = [np.where(known, x, 0) for known, x in zip(finite, results)]
                        expected = [np.where(known, r, 0) for known, r in zip(finite, expected)]
                    assert_near(results, expected, bounds, text)


@each_dtype
@each
def test_everything_denormal_stays(operation, dtype):
    # a CPU told to flush denormals would give zeros here
    for function, args, options, where in cases(operation, contract.small(operation), dtype):
        for name in floats(args):
            small = {**args, name: args[name] * dtype(np.finfo(dtype).smallest_normal / 8)}
            expected, bounds = oracle(operation, function, small, options, dtype)
            assert_near(call(operation, function, small, options), expected, bounds, f"{where}, {name}")


@each
def test_backward_is_the_slope_of_forward(operation):
    """Central differences of the twin's forward in float64: neither kernel nor twin of backward has a say."""
    twin = contract.twins(operation)[1]
    if not hasattr(twin, "backward"):
        assert not hasattr(contract.twins(operation)[0], "backward")
        return
    step, checked = 1e-6, 0
    forward, forward_options = None, {}
    for function, args, options, where in cases(operation, contract.small(operation), np.float64):
        if function == "forward":
            forward, forward_options = args, options
            continue
        leading = next(iter(args))
        weights = args[leading] if leading.startswith("d") else None  # a loss has no dy: it is the mean that counts
        added = leading[1:] if weights is not None and leading[1:] in forward else None

        def height(values):
            result = twin.forward(*values.values(), **forward_options)
            result = result[0] if isinstance(result, tuple) else result
            if added:  # dw beside w: backward adds the penalty's gradient to that of the rest of the loss
                return float(result + np.sum(values[added] * weights))
            return float(np.mean(result) if weights is None else np.sum(result * weights))

        slopes = call(operation, function, args, options)
        constant = ("labels", "targets", "weights", *contract.updated(operation, "forward"))
        variables = [name for name in floats(forward) if name not in constant]
        for name, slope in zip(variables, slopes, strict=True):
            numeric = np.empty_like(slope)
            for at in np.ndindex(slope.shape):
                ends = []
                for sign in (1, -1):
                    moved = {**forward, name: forward[name].copy()}
                    moved[name][at] += sign * step
                    ends.append(height(moved))
                numeric[at] = (ends[0] - ends[1]) / (2 * step)
            # differences: 1e-16 times the height over the step, and step^2 times the third derivative
            np.testing.assert_allclose(slope, numeric, rtol=1e-7, atol=1e-8, err_msg=f"{where}: d{name}")
            checked += slope.size
    assert checked


# ---- memory


LAYOUTS = {"fortran": np.asfortranarray, "reversed": reversed_, "sliced": sliced, "unaligned": unaligned,
           "readonly": readonly, "memmap": memmap}


@each
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_shape_and_strides(operation, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    number = contract.dimensions(operation)
    least, most = ((1,), (40,)) if number == 1 else ((0, 1, 1), (40,) * 3) if number <= 3 else (
        ((0, 1, 1, 1), (12,) * 4) if number == 4 else ((0, 1, 1, 1, 1), (5, 6, 9, 20, 9)))
    shape = tuple(data.draw(st.integers(low, high)) for low, high in zip(least[:number], most))
    for function, args, options, where in cases(operation, shape, dtype):
        expected, bounds = oracle(operation, function, args, options, dtype)
        results = call(operation, function, args, options, parallel=False)
        assert_near(results, expected, bounds, where)
        given_ = {name: x if in_place(operation, function, name, options)
                  else data.draw(st.sampled_from(list(LAYOUTS.values())))(x)
                  for name, x in args.items()}
        others = call_as_given(operation, function, given_, options, parallel=data.draw(st.sampled_from((None, True))))
        same_as(others, results, where)


MARGIN = 21  # not a multiple of the lanes: vectors of the results straddle registers


def with_margins(shape, dtype, fill):
    """An array in the middle of a larger one, and the larger one, whose margins hold 12345."""
    size = int(np.prod(shape))
    room = np.full(size + 2 * MARGIN, 12345, dtype)
    room[MARGIN:MARGIN + size] = fill
    return room[MARGIN:MARGIN + size].reshape(shape), room


def assert_margins(room, where):
    assert (room[:MARGIN] == 12345).all() and (room[-MARGIN:] == 12345).all(), f"{where}: written out of bounds"


@pytest.mark.parametrize("parallel", (False, True))
@each_dtype
@each
def test_out_is_written_returned_and_not_overrun(operation, dtype, parallel):
    for shape in contract.shapes(operation):
        for function, args, options, where in cases(operation, shape, dtype):
            expected = call(operation, function, args, options)
            run = getattr(contract.twins(operation)[0], function)
            if function == "step":
                places = {name: with_margins(x.shape, dtype, x.ravel()) for name, x in args.items()}
                run(*(x for x, _ in places.values()), **options, parallel=parallel)
                same_as([x for x, _ in places.values()], expected, where)
                rooms = [room for _, room in places.values()]
            elif "out" in signature(operation, function):
                given_, rooms = zip(*(with_margins(x.shape, dtype, np.nan) for x in expected))
                out = given_ if len(given_) > 1 else given_[0]
                found = run(*args.values(), **options, out=out, parallel=parallel)
                for x, place in zip(found if isinstance(found, tuple) else (found,), given_, strict=True):
                    assert x is place, f"{where}: out is not what is returned"
                same_as(given_, expected, where)
            else:
                continue
            for room in rooms:
                assert_margins(room, where)


def itself():
    """(operation, function, argument) where the docstring says that `out` may be the argument itself."""
    for operation in OPERATIONS:
        for function in functions(operation):
            found = re.search(r"out : .*may be (\w+) itself", document(operation, function))
            if found:
                yield operation, function, found[1]


@pytest.mark.parametrize("parallel", (False, True))
@each_dtype
@pytest.mark.parametrize("operation, function, name", list(itself()))
def test_out_may_be_an_argument_itself(operation, function, name, dtype, parallel):
    for shape in contract.shapes(operation):
        for verb, args, options, where in cases(operation, shape, dtype):
            if verb == function:
                expected = call(operation, function, args, options)
                args[name] = args[name].copy()
                out = args[name] if len(expected) == 1 else (args[name], *(None for _ in expected[1:]))
                found = call(operation, function, args, options, out=out, parallel=parallel)
                assert found[0] is args[name], where
                same_as(found, expected, where)
