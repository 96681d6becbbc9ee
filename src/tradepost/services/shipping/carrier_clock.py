"""The local carrier's clock and pace, kept in the database, so that every process goes by the same."""

from datetime import datetime, timedelta
from typing import Final

from tradepost.kernel.database import Database, Tx

_ADVANCE: Final = "UPDATE carrier_clock SET ahead = ahead + $1 RETURNING now() + ahead"
_SET_PACE: Final = """
UPDATE carrier_clock SET pick_up = $1, delivery = $2 WHERE (pick_up, delivery) IS DISTINCT FROM ($1, $2)
"""


async def advance(tx: Tx, seconds: float) -> datetime:
    """Turn the clock forward; the time that it shows then."""
    shown: datetime = await tx.fetchval(_ADVANCE, timedelta(seconds=seconds))
    return shown


async def set_pace(db: Database, pick_up_s: float, delivery_s: float) -> None:
    """How long shipments made from now on wait for the carrier, and how long they travel."""
    async with db.transaction() as tx:
        await tx.execute(_SET_PACE, timedelta(seconds=pick_up_s), timedelta(seconds=delivery_s))
