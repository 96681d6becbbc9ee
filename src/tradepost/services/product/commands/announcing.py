"""Telling again what the products are."""

from collections.abc import Sequence

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import LOWEST_ID
from tradepost.services.product.domain.product import announce
from tradepost.services.product.repository import products


async def tell(tx: Tx, after: str | None, limit: int, cause: Cause) -> Sequence[str]:
    """Publish each of the next products as it is now; their ids."""
    told = [announce(product) for product in await products.lock_next(tx, after or LOWEST_ID, limit)]
    await products.count_told(tx, told, cause)
    return [one.after.id for one in told]
