"""The calls of loop nests that a thread makes, noted so that they can be made again."""

import os
import sys
import threading
import types

import numpy as np

PACKAGE = __name__.partition(".")[0]


class Calls(list):
    """The list of calls that `capture` returns."""

    foreign = False  # whether other code made a call, such as a signal handler, which may run anywhere
    frame: types.FrameType | None = None  # of who captures

    def __init__(self, checks=False):
        super().__init__()
        self.checks = checks  # whether calls that check arguments are noted, too
        self.callers = []  # of each call: the object whose method called the kernel, or None
        self.results = []  # of each call: what the nest returned

    def __add__(self, others):
        found = type(self)(self.checks)
        found += [*self, *others]
        found.callers = self.callers + others.callers
        found.results = self.results + others.results
        found.foreign = self.foreign or others.foreign
        return found


_captures: dict[int, Calls] = {}  # of each thread that captures
under_way = np.array([0])  # how many: the compiled gate reads it
_changing = threading.RLock()


def _change(thread, calls):
    with _changing:
        if calls is None:
            del _captures[thread]
        else:
            _captures[thread] = calls
        under_way[0] = len(_captures)


class capture:
    """The calls of loop nests that this thread makes within `with capture() as calls:`, as (nest, list of arguments).

    `nest(*arguments)` repeats a call on the same arrays, without the checks, as a training does at each step.
    `calls.foreign` says whether code other than nnjit's and the caller's own function made a call.
    """

    def __init__(self, checks=False):
        self._checks = checks

    def __enter__(self):
        thread = threading.get_ident()
        self._outer = _captures.get(thread)
        self._calls = calls = Calls(self._checks)
        calls.frame = sys._getframe(1)
        _change(thread, calls)
        return calls

    def __exit__(self, *exception):
        self._calls.frame = None
        _change(threading.get_ident(), self._outer)


def noting(variant, check=False):
    """The variant, whose calls are noted while this thread captures; those that check arguments only if so wished."""
    calls = _captures.get(threading.get_ident())
    if calls is None or check and not calls.checks:
        return variant

    def call(*args):
        result = variant(*args)
        calls.append((variant, list(args)))
        calls.results.append(result)
        caller = None
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None and frame is not calls.frame:
            if frame.f_globals.get("__name__", "").partition(".")[0] != PACKAGE:
                calls.foreign = True
            if caller is None:
                caller = frame.f_locals.get("self")
            frame = frame.f_back
        calls.callers.append(caller)
        return result
    return call


def _after_fork_in_child():
    for thread in _captures.keys() - {threading.get_ident()}:  # gone, and its number is free for another
        del _captures[thread]
    under_way[0] = len(_captures)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
