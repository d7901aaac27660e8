"""What may interrupt a compilation: handlers of signals wait for its end, other code gets an error, a fork waits."""

import os
import signal
import sys
import threading
import types

from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock


class Postponed:
    """No signal handler runs within `with Postponed() as waiting:`; `waiting.deliver()` then runs those that were due.
    Only the main thread runs handlers, so in another thread there is nothing to do."""

    def __init__(self):
        self._handlers = {}
        self._arrived = {}  # once each, as the system does

    def __enter__(self):
        if threading.get_ident() == threading.main_thread().ident:
            try:
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):  # else it is the system's or a library's
                        self._handlers[number] = handler
                        signal.signal(number, self._note)
            except BaseException:  # of a handler that was still there
                self._put_back()
                raise
        return self

    def __exit__(self, *exception):
        try:
            self._put_back()
        except BaseException:  # of a handler that is back: the others are not
            self._put_back()
            raise

    def _put_back(self):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self._arrived[number] = None

    def deliver(self):
        """Raise the signals that came. What a handler raises does not keep the next from running."""
        while self._arrived:
            number, _ = self._arrived.popitem()
            try:
                signal.raise_signal(number)
            finally:
                self.deliver()


# A thread must not enter Numba's compiler and LLVM twice, though their locks allow it: LLVM calls Python in the midst
# of its work, and aborts the process. Nor must an exception come in there, since Numba's tables would stay half filled.
# So handlers of signals wait, Ctrl-C too, for a second or two. Other code that comes in can't wait, and gets an error:
# callbacks of the garbage collector, `__del__`, functions that trace.


def inside():
    """Whether this thread is in Numba's compiler, for a kernel or for another function. The lock alone does not tell:
    it may still be held after Ctrl-C in the compilation of a user's function."""
    if global_compiler_lock.is_locked():
        frame: types.FrameType | None = sys._getframe()
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith("numba."):
                return True
            frame = frame.f_back
    return False


def alone(function, *args):
    """Call a function that compiles, loads compiled code or starts threads."""
    if inside():
        raise RuntimeError("a kernel can't be compiled or loaded by code that interrupts the compilation of another "
                           "function, as a signal's handler, a callback of the garbage collector or __del__ may: call "
                           "the kernel once before, with arrays of the same dtype and number of dimensions")
    waiting = Postponed()
    try:
        with global_compiler_lock._lock, waiting:  # a lock in C: no handler comes in between it and what follows
            return function(*args)
    finally:
        waiting.deliver()


# A fork waits until other threads have compiled: its child would wait for ever for the lock of a thread that is gone.
COMPILING = global_compiler_lock, ffi.lib._lock


def _before_fork():
    for lock in COMPILING:
        lock.__enter__()


def _after_fork():
    for lock in reversed(COMPILING):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
