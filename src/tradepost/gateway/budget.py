"""How many requests may be sent a second time: when everything fails, repeating everything would only add to it."""

from collections.abc import Callable
from time import monotonic
from typing import Final

SHARE: Final = 0.2  # of the requests
FLOOR_PER_S: Final = 1.0  # repeats that are there even when there is little to do
START: Final = 10.0
LIMIT: Final = 200.0  # what can be saved up


class Budget:
    """Of one service."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left = START
        self._at = clock()

    def earn(self) -> None:
        """One more request."""
        self._left = min(self._left + SHARE, LIMIT)

    def take(self) -> bool:
        """Whether one may be repeated, which is then counted."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * FLOOR_PER_S, LIMIT)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
