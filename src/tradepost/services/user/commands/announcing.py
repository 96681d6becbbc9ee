"""Telling again how users can be reached."""

from collections.abc import Sequence

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import LOWEST_ID
from tradepost.services.user.domain.account import announce
from tradepost.services.user.repository import account as accounts


async def tell(tx: Tx, after: str | None, limit: int, cause: Cause) -> Sequence[str]:
    """Publish what each of the next accounts is, or that it was erased; their ids."""
    told = [announce(account) for account in await accounts.lock_next(tx, after or LOWEST_ID, limit)]
    await accounts.count_told(tx, told, cause)
    return [account.id for account, _ in told]
