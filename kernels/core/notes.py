"""What the checks of numbers allow, noted while the compiled gate learns a call."""

from typing import Any

_notes: Any = None  # of `noting`


class noting:
    """Within `with noting() as notes:`, what checks of numbers allow: notes[kind, number] = (lowest, highest, whether 0
    is allowed). The compiled gate lets other numbers pass that lie there."""

    def __enter__(self):
        global _notes
        self._outer, _notes = _notes, {}
        return _notes

    def __exit__(self, *exception):
        global _notes
        _notes = self._outer


def note(value, low, high, zero=True):
    """What a number may be all the same, its kind kept: within low..high, and not 0 if `zero` is False."""
    notes = _notes  # another thread may set it
    if notes is not None:
        known = notes.setdefault((type(value), value), (low, high, zero))
        notes[type(value), value] = max(low, known[0]), min(high, known[1]), zero and known[2]
