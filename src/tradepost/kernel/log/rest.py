"""The pause between two batches whose effects nobody waits for: what comes meanwhile is taken together, which costs a
fraction of taking it as it comes, and leaves the processor to what somebody does wait for."""

import asyncio
from time import monotonic
from typing import Final

from tradepost.kernel.log.batch import PIECE_EVENTS

UNHURRIED_S: Final = 0.25  # for effects that nobody waits for
ENOUGH: Final = PIECE_EVENTS // 2


class Rest:
    """Of so many seconds after each batch. Whoever was at rest begins at once, and so does the next after a large
    batch, since it is cheap already and more may wait."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    @property
    def is_none(self) -> bool:
        """Whether somebody waits for the effects."""
        return self._seconds == 0

    def begin(self, events: int) -> None:
        """A batch of so many is done."""
        self._until = monotonic() + self._seconds if events < ENOUGH else 0.0

    async def over(self) -> None:
        """Wait until the next batch may begin."""
        if (pause := self._until - monotonic()) > 0:
            await asyncio.sleep(pause)
