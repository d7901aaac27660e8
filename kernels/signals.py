"""Signal handlers that wait until code that must not be interrupted ends."""

import signal
import threading


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
