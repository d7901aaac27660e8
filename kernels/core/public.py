"""Public functions: written in Python, with all checks, and called through a compiled gate once they are used often.

`@public` makes of a function a builtin function of CPython with its name, signature and text. At first that calls the
function itself. After INSTALL_AT calls of one function the gate (gate.py) is compiled or loaded, and takes its place.
"""

import ctypes
import inspect
import threading
import types
from typing import Any

import numpy as np
from numba.core import types as numba_types

from . import capture, gate, objects, record, threads
from .compile import c_address
from .plans import MOST_ALIKE, MOST_PLANS, Plan, learn

INSTALL_AT = 256  # the gate takes 2 to 3 s to compile, where the cache lacks it
KINDS = (numba_types.int64,) * 4
FASTCALL_WITH_KEYWORDS = 0x80 | 0x02


class _Definition(ctypes.Structure):  # PyMethodDef
    _fields_ = [("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("text", ctypes.c_char_p)]


def _builtin(definition, bound_to, module):
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    return new(ctypes.addressof(definition), bound_to, module)


VECTORCALL = objects.c_function("PyObject_Vectorcall")  # of a function's arguments it has the order, too


class Entry(types.ModuleType):
    """What a public function is bound to. A kind of module, since pickle and inspect know functions of modules."""

    __slots__ = ("table",)  # the compiled gate reads it

    def __init__(self, function):
        super().__init__(function.__module__)
        self.function = function
        self.calls = 0
        self.plans: list[Plan] = []
        self.buckets: list[Any] = []
        self.replaced: list[Plan] = []  # the gate may still run them in other threads
        text = f"{function.__name__}{inspect.signature(function)}\n--\n\n{inspect.getdoc(function)}"
        self.definition = _Definition(function.__name__.encode(), VECTORCALL, FASTCALL_WITH_KEYWORDS,
                                      text.replace("(", "($module, ", 1).encode())
        self.learner = lambda *args, **options: _learn(self, args, options)

    def __call__(entry, /, *args, **options):  # until the gate is there; named otherwise, since captures look for self
        entry.calls += 1
        if entry.calls % INSTALL_AT == 0:
            install()
        return entry.function(*args, **options)

    def connect(self, common):
        """Make the table for the gate, if there is none."""
        if not hasattr(self, "table"):
            table = np.array([0, id(self.function), id(self.learner), common.ctypes.data], np.int64)
            self.list_plans(table)
            self.table = table

    def list_plans(self, table=None):
        """Tell the gate where the plans are."""
        size = 8
        while size < 2 * len(self.plans):
            size *= 2
        buckets = np.full(1 + size, 0, np.int64)
        buckets[0] = size - 1
        for plan in self.plans:
            at = plan.record.hash & size - 1
            while buckets[1 + at]:
                at = at + 1 & size - 1
            buckets[1 + at] = plan.content.ctypes.data
        # the gate has looked up a plan before another thread can run, so the former may go; Ctrl-C may come in between
        self.buckets.append(buckets)
        (self.table if table is None else table)[gate.BUCKETS // 8] = buckets.ctypes.data
        del self.buckets[:-1]


_entries: list[Entry] = []
_learning = threading.Lock()  # who finds it taken, as the handler of a signal may, leaves the matter to Python
_state: dict[str, Any] = {"reason": "not needed yet"}


def public(function):
    """Make a public function one that the compiled gate calls."""
    entry = Entry(function)
    _entries.append(entry)
    if _state["reason"] is None:  # the gate is in use, and this operation is imported late
        entry.connect(_state["common"])
        entry.definition.function = _state["gate"]
    return _builtin(entry.definition, entry, function.__module__)


def _learn(entry, args, options):
    if len(entry.plans) >= MOST_PLANS or not _learning.acquire(blocking=False):
        return entry.function(*args, **options)
    try:
        result, call, plan, notes = learn(_state["describe"], entry.function, args, options)
        if call is not None:
            _add(entry, call, plan, notes, args, options)
        return result
    finally:
        _learning.release()


def _add(entry, call, plan, notes, args, options):
    alike = [other for other in entry.plans if other.record.key == call.key]
    if plan is not None:
        for other in alike:
            if plan.generalise(other, notes):
                entry.replaced.append(other)
                entry.plans[entry.plans.index(other)] = plan
                break
        else:
            entry.plans.append(plan if len(alike) < MOST_ALIKE else Plan(call, args, options))
    else:
        entry.plans.append(Plan(call, args, options))
    entry.list_plans()


def _common():
    functions = {"vectorcall": "PyObject_Vectorcall", "incref": "Py_IncRef", "decref": "Py_DecRef",
                 "new_bytes": "PyBytes_FromStringAndSize", "new_tuple": "PyTuple_New",
                 "from_int": "PyLong_FromLongLong", "from_float": "PyFloat_FromDouble",
                 "as_int": "PyLong_AsLongLongAndOverflow", "as_word": "PyLong_AsUnsignedLongLong",
                 "clear": "PyErr_Clear", "save": "PyEval_SaveThread", "restore": "PyEval_RestoreThread"}
    dtypes = [np.dtype(name) for name in ("f4", "f8", "i8", "i4", "u1", "i1", "i2", "u2", "u4")]
    words = {name: objects.c_function(function) for name, function in functions.items()}
    words |= {"array": id(np.ndarray), "float": id(float), "int": id(int), "bool": id(bool), "str": id(str),
              "class": id(type), "tuple": id(tuple), "none": id(None), "new_array": objects.new_array_function()}
    seen = np.full(gate.SEEN_MASK + 1, 0, np.int64)
    sizes = np.array([word for dtype in dtypes for word in (id(dtype), dtype.itemsize)], np.int64)
    words |= {"captures": capture.under_way.ctypes.data, "team": threads.team_word.ctypes.data,
              "seen": seen.ctypes.data, "dtypes": sizes.ctypes.data, "n_dtypes": len(dtypes)}
    return np.array([words[name] for name in record.SHARED], np.int64), (seen, sizes)


def install():
    """Put the compiled gate before all public functions, if it can read this Python's objects."""
    if not _learning.acquire(blocking=False):
        return
    try:
        if "describe" not in _state:
            _state["reason"] = objects.why_not()
            if _state["reason"] is not None:
                return
            _prepare()
        _state["reason"] = None
        for entry in _entries:
            entry.connect(_state["common"])
            entry.definition.function = _state["gate"]
    except RuntimeError:  # called by what interrupts a compilation: later
        for entry in _entries:
            entry.calls = 0
    finally:
        _learning.release()


def _prepare():
    _state["gate"] = c_address(gate.gate, KINDS)
    definition = _Definition(b"describe", c_address(gate.describe_call, KINDS), FASTCALL_WITH_KEYWORDS, b"")
    common, _state["tables"] = _common()
    _state["common"], _state["definition"] = common, definition
    _state["describe"] = _builtin(definition, common, __name__)


def uninstall():
    """Let Python make all calls again."""
    for entry in _entries:
        entry.definition.function = VECTORCALL
    _state["reason"] = "taken away"


def python_reason():
    """Why Python makes all calls of public functions, or None where the compiled gate is in use."""
    return _state["reason"]
