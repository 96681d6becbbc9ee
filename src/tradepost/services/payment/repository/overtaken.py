"""Orders whose cancellation came before their payment was asked for."""

from collections.abc import Collection
from typing import Final

from tradepost.kernel.database import Tx

_REMEMBER: Final = """
INSERT INTO overtaken_order (order_id) SELECT DISTINCT order_id FROM unnest($1::uuid[]) AS new (order_id)
ORDER BY order_id ON CONFLICT DO NOTHING
"""
_TAKE: Final = "DELETE FROM overtaken_order WHERE order_id = ANY ($1::uuid[]) RETURNING order_id::text AS order_id"


def remember(tx: Tx, order_ids: Collection[str]) -> None:
    """Until their payments are asked for."""
    if order_ids:
        tx.later(_REMEMBER, list(order_ids))


async def take(tx: Tx, order_ids: Collection[str]) -> Collection[str]:
    """Those of the orders that were remembered, and are not any more."""
    return {row["order_id"] for row in await tx.fetch(_TAKE, list(order_ids))}
