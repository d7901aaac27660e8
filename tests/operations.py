"""What tests of all operations share: their names, the cases that the twins list, and how to call them."""

import inspect

import numpy as np
import pytest
from scalar import assert_same_bits

from nnjit.bench import contract

OPERATIONS = contract.operations()
DTYPES = (np.float32, np.float64)

each = pytest.mark.parametrize("operation", OPERATIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))


def functions(operation):
    """The names of an operation's functions."""
    return [name for name in ("forward", "backward", "step") if hasattr(contract.twins(operation)[0], name)]


def signature(operation, function):
    return inspect.signature(getattr(contract.twins(operation)[0], function)).parameters


def document(operation, function):
    return inspect.getdoc(getattr(contract.twins(operation)[0], function))


def cases(operation, shape, dtype, seed=0):
    """(function, arguments by name, options, text) for each case that the twin lists."""
    _, twin = contract.twins(operation)
    for number, (function, args, options) in enumerate(twin.inputs(np.random.default_rng(seed), shape, dtype)):
        yield (function, dict(zip(signature(operation, function), args)), options,
               f"{operation}.{function}, case {number}, {shape}")


def call(operation, function, args, options, **more):
    """The results as a list of arrays; those of a step are its arguments, copied."""
    return contract.call(contract.twins(operation)[0], function, list(args.values()), options, **more)


def call_as_given(operation, function, args, options, **more):
    """As `call`, but of a step's arguments only those in place are copied."""
    if function != "step":
        return call(operation, function, args, options, **more)
    args = {name: x.copy() if in_place(operation, function, name) else x for name, x in args.items()}
    getattr(contract.twins(operation)[0], function)(*args.values(), **options, **more)
    return list(args.values())


def in_place(operation, function, name, options=None):
    """Whether a call with these options, or with some, updates an argument."""
    return name in contract.updated(operation, function, options)


def same_as(results, others, where):
    for number, (x, other) in enumerate(zip(results, others, strict=True)):
        assert_same_bits(x, other, f"{where}: result {number}")
