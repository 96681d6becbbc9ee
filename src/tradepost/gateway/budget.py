"""How many requests may be sent a second time: when everything fails, repeating everything would only add to it."""

from collections.abc import Callable
from time import monotonic
from typing import Final

PRICE: Final = 5  # requests for one repeat, which is a fifth of them
FLOOR_PER_S: Final = 1  # repeats that are there even when there is little to do
START: Final = 10  # repeats
LIMIT: Final = 200  # repeats that can be saved up


class Budget:
    """Of one service."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left = float(START * PRICE)  # in requests
        self._at = clock()

    def earn(self) -> None:
        """One more request."""
        self._left = min(self._left + 1, LIMIT * PRICE)

    def take(self) -> bool:
        """Whether one may be repeated, which is then counted."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * FLOOR_PER_S * PRICE, LIMIT * PRICE)
        self._at = now
        if self._left < PRICE:
            return False
        self._left -= PRICE
        return True
