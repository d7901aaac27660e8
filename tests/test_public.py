"""The compiled gate: a call of a public function that is made often gives what the function in Python gives."""

import contextlib
import copy
import gc
import inspect
import pickle
import sys
import threading
import types
import weakref

import numpy as np
import pytest
import sampling
from operations import cases, each, each_dtype, functions, signature
from scalar import assert_same_bits

from nnjit import kernels
from nnjit.bench import contract
from nnjit.kernels.core import gate, objects, plans, public

OFTEN = gate.LEARN_AT + 4  # calls, of which the last are made by a plan
SPECIAL = (0.0, -0.0, 5e-324, 1e-300, 0.25, 1.0, 1.5, 3.0, 1e300, sys.float_info.max, -0.25, -1.0, -1e300,
           float("inf"), float("-inf"), float("nan"), True, 2, 2**70)


@pytest.fixture(autouse=True)
def installed():
    public.install()
    assert public.python_reason() is None


def entry(function):
    return function.__self__


def builtin(operation, function):
    return getattr(contract.twins(operation)[0], function)


def outcome(function, args, options):
    """What a call returns and leaves in its arguments, or its error."""
    args = [x.copy() if isinstance(x, np.ndarray) and x.flags.c_contiguous else x for x in args]
    try:
        found = function(*args, **options)
    except Exception as error:
        return type(error).__name__, str(error)
    return [x for x in (found if isinstance(found, tuple) else (found,))], args


def assert_equal(ours, theirs, where):
    assert type(ours) is type(theirs), where
    if isinstance(ours, np.ndarray):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, where
        assert_same_bits(ours, theirs, where)
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), where
        for pair in zip(ours, theirs):
            assert_equal(*pair, where)
    elif isinstance(ours, float):
        assert_same_bits(np.float64(ours), np.float64(theirs), where)
    else:
        assert ours == theirs, where


def often(function, args, options, where):
    """Each of many equal calls has the outcome of the function in Python."""
    expected = outcome(entry(function).function, args, options)
    for _ in range(OFTEN):
        assert_equal(outcome(function, args, options), expected, where)


@contextlib.contextmanager
def calls_in_python(function):
    """A list that grows with each call of the function in Python."""
    made, table, python = [], entry(function).table, entry(function).function

    def noting(*args, **options):
        made.append(args)
        return python(*args, **options)

    table[gate.PYTHON // 8] = id(noting)
    yield made
    table[gate.PYTHON // 8] = id(python)


@each
@each_dtype
def test_frequent_calls_have_the_outcome_of_the_function_in_python(operation, dtype):
    twin = contract.twins(operation)[1]
    for shape in twin.SHAPES[:4]:
        for function, args, options, where in cases(operation, shape, dtype):
            args = [*args.values()]
            often(builtin(operation, function), args, options, where)
            if "out" in signature(operation, function):
                found = outcome(builtin(operation, function), args, options)[0]
                given = [None if x is None else np.full_like(x, np.nan) for x in found]
                often(builtin(operation, function), args, {**options, "out": (*given,) if len(given) > 1 else given[0]},
                      f"{where}, out")


@each
def test_plans_make_the_frequent_calls(operation):
    twin = contract.twins(operation)[1]
    for function, args, options, where in cases(operation, twin.SHAPES[-1], np.float32):
        action = builtin(operation, function)
        args = [*args.values()]
        pairs = [value for value in options.values() if isinstance(value, tuple) and isinstance(value[0], tuple)]
        if any(x.dtype.kind == "b" for x in args) or pairs:  # the second: padding of each side
            continue  # which Python makes
        for _ in range(OFTEN):
            action(*args, **options, parallel=False)
        with calls_in_python(action) as made:
            action(*args, **options, parallel=False)
        assert not made, where


@each
def test_numbers_pass_as_far_as_python_lets_them(operation):
    twin = contract.twins(operation)[1]
    for function, args, options, where in cases(operation, twin.SHAPES[0], np.float32):
        action, args = builtin(operation, function), [*args.values()]
        numbers = [name for name, value in options.items() if type(value) in (int, float)]
        for name in numbers:
            kind = type(options[name])
            for value in (*(kind(options[name] * factor) for factor in (1, 0.5, 0.75, 0.5, 0.75)), *SPECIAL) * 2:
                changed = {**options, name: value}
                assert_equal(outcome(action, args, changed), outcome(entry(action).function, args, changed),
                             f"{where}, {name}={value}")


def test_a_call_that_is_learnt_keeps_no_array_alive():
    for _ in range(2 * public.INSTALL_AT):
        kernels.relu.forward(np.ones(3))
    gc.collect()
    gc.disable()
    try:
        x = np.ones((7, 43))
        alive = weakref.finalize(x, lambda: None)
        for _ in range(8):
            kernels.relu.forward(x)
        del x
        assert not alive.alive
    finally:
        gc.enable()


@pytest.mark.parametrize("shape", [(2, 31), (4, 37), (3, 41, 1)])  # which no other test has
def test_numbers_that_change_take_one_plan(shape):
    w = np.ones(shape, np.float32)
    arrays = [w, w.copy(), w.copy(), w.copy()]
    before = len(entry(kernels.adam.step).plans)
    for t in range(1, 50):
        kernels.adam.step(*arrays, learning_rate=0.1 / t, correction_1=1 - 0.9**t, correction_2=1 - 0.999**t)
    found = entry(kernels.adam.step).plans[before:]
    assert len(found) == 1 and len(found[0].passed) == 3
    before = len(entry(kernels.dropout.forward).plans)
    for i in range(60):
        kernels.dropout.forward(w, rate=0.5, seed=3, stream=i)
    found = entry(kernels.dropout.forward).plans[before:]
    assert len(found) == 1 and len(found[0].passed) == 1


@pytest.mark.parametrize("largest", [2**63, 2**64])
def test_random_numbers_from_any_seed(largest):
    x = np.ones(5, np.float32)
    learnt(kernels.dropout.forward, x, rate=0.5, seed=largest - 1)
    for seed in (0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1, 2**64, 2**80, -1, -2**63, -2**63 - 1) * 2:
        changed = {"rate": 0.5, "seed": seed, "stream": 2**64 - 3}
        assert_equal(outcome(kernels.dropout.forward, [x], changed),
                     outcome(entry(kernels.dropout.forward).function, [x], changed), seed)


def test_norms_that_are_given():
    x = np.full(5, 3, np.float32)
    before = len(entry(kernels.clip_norm.step).plans)
    for norm in (8.0, 9.0, 0.5, float("inf"), 0.0, -0.0, 7.0, float("nan"), -1.0, True, 3, None) * 4:
        given = {"max_norm": 2.0, "norm": norm}
        assert_equal(outcome(kernels.clip_norm.step, [x], given),
                     outcome(entry(kernels.clip_norm.step).function, [x], given), norm)
    found = entry(kernels.clip_norm.step).plans[before:]
    assert sum(len(plan.passed) for plan in found) == 1


def test_arrays_that_no_caller_sees():
    """They lie on the stack where they fit: the results are those of the function in Python all the same."""
    rng = np.random.default_rng(0)
    for rows, places in ((2, 2), (300, 2), (2000, 1)):
        x, w = rng.standard_normal((rows, 3), np.float32), rng.standard_normal((3, 4), np.float32)
        y = kernels.dense.forward(x, w, np.zeros(4, np.float32), activation="relu")
        before = len(entry(kernels.dense.backward).plans)
        often(kernels.dense.backward, [y.copy(), x, w, y], {"activation": "relu", "parallel": False}, rows)
        plan, = entry(kernels.dense.backward).plans[before:]
        assert len(plan.made) == 5 and sum(each[0] == 0 for each in plan.made) == places, rows


def test_numbers_that_decide_something_take_plans_of_their_own():
    x = np.ones(100, np.float32)
    before = len(entry(kernels.dropout.forward).plans)
    for i in range(60):
        for rate in (0.1, 0.5):
            y, _ = kernels.dropout.forward(x, rate=rate, seed=3, stream=i)
            assert_equal(y, entry(kernels.dropout.forward).function(x, rate=rate, seed=3, stream=i)[0], f"{rate} {i}")
    found = entry(kernels.dropout.forward).plans[before:]
    assert len(found) == 2 and all(len(plan.passed) == 1 for plan in found)


def learnt(action, *args, **options):
    for _ in range(OFTEN):
        action(*args, **options)


def test_arrays_that_are_not_plain_go_to_python():
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    learnt(kernels.relu.forward, x)
    fixed = x.copy()
    fixed.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 6)
    for other in (x[:, ::-1], x.T, fixed, unaligned, x.astype(">f4"), x.view(np.matrix), x.astype(np.float16),
                  x.astype(int), np.ma.masked_array(x), x.tolist(), None, x.astype(complex)):
        often(kernels.relu.forward, [other], {}, type(other))
        with calls_in_python(kernels.relu.forward) as made, contextlib.suppress(TypeError):
            kernels.relu.forward(other)
        assert made, type(other)
    for other in (x[:3], x[None], x[0]):
        often(kernels.relu.forward, [other], {}, other.shape)


def test_what_is_written_must_not_overlap():
    memory = np.arange(40, dtype=np.float32)
    x, other = memory[:16], np.empty(16, np.float32)
    learnt(kernels.relu.forward, x, out=other)
    learnt(kernels.relu.forward, x, out=x)
    for start in (1, 15):
        with pytest.raises(ValueError, match="must not overlap"):
            kernels.relu.forward(x, out=memory[start:start + 16])
    assert_equal(kernels.relu.forward(x, out=memory[16:32]), np.maximum(x, 0), "beside")
    for start in (4, 20):  # of which the first overlaps
        w, dw = memory[:8], memory[start:start + 8]
        learnt(kernels.sgd.step, np.empty(8, np.float32), dw, learning_rate=0.5)
        with pytest.raises(ValueError, match="must not share") if start == 4 else contextlib.nullcontext():
            kernels.sgd.step(w, dw, learning_rate=0.5)
    a = np.ones((4, 4), np.float32)
    learnt(kernels.matmul.forward, a, a.copy(), out=np.empty_like(a))
    with pytest.raises(ValueError, match="out must not share memory with an input"):
        kernels.matmul.forward(a, a.copy(), out=a)
    with pytest.raises(ValueError, match="out must be writeable"):
        fixed = np.empty_like(a)
        fixed.flags.writeable = False
        kernels.matmul.forward(a, a.copy(), out=fixed)


def test_labels_are_checked_at_each_call():
    scores = np.zeros((3, 4), np.float32)
    for dtype in (np.int64, np.uint8, np.int32):
        learnt(kernels.softmax_cross_entropy.forward, scores, np.array([0, 1, 2], dtype))
        for _ in range(OFTEN):
            with pytest.raises(ValueError, match=r"labels must lie in 0..3, got 4 at index 1"):
                kernels.softmax_cross_entropy.forward(scores, np.array([0, 4, 2], dtype))


def test_text_counts_by_its_letters():
    x, w, b = np.full((2, 2), -1, np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    for i in range(200):
        name = ("relu", "tanh", "sigmoid")[i % 3]
        found = kernels.dense.forward(x, w, b, activation="".join(name))  # a new object each time
        assert_equal(found, entry(kernels.dense.forward).function(x, w, b, activation=name), name)
    with pytest.raises(ValueError, match="activation must be one of"):
        kernels.dense.forward(x, w, b, activation="".join("rely"))


def test_captures_see_all_calls():
    x = np.ones((4, 4), np.float32)
    learnt(kernels.relu.forward, x)
    with kernels.capture() as calls:
        kernels.relu.forward(x)
    assert len(calls) == 1
    seen = []
    thread = threading.Thread(target=lambda: (kernels.relu.forward(x), seen.append(1)))
    with kernels.capture() as calls:
        thread.start()
        thread.join(60)
        kernels.relu.forward(x)
    assert len(calls) == 1 and seen


@pytest.mark.skipif(kernels.core.threads.CORES < 2, reason="one core")
def test_the_number_of_threads_decides_anew():
    x = np.ones(kernels.relu.PARALLEL_FROM, np.float32)
    before = kernels.get_num_threads()
    try:
        kernels.set_num_threads(1)
        learnt(kernels.relu.forward, x)
        kernels.set_num_threads(2)
        with calls_in_python(kernels.relu.forward) as made:
            kernels.relu.forward(x)
        assert made
    finally:
        kernels.set_num_threads(before)


POOL = [(start, shape, dtype, order) for start in (0, 8, 64, 128, 256) for shape in ((4, 4), (4,), (2, 8))
        for dtype in (np.float32, np.float64, np.int64) for order in ((1, -1) if len(shape) == 2 else (1,))]
OPTIONS = {"out": (None, "array", "tuple"), "parallel": (None, True, False, 1, "no"),
           "activation": (None, "relu", "tanh", "step", 3), "negative_slope": (0.01, 0.5, -1.0, np.float32(2), "a"),
           "rate": (0.5, 0.25, 1.0, None), "seed": (0, 1, 7, 300, 2**64, 1.0), "stream": (0, 5, 1000, -1),
           "learning_rate": (1.0, 0.5, 0.25, float("nan")), "momentum": (0.0, 0.5, 0.9), "nesterov": (False, True, 0),
           "l1": (0.0, 0.5), "l2": (0.0, 0.25, float("inf")), "max_norm": (1.0, 0.5, 0.0, -1.0), "norm": (None, 2.0)}
MIXED = [(kernels.relu.forward, 1), (kernels.add.forward, 2), (kernels.multiply.backward, 3),
         (kernels.matmul.forward, 2), (kernels.dense.forward, 3), (kernels.dense.backward, 3),
         (kernels.softmax_cross_entropy.forward, 2), (kernels.sgd.step, 3), (kernels.penalty.backward, 2),
         (kernels.clip_norm.step, 1), (kernels.mean.forward, 1), (kernels.leaky_relu.forward, 1),
         (kernels.dropout.forward, 1), (kernels.categorical_accuracy.forward, 2)]


def test_any_mix_of_arguments_has_the_outcome_of_python(pytestconfig):
    """Arrays of all kinds that overlap each other, and any options: also what is written must be the same."""
    rng = np.random.default_rng(pytestconfig.option.sample_seed)
    memory = np.zeros(100, np.float64)
    values = rng.integers(0, 3, memory.size).astype(np.float32)
    arrays = []
    for start, shape, dtype, order in POOL:
        x = memory[start // 8:].view(dtype)[:np.prod(shape)].reshape(shape[::order])
        arrays.append(x if order == 1 else x.T)

    def made(action, args, options):
        memory[...] = 0
        memory.view(np.float32)[:values.size] = values
        try:
            found = action(*args, **options)
        except Exception as error:
            found = type(error), str(error)
        else:
            found = found if type(found) is tuple else (found,)
            found = [x.copy() if isinstance(x, np.ndarray) else x for x in found]
        return found, memory.copy()

    planned = 0
    mixed = [MIXED[0], *sampling.some(pytestconfig, MIXED[1:], 4)]  # each needs kernels of its own
    for action, count in mixed:
        names = [name for name in inspect.signature(action).parameters if name in OPTIONS]
        few = [arrays[i] for i in rng.choice(len(arrays), 4)]
        for _ in range(400):
            args = [few[i] for i in rng.integers(0, 4, count)]
            options = {}
            for name in names:
                if rng.random() < 0.6:
                    value = OPTIONS[name][rng.integers(0, min(3, len(OPTIONS[name])) if rng.random() < 0.8 else
                                                       len(OPTIONS[name]))]
                    options[name] = (few[rng.integers(0, 4)] if value == "array" else
                                     tuple(few[i] for i in rng.integers(0, 4, 3)) if value == "tuple" else value)
            with np.errstate(all="ignore"):
                ours, theirs = made(action, args, options), made(entry(action).function, args, options)
            assert_equal(ours, theirs, f"{entry(action).__name__} {options}")
        planned += sum(len(plan.words) > 0 for plan in entry(action).plans)
    assert planned > len(mixed) // 2


@each
def test_many_calls_leave_nothing_behind(operation):
    twin = contract.twins(operation)[1]
    for function, args, options, where in cases(operation, twin.SHAPES[0], np.float32):
        action, args = builtin(operation, function), [*args.values()]
        outs = []
        if "out" in signature(operation, function):
            found = action(*args, **options)
            outs = [x for x in (found if isinstance(found, tuple) else (found,)) if x is not None]
            if not isinstance(found, tuple):
                given = {**options, "out": np.empty_like(found)}
        for variant in (options, given if outs and len(outs) == 1 else options):
            learnt(action, *args, **variant)
            objects_ = [*args, *variant.values(), None, np.dtype(np.float32), True]
            gc.collect()
            counts, blocks = [sys.getrefcount(x) for x in objects_], sys.getallocatedblocks()
            for _ in range(5000):
                action(*args, **variant)
            gc.collect()
            blocks = sys.getallocatedblocks() - blocks
            assert [abs(sys.getrefcount(x) - n) < 50 for x, n in zip(objects_, counts)] == [True] * len(counts), where
            assert blocks < 250, where


def test_calls_without_memory_raise_and_leave_nothing_behind():
    testing = pytest.importorskip("_testcapi")
    x, labels = np.eye(4, dtype=np.float32), np.arange(4)
    for action, args, options in ((kernels.dense.backward, (x, x, x, x), {"activation": "relu"}),
                                  (kernels.softmax_cross_entropy.forward, (x, labels), {}),
                                  (kernels.clip_norm.step, (x.copy(),), {"norm": 0.5, "max_norm": 0.75})):
        learnt(action, *args, **options)
        failed, held = 0, [*args, x.dtype, None]
        counts, blocks = [sys.getrefcount(each) for each in held], sys.getallocatedblocks()
        for _ in range(500):
            for allocation in range(6):
                testing.set_nomemory(allocation, allocation + 1)
                try:
                    action(*args, **options)
                except MemoryError:
                    failed += 1
                finally:
                    testing.remove_mem_hooks()
        assert failed >= 500 and sys.getallocatedblocks() - blocks < 200
        assert [abs(sys.getrefcount(each) - n) < 50 for each, n in zip(held, counts)] == [True] * len(held)


def test_arrays_that_another_thread_changes_while_a_plan_is_made():
    x, y = np.arange(16, dtype=np.float32).reshape(4, 4), np.empty((4, 4), np.float32)
    softmax = entry(kernels.softmax.forward).function

    def describe(*args, **options):
        found = public._state["describe"](*args, **options)
        x.resize((2, 8), refcheck=False)
        y.resize((2, 8), refcheck=False)
        return found

    result, call, plan, _ = plans.learn(describe, softmax, (x,), {"out": y})
    words, = plan.words
    assert result is y and call.key[3:5] == words[6:8] == words[15:17] == [4, 4]


def test_changes_that_no_key_tells():
    """A class as dtype, whose attribute is another one later; and names that are texts of a class of the caller's."""
    class Single:
        dtype = np.dtype(np.float32)

    options = {"seed": 1, "dtype": Single}
    often(kernels.normal.forward, [(3,)], options, "single")
    Single.dtype = np.dtype(np.float64)
    often(kernels.normal.forward, [(3,)], options, "double")
    name = type("Text", (str,), {})("l1")
    learnt(kernels.penalty.forward, np.ones(3, np.float32), **{name: 0.5})
    assert sum(name is each for plan in entry(kernels.penalty.forward).plans for each in plan.held) == 1


def test_threads_call_at_the_same_time():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 96, 96), np.float32)
    expected = entry(kernels.matmul.forward).function(a, b)
    wrong = []

    def work():
        for _ in range(300):
            if kernels.matmul.forward(a, b).tobytes() != expected.tobytes():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_calls_that_let_other_threads_run_leave_their_plan_as_it_is():
    x = np.ones((3, plans.RELEASE_FROM), np.float32)
    learnt(kernels.softplus.forward, x, parallel=False)
    plan = entry(kernels.softplus.forward).plans[-1]
    before = plan.content.copy()
    with calls_in_python(kernels.softplus.forward) as made:
        kernels.softplus.forward(x.copy(), parallel=False)
    assert not made and plan.released and np.array_equal(plan.content, before)


def test_plans_are_limited(monkeypatch):
    monkeypatch.setattr(public, "MOST_PLANS", len(entry(kernels.tanh.forward).plans) + 3)
    for n in range(1, 10):
        x = np.linspace(-1, 1, n * 7, dtype=np.float32)
        often(kernels.tanh.forward, [x], {}, n)
    assert len(entry(kernels.tanh.forward).plans) <= public.MOST_PLANS


def test_results_that_are_no_longer_used_are_freed():
    x = np.ones((64, 64), np.float32)
    learnt(kernels.relu.forward, x)
    y = kernels.relu.forward(x)
    assert sys.getrefcount(y) == 2 and y.base is None and y.flags.owndata and type(y) is np.ndarray


@each
def test_a_builtin_function_looks_like_the_one_in_python(operation):
    for name in functions(operation):
        action = builtin(operation, name)
        python = entry(action).function
        assert inspect.isbuiltin(action) and inspect.signature(action) == inspect.signature(python)
        assert inspect.getdoc(action) == inspect.getdoc(python)
        assert (action.__name__, action.__qualname__, action.__module__) == (name, name, python.__module__)
        assert pickle.loads(pickle.dumps(action)) is action and copy.deepcopy(action) is action


def test_other_layouts_of_objects_are_noticed(monkeypatch):
    assert objects.why_not() is None
    right = objects._array_fields
    for field in range(7):
        def wrong(x, found, field=field):
            right(x, found)
            found[field:field + 1] ^= 0x503

        with monkeypatch.context() as patched:
            patched.setattr(objects, "_array_fields", wrong)
            assert objects.why_not() == "objects are laid out in another way", field
    with monkeypatch.context() as patched:
        patched.setattr(objects, "_fields", lambda x, places, found: found.fill(0))
        assert objects.why_not() == "objects are laid out in another way"
    with monkeypatch.context() as patched:
        patched.setattr(objects.platform, "python_implementation", lambda: "PyPy")
        assert objects.why_not() == "not a CPython of 64 bits"


def test_without_the_gate_python_makes_all_calls():
    x = np.ones((4, 4), np.float32)
    learnt(kernels.relu.forward, x)
    public.uninstall()
    assert kernels.info()["calls"] == "checked in Python: taken away"
    before = entry(kernels.relu.forward).calls
    kernels.relu.forward(x)
    public.install()
    kernels.relu.forward(x)
    assert entry(kernels.relu.forward).calls == before + 1 and kernels.info()["calls"] == "compiled"


def test_functions_that_are_made_later():
    action = public.public(entry(kernels.relu.forward).function)
    for _ in range(public.INSTALL_AT + OFTEN):
        assert action(np.full(3, -1, np.float32)).tolist() == [0, 0, 0]
    assert len(entry(action).plans) == 1
    public._entries.remove(entry(action))


def test_what_numpy_computes_is_never_part_of_a_plan():
    def forward(x, *, out=None, parallel=None):
        """Not a kernel."""
        return relu(x + 1)  # noqa: F821

    names = {"__name__": "nnjit.kernels.relu", "relu": entry(kernels.relu.forward).function, "np": np}
    made = public.Entry(types.FunctionType(forward.__code__, names, "forward", None, None))
    made.function.__kwdefaults__ = forward.__kwdefaults__
    made.connect(public._state["common"])
    for _ in range(3):
        public._learn(made, (np.ones(3, np.float32),), {})
    assert made.plans and all(plan.content[gate.P_CALLS // 8] == gate.REFUSED for plan in made.plans)


def test_records_say_what_a_call_is():
    x = np.ones((2, 3), np.float32)
    describe = public._state["describe"]
    keys = [tuple(plans.Record(describe(*args, **options)).key) for args, options in (
        ((x,), {}), ((x.T,), {}), ((x, x.copy()), {}), ((x, x), {}), ((x,), {"out": x.copy()}), ((x,), {"out": x}),
        ((x,), {"ou": x}), ((x, None), {}), ((x, True), {}), ((x, (x,)), {}), ((x, 1), {}), ((x, 1.0), {}),
        ((x.astype(np.float64),), {}), ((x[:1],), {}), ((x[None],), {}), ((x.reshape(3, 2),), {}))]
    assert len(set(keys)) == len(keys)
    assert all(describe(x) == b"" for x in ([1], 2**64, x[:, ::2], {}, np.float32(1), x.astype(complex)))


def test_an_operation_that_is_imported_later_has_the_gate_too():
    x = np.linspace(-1, 1, 30, dtype=np.float32)
    late = public.public(entry(kernels.relu.forward).function)
    try:
        for _ in range(OFTEN):
            found = late(x)
        assert len(entry(late).plans) == 1
        assert_same_bits(found, kernels.relu.forward(x), "late")
    finally:
        public._entries.remove(entry(late))
