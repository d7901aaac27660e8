"""How many recorded steps a training makes at once."""

from time import perf_counter


class Pace:
    """How many steps to run at once: as many as take 10 to 20 ms, for Ctrl-C and the progress bar."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._given, self._since = 0, 0.0

    def next(self, most: int) -> int:
        now = perf_counter()
        took = now - self._since
        if self._given and took > 0.02:
            self.steps = max(1, self._given // 2)
        elif self._given == self.steps and took < 0.01:
            self.steps *= 2
        self._since = now
        self._given = max(1, min(self.steps, most))
        return self._given
