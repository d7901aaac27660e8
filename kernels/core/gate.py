"""The compiled gate: what a public function runs where it was called with arguments of the same kinds before.

The first such calls pass the checks of the function itself, written in Python, which then calls loop nests. What it did
is kept as a plan (plans.py): the key of the arguments (record.py), and for each nest what is passed to it. From then on
this code finds the plan by the key and makes the calls. Numbers are compared with the plan's: they are equal, or lie in
the range that the checks allow and are only passed on. Anything else goes to the function in Python with the same
arguments, and only that one raises.
"""

import types

from .compile import direct, inline, shared
from .invoke import NO_VALUE, follow
from .objects import DATA, TUPLE_ITEMS, as_float, call, new_array, put, room, word
from .record import (ADDRESS, ARRAY_TYPE, ARRAYS, CAPTURES, DECREF, FROM_FLOAT, FROM_INT, HASH, INCREF, KEY,
                     MOST_DIMENSIONS, NEW_ARRAY, NEW_BYTES, NEW_TUPLE, NONE, OBJECT, RECORD, RESTORE, SAVE, SEEN,
                     SIZE, VALUE, VALUES, VECTORCALL, WORDS, describe)

SEEN_MASK = 1023  # of the table of keys that have no plan yet; three bits count how often one was seen
LEARN_AT = 4

# Of one function, in a slot of what it is bound to: where its plans are, itself, what learns a plan.
SLOT = types.ModuleType.__basicsize__
BUCKETS, PYTHON, LEARN, COMMON = range(0, 32, 8)

# A plan: its key, the rules of its numbers, the arrays that it makes, its calls of nests and its result.
(P_HASH, P_WORDS, P_WRITTEN, P_RELEASE, P_NEW, P_CALLS, P_RESULTS, P_VALUES_AT, P_NEW_AT, P_CALLS_AT,
 P_RESULTS_AT) = range(0, 88, 8)
P_KEY = 88
REFUSED = -1  # of P_CALLS: always by Python
PYTHON_MAKES_IT = -1
ANY, EXACT, NUMBER, NOT_ZERO, WHOLE = range(5)  # rules of a number: the rule, its bits or the lowest, the highest
RULE = 24
NEW = 8 * (2 + MOST_DIMENSIONS)  # dtype, number of dimensions, lengths; of one on the stack: 0, its place there
STACK = 1024  # words for the arrays that no caller sees: each that NumPy makes takes 70 ns
C_FUNCTION, C_WORDS, C_PATCHES, C_EXPECT, C_EXPECTED, C_TEMPLATE = 0, 8, 16, 24, 32, 40
NOTHING, EQUAL, RETURNED = range(3)  # what is expected of a nest's result
MOST_CALLS, MOST_CALL_WORDS = 8, 160
NO_RESULT, SINGLE = -2, -1  # of P_RESULTS, else the length of a tuple
ARRAY, INTEGER, REAL, ABSENT, PASSED = range(5)  # kinds of a result; then the number of the array, call or argument


@inline
def _number_fits(rule, bits):
    kind = word(rule)
    if kind == ANY:
        return True
    if kind == EXACT:
        return word(rule + 8) == bits
    if kind == WHOLE:
        return word(rule + 8) <= bits <= word(rule + 16)
    value = as_float(bits)
    return as_float(word(rule + 8)) <= value <= as_float(word(rule + 16)) and (kind == NUMBER or value != 0.0)


@inline
def _numbers_fit(plan, record):
    rules = plan + word(plan + P_VALUES_AT)
    for i in range(word(record + VALUES)):
        if not _number_fits(rules + RULE * i, word(record + VALUE + 8 * i)):
            return False
    return True


@inline
def _same_key(plan, record):
    n = word(record + WORDS)
    if word(plan + P_HASH) != word(record + HASH) or word(plan + P_WORDS) != n:
        return False
    for i in range(n):
        if word(plan + P_KEY + 8 * i) != word(record + KEY + 8 * i):
            return False
    return True


@inline
def _find(buckets, record):
    """The plan of a call, or 0."""
    mask = word(buckets)
    at = word(record + HASH) & mask
    plan = word(buckets + 8 + 8 * at)
    while plan != 0 and not (_same_key(plan, record) and _numbers_fit(plan, record)):
        at = (at + 1) & mask
        plan = word(buckets + 8 + 8 * at)
    return plan


@inline
def _overlaps(written, record):
    """Whether an array that is written shares memory with another, but for one that begins at the same address."""
    n = word(record + ARRAYS)
    for i in range(n):
        if written >> i & 1:
            start = word(record + ADDRESS + 8 * i)
            end = start + word(record + SIZE + 8 * i)
            for j in range(n):
                other = word(record + ADDRESS + 8 * j)
                if start != other and other < end and start < other + word(record + SIZE + 8 * j):
                    return True
    return False


@inline
def _make_arrays(plan, record, stack, common):
    """Make the new arrays; False with an error set if there is no memory."""
    n = word(record + ARRAYS)
    for i in range(word(plan + P_NEW)):
        new = plan + word(plan + P_NEW_AT) + NEW * i
        if word(new) == 0:
            put(record + OBJECT + 8 * (n + i), 0)
            put(record + ADDRESS + 8 * (n + i), stack + word(new + 8))
            continue
        call(word(common + INCREF), (word(new),))
        x = new_array(word(common + NEW_ARRAY), word(common + ARRAY_TYPE), word(new), word(new + 8), new + 16)
        put(record + OBJECT + 8 * (n + i), x)
        if x == 0:
            _drop(record, n, n + i, common)
            return False
        put(record + ADDRESS + 8 * (n + i), word(x + DATA))
    return True


@shared
def _drop(record, start, end, common):
    """Drop what was made of these arrays; of those on the stack that is 0, which Py_DecRef leaves alone."""
    for i in range(start, end):
        call(word(common + DECREF), (word(record + OBJECT + 8 * i),))


@inline
def _call_nests(plan, record, results, release):
    """Make the calls; whether all went well."""
    copy = room(MOST_CALL_WORDS)
    at = plan + word(plan + P_CALLS_AT)
    for i in range(word(plan + P_CALLS)):
        n, patches = word(at + C_WORDS), word(at + C_PATCHES)
        words, patch = at + C_TEMPLATE, at + C_TEMPLATE + 8 * n
        if release:  # other threads may run the same plan meanwhile
            words = copy
            for j in range(n):
                put(words + 8 * j, word(at + C_TEMPLATE + 8 * j))
        for j in range(patches):
            put(words + word(patch + 16 * j), word(record + word(patch + 16 * j + 8)))
        status = follow(word(at + C_FUNCTION), words)
        if status != 0 and status != NO_VALUE:
            return False
        value = word(words + 8 * n - 8)
        if word(at + C_EXPECT) == EQUAL and value != word(at + C_EXPECTED):
            return False
        put(results + 8 * i, value)
        at = patch + 16 * patches
    return True


@shared
def _result(kind, which, record, results, common):
    """One result, as a new reference; 0 with an error set if there is no memory."""
    if kind == INTEGER:
        return call(word(common + FROM_INT), (word(results + 8 * which),))
    if kind == REAL:
        return call(word(common + FROM_FLOAT), (as_float(word(results + 8 * which)),))
    if kind == PASSED:
        return call(word(common + FROM_FLOAT), (as_float(word(record + VALUE + 8 * which)),))
    x = word(common + NONE) if kind == ABSENT else word(record + OBJECT + 8 * which)
    call(word(common + INCREF), (x,))
    return x


@inline
def _results(plan, record, results, common):
    at, size = plan + word(plan + P_RESULTS_AT), word(plan + P_RESULTS)
    if size < 0:
        return _result(word(at), word(at + 8), record, results, common)
    found = call(word(common + NEW_TUPLE), (size,))
    for i in range(size):
        x = 0 if found == 0 else _result(word(at + 16 * i), word(at + 16 * i + 8), record, results, common)
        if x == 0:
            if found != 0:
                call(word(common + DECREF), (found,))
            return 0
        put(found + TUPLE_ITEMS + 8 * i, x)
    return found


@inline
def _run(plan, record, common):
    """The result of a call by its plan; 0 with an error set; or PYTHON_MAKES_IT."""
    if word(plan + P_CALLS) == REFUSED or _overlaps(word(plan + P_WRITTEN), record):
        return PYTHON_MAKES_IT
    if not _make_arrays(plan, record, room(STACK), common):
        return 0
    results = room(MOST_CALLS)
    release = word(plan + P_RELEASE)
    thread = call(word(common + SAVE), ()) if release else 0
    done = _call_nests(plan, record, results, release)
    if release:
        call(word(common + RESTORE), (thread,))
    found = _results(plan, record, results, common) if done else PYTHON_MAKES_IT
    n = word(record + ARRAYS)
    _drop(record, n, n + word(plan + P_NEW), common)
    return found


@inline
def _seen_often(record, common):
    """Whether this key was seen LEARN_AT times without a plan. Another key at the same place begins anew."""
    h = word(record + HASH)
    place = word(common + SEEN) + 8 * (h & SEEN_MASK)
    before = word(place)
    count = (before & 7) + 1 if before >> 3 == h >> 3 else 1
    put(place, (h >> 3) << 3 | (0 if count == LEARN_AT else count))
    return count == LEARN_AT


@direct
def gate(entry, args, count, names):
    """A call of a public function, as Python makes it: its result as a new reference, or 0 with an error set."""
    table = word(word(entry + SLOT) + DATA)
    common, function = word(table + COMMON), word(table + PYTHON)
    if word(word(common + CAPTURES)) == 0:
        record = room(RECORD)
        if describe(args, count, names, record, common):
            plan = _find(word(table + BUCKETS), record)
            if plan != 0:
                found = _run(plan, record, common)
                if found != PYTHON_MAKES_IT:
                    return found
            elif _seen_often(record, common):
                function = word(table + LEARN)
    return call(word(common + VECTORCALL), (function, args, count, names))


@direct
def describe_call(common_array, args, count, names):
    """The record of a call as bytes, b"" if it can't be handled here: a function that Python calls."""
    common = word(common_array + DATA)
    record = room(RECORD)
    size = 8 * RECORD if describe(args, count, names, record, common) else 0
    return call(word(common + NEW_BYTES), (record, size))
