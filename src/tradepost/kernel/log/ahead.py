"""What lies behind a position: kept from what was read before, or read while what lies before it is being done."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tradepost.kernel.tasks import end

if TYPE_CHECKING:
    from tradepost.kernel.log.batch import Piece
    from tradepost.kernel.log.cursor import Position


class Ahead:
    """One piece, for whoever comes to its position."""

    def __init__(self) -> None:
        self._position: Position | None = None
        self._piece: Piece | asyncio.Task[Piece] | None = None

    def keep(self, position: "Position", piece: "Piece") -> None:
        """It is here already."""
        self._position, self._piece = position, piece

    def read(self, position: "Position", reading: "Coroutine[Any, Any, Piece]") -> None:
        """Read it from now on."""
        self._position, self._piece = position, asyncio.create_task(reading)

    async def at(self, position: "Position") -> "Piece | None":
        """Hand over the piece at this position; None when there is none. Errors: what reading it fails with."""
        piece = self._piece
        if piece is None or self._position != position:
            return None
        piece = await piece if isinstance(piece, asyncio.Task) else piece
        self._position = self._piece = None
        return piece

    async def drop(self) -> None:
        """Keep none, and read none any more."""
        if isinstance(self._piece, asyncio.Task):
            await end([self._piece])
        self._position = self._piece = None
