"""The calls of loop nests that a thread makes, noted so that they can be made again."""

import os
import sys
import threading
import types

PACKAGE = __name__.partition(".")[0]


class Calls(list):
    """The list of calls that `capture` returns."""

    foreign = False  # whether other code made a call, such as a signal handler, which may run anywhere
    frame: types.FrameType | None = None  # of who captures

    def __init__(self):
        super().__init__()
        self.callers = []  # of each call: the object whose method called the kernel, or None

    def __add__(self, others):
        found = type(self)()
        found += [*self, *others]
        found.callers = self.callers + others.callers
        found.foreign = self.foreign or others.foreign
        return found


_captures: dict[int, Calls] = {}  # of each thread that captures


class capture:
    """The calls of loop nests that this thread makes within `with capture() as calls:`, as (nest, list of arguments).

    `nest(*arguments)` repeats a call on the same arrays, without the checks, as a training does at each step.
    `calls.foreign` says whether code other than nnjit's and the caller's own function made a call.
    """

    def __enter__(self):
        thread = threading.get_ident()
        self._outer = _captures.get(thread)
        self._calls = calls = _captures[thread] = Calls()
        calls.frame = sys._getframe(1)
        return calls

    def __exit__(self, *exception):
        self._calls.frame = None
        if self._outer is None:
            del _captures[threading.get_ident()]
        else:
            _captures[threading.get_ident()] = self._outer


def noting(variant):
    """The variant, whose calls are noted while this thread captures."""
    calls = _captures.get(threading.get_ident())
    if calls is None:
        return variant

    def call(*args):
        result = variant(*args)
        calls.append((variant, list(args)))
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
