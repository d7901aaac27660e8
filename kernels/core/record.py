"""The record of a call: its key, which says all that the checks of its arguments depend on, and where its arrays lie.

The key has how many arguments there are and by which names; of an array the dtype, shape, order and flags, and which
array before it begins at the same address; of None, a bool or a text which object it is; and how many threads work.
Numbers are kept beside it. A call with any other argument has no record.

All tables are arrays of int64, and all places in them counted in bytes.
"""

from .compile import inline, shared
from .objects import (ALIGNED, COLUMNS, DATA, DESCR, DIMS, FLAGS, FLOAT, NDIM, ROWS, TUPLE_ITEMS, TUPLE_SIZE, TYPE,
                      WRITEABLE, call, half, put, room, word)

# What all functions share: addresses of the number of captures under way, of threads, of objects and C functions.
SHARED = ("captures", "team", "array", "float", "int", "bool", "str", "tuple", "none", "vectorcall", "incref",
          "decref", "new_bytes", "new_array", "new_tuple", "set_item", "from_int", "from_float", "as_int", "save",
          "restore", "seen", "dtypes", "n_dtypes")
(CAPTURES, TEAM, ARRAY_TYPE, FLOAT_TYPE, INT_TYPE, BOOL_TYPE, TEXT_TYPE, TUPLE_TYPE, NONE, VECTORCALL, INCREF,
 DECREF, NEW_BYTES, NEW_ARRAY, NEW_TUPLE, SET_ITEM, FROM_INT, FROM_FLOAT, AS_INT, SAVE, RESTORE, SEEN, DTYPES,
 N_DTYPES) = range(0, 8 * len(SHARED), 8)

MOST_WORDS, MOST_VALUES, MOST_ARRAYS, MOST_NEW, MOST_DIMENSIONS = 96, 16, 16, 8, 6
WORDS, HASH, VALUES, ARRAYS, KEY = 0, 8, 16, 24, 32
VALUE = KEY + 8 * MOST_WORDS
ADDRESS = VALUE + 8 * MOST_VALUES  # of the data of arrays, given and then new
SIZE = ADDRESS + 8 * (MOST_ARRAYS + MOST_NEW)
FIRST = SIZE + 8 * MOST_ARRAYS  # the first array that begins at the same address
OBJECT = FIRST + 8 * MOST_ARRAYS
RECORD = (OBJECT + 8 * (MOST_ARRAYS + MOST_NEW)) // 8

TUPLE_TAG, ARRAY_TAG, FLOAT_TAG, INT_TAG = 1, 2, 3, 4  # first words of a key's parts; objects are addresses


@inline
def _add(record, value):
    n = word(record + WORDS)
    put(record + KEY + 8 * n, value)
    put(record + WORDS, n + 1)
    h = (word(record + HASH) ^ value) * 0x2545F4914F6CDD1D
    put(record + HASH, h ^ (h >> 29))


@shared
def _describe_array(x, record, common):
    """Whether an array may be handled here: then its part of the key, and where it lies."""
    flags, ndim, descr, n = half(x + FLAGS), half(x + NDIM), word(x + DESCR), word(record + ARRAYS)
    size = 0
    for i in range(word(common + N_DTYPES)):
        if word(word(common + DTYPES) + 16 * i) == descr:
            size = word(word(common + DTYPES) + 16 * i + 8)
    if (size == 0 or flags & ALIGNED == 0 or flags & (ROWS | COLUMNS) == 0 or ndim > MOST_DIMENSIONS
            or n == MOST_ARRAYS):
        return False
    _add(record, ARRAY_TAG | ndim << 8 | (flags & (ROWS | COLUMNS | WRITEABLE)) << 16)
    _add(record, descr)
    for i in range(ndim):
        length = word(word(x + DIMS) + 8 * i)
        _add(record, length)
        size *= length
    data, first = word(x + DATA), 0
    while first < n and word(record + ADDRESS + 8 * first) != data:
        first += 1
    _add(record, first)
    put(record + ADDRESS + 8 * n, data)
    put(record + SIZE + 8 * n, size)
    put(record + FIRST + 8 * n, first)
    put(record + OBJECT + 8 * n, x)
    put(record + ARRAYS, n + 1)
    return True


@shared
def _describe_item(x, record, common):
    """The same for any argument that is no tuple."""
    if word(record + WORDS) > MOST_WORDS - MOST_DIMENSIONS - 4:
        return False
    kind, n = word(x + TYPE), word(record + VALUES)
    if kind == word(common + ARRAY_TYPE):
        return _describe_array(x, record, common)
    if kind == word(common + FLOAT_TYPE) and n < MOST_VALUES:
        _add(record, FLOAT_TAG)
        put(record + VALUE + 8 * n, word(x + FLOAT))
        put(record + VALUES, n + 1)
        return True
    if kind == word(common + INT_TYPE) and n < MOST_VALUES:
        overflow = room(1)
        put(overflow, 0)
        _add(record, INT_TAG)
        put(record + VALUE + 8 * n, call(word(common + AS_INT), (x, overflow)))
        put(record + VALUES, n + 1)
        return half(overflow) == 0
    if x == word(common + NONE) or kind == word(common + BOOL_TYPE) or kind == word(common + TEXT_TYPE):
        _add(record, x)
        return True
    return False


@shared
def describe(args, count, names, record, common):
    """Whether a call may be handled here; then its record."""
    put(record + WORDS, 0)
    put(record + HASH, 0)
    put(record + VALUES, 0)
    put(record + ARRAYS, 0)
    named = 0 if names == 0 else word(names + TUPLE_SIZE)
    if count + named > 24:
        return False
    _add(record, count << 8 | named)
    _add(record, word(word(common + TEAM)))
    for i in range(named):
        _add(record, word(names + TUPLE_ITEMS + 8 * i))
    for i in range(count + named):
        x = word(args + 8 * i)
        if word(x + TYPE) == word(common + TUPLE_TYPE):
            size = word(x + TUPLE_SIZE)
            if size > 8 or word(record + WORDS) > MOST_WORDS - MOST_DIMENSIONS - 4:
                return False
            _add(record, TUPLE_TAG | size << 8)
            for j in range(size):
                if not _describe_item(word(x + TUPLE_ITEMS + 8 * j), record, common):
                    return False
        elif not _describe_item(x, record, common):
            return False
    return True
