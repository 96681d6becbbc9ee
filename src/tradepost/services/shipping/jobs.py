"""The local carrier at work, and the forgetting of old webhooks."""

from typing import Final

from tradepost.kernel.log.rest import UNHURRIED_S
from tradepost.kernel.service import Job
from tradepost.services.shipping import commands
from tradepost.services.shipping.desk import Desk

PARCELS_A_ROUND: Final = 500
WEBHOOKS_A_ROUND: Final = 5_000
CARRIER_EVERY_S: Final = 1.0
FORGET_EVERY_S: Final = 3_600.0

# Senders of Standard Webhooks give up after about a day.
_FORGET: Final = """
DELETE FROM webhook WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook WHERE at < now() - interval '7 days' LIMIT $1 FOR UPDATE SKIP LOCKED))
"""


async def carry(desk: Desk) -> bool:
    """One round of the local carrier."""
    async with desk.db.transaction() as tx:
        return await commands.carry(tx, PARCELS_A_ROUND) == PARCELS_A_ROUND


async def forget_webhooks(desk: Desk) -> bool:
    """Delete the ids of webhooks that nobody sends again."""
    async with desk.db.transaction() as tx:
        return await tx.execute(_FORGET, WEBHOOKS_A_ROUND) == f"DELETE {WEBHOOKS_A_ROUND}"


jobs = (
    Job(commands.CARRIER_JOB, carry, CARRIER_EVERY_S, UNHURRIED_S),
    Job("shipping.webhooks", forget_webhooks, FORGET_EVERY_S),
)
