"""The record of a call: its key, which says all that the checks of its arguments depend on, and where its arrays lie.

The key has how many arguments there are and by which names; of an array the dtype, shape, order and flags, and which
array before it begins at the same address; of None, a bool, a text or a class which object it is; and how many threads
work. Numbers are kept beside it. A call with any other argument has no record.

All tables are arrays of int64, and all places in them counted in bytes.
"""

from .compile import inline, shared
from .objects import (ALIGNED, COLUMNS, DATA, DESCR, DIMS, FLAGS, FLOAT, NDIM, ROWS, TUPLE_ITEMS, TUPLE_SIZE, TYPE,
                      WRITEABLE, call, half, put, room, word)

# What all functions share: addresses of the number of captures under way, of threads, of objects and C functions.
SHARED = ("captures", "team", "array", "float", "int", "bool", "str", "class", "tuple", "none", "vectorcall", "incref",
          "decref", "new_bytes", "new_array", "new_tuple", "from_int", "from_float", "as_int", "as_word", "clear",
          "save", "restore", "seen", "dtypes", "n_dtypes")
(CAPTURES, TEAM, ARRAY_TYPE, FLOAT_TYPE, INT_TYPE, BOOL_TYPE, TEXT_TYPE, CLASS_TYPE, TUPLE_TYPE, NONE, VECTORCALL,
 INCREF, DECREF, NEW_BYTES, NEW_ARRAY, NEW_TUPLE, FROM_INT, FROM_FLOAT, AS_INT, AS_WORD, CLEAR, SAVE, RESTORE,
 SEEN, DTYPES, N_DTYPES) = range(0, 8 * len(SHARED), 8)

MOST_ARGUMENTS, MOST_ITEMS, MOST_WORDS, MOST_VALUES, MOST_ARRAYS, MOST_NEW, MOST_DIMENSIONS = 24, 8, 96, 16, 16, 8, 6
WORDS, HASH, VALUES, ARRAYS, KEY = 0, 8, 16, 24, 32
VALUE = KEY + 8 * MOST_WORDS
ADDRESS = VALUE + 8 * MOST_VALUES  # of the data of arrays, given and then new
SIZE = ADDRESS + 8 * (MOST_ARRAYS + MOST_NEW)
OBJECT = SIZE + 8 * MOST_ARRAYS
RECORD = (OBJECT + 8 * (MOST_ARRAYS + MOST_NEW)) // 8

TUPLE_TAG, ARRAY_TAG = 1, 2  # first words of a key's parts; the others are addresses of objects
NUMBER_TAGS = FLOAT_TAG, INT_TAG, LARGE_TAG = -1, -2, -3  # which nothing else in a key is; the last is of 2^63 to 2^64


@inline
def _describe_array(x, record, at, common):
    """The part of the key for an array, from place `at` on, and where the array lies. The place after it, or 0 if the
    array can't be handled here."""
    flags, ndim, descr, n = half(x + FLAGS), half(x + NDIM), word(x + DESCR), word(record + ARRAYS)
    size, dtype = 0, 0
    for i in range(word(common + N_DTYPES)):
        pair = word(common + DTYPES) + 16 * i
        if word(pair) == descr:
            size, dtype = word(pair + 8), i
            break
    if (size == 0 or flags & ALIGNED == 0 or flags & (ROWS | COLUMNS) == 0 or ndim > MOST_DIMENSIONS
            or n == MOST_ARRAYS):
        return 0
    data, first, dims = word(x + DATA), 0, word(x + DIMS)
    while first < n and word(record + ADDRESS + 8 * first) != data:
        first += 1
    put(at, ARRAY_TAG | ndim << 8 | (flags & (ROWS | COLUMNS | WRITEABLE)) << 16 | first << 32 | dtype << 40)
    for i in range(ndim):
        length = word(dims + 8 * i)
        put(at + 8 + 8 * i, length)
        size *= length
    put(record + ADDRESS + 8 * n, data)
    put(record + SIZE + 8 * n, size)
    put(record + OBJECT + 8 * n, x)
    put(record + ARRAYS, n + 1)
    return at + 8 + 8 * ndim


@shared
def _describe_item(x, record, at, common):
    """The same for any argument that is no tuple."""
    if at > record + KEY + 8 * (MOST_WORDS - MOST_DIMENSIONS - 2):
        return 0
    kind = word(x + TYPE)
    if kind == word(common + ARRAY_TYPE):
        return _describe_array(x, record, at, common)
    if (x == word(common + NONE) or kind == word(common + BOOL_TYPE) or kind == word(common + TEXT_TYPE)
            or kind == word(common + CLASS_TYPE)):
        put(at, x)
        return at + 8
    n = word(record + VALUES)
    if n == MOST_VALUES:
        return 0
    if kind == word(common + FLOAT_TYPE):
        put(at, FLOAT_TAG)
        put(record + VALUE + 8 * n, word(x + FLOAT))
    elif kind == word(common + INT_TYPE):
        overflow = room(1)
        put(overflow, 0)
        put(at, INT_TAG)
        put(record + VALUE + 8 * n, call(word(common + AS_INT), (x, overflow)))
        if half(overflow) != 0:
            value = call(word(common + AS_WORD), (x,))
            if value == -1:  # an error, or 2^64 - 1
                call(word(common + CLEAR), ())
                return 0
            put(at, LARGE_TAG)
            put(record + VALUE + 8 * n, value)
    else:
        return 0
    put(record + VALUES, n + 1)
    return at + 8


@inline
def _hash(record, words):
    h = words
    for i in range(words):
        h += word(record + KEY + 8 * i) * ((2 * i + 1) * 0x2545F4914F6CDD1D)
    return h ^ (h >> 29) ^ (h >> 47)


@shared
def describe(args, count, names, record, common):
    """Make the record of a call; whether it can be handled here."""
    put(record + VALUES, 0)
    put(record + ARRAYS, 0)
    named, at = 0 if names == 0 else word(names + TUPLE_SIZE), record + KEY
    if count + named > MOST_ARGUMENTS:
        return False
    put(at, word(word(common + TEAM)) << 16 | count << 8 | named)
    for i in range(named):
        put(at + 8 + 8 * i, word(names + TUPLE_ITEMS + 8 * i))
    at += 8 + 8 * named
    for i in range(count + named):
        x = word(args + 8 * i)
        if word(x + TYPE) == word(common + TUPLE_TYPE):
            size = word(x + TUPLE_SIZE)
            if size > MOST_ITEMS or at > record + KEY + 8 * (MOST_WORDS - 1):
                return False
            put(at, TUPLE_TAG | size << 8)
            at += 8
            for j in range(size):
                at = _describe_item(word(x + TUPLE_ITEMS + 8 * j), record, at, common)
                if at == 0:
                    return False
        else:
            at = _describe_item(x, record, at, common)
            if at == 0:
                return False
    words = (at - record - KEY) // 8
    put(record + WORDS, words)
    put(record + HASH, _hash(record, words))
    return True
