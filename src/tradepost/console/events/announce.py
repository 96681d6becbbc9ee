"""`tradepost events announce`."""

import asyncio
from typing import Annotated, Final

from cyclopts import Parameter

from tradepost import settings
from tradepost.console.databases import as_service
from tradepost.console.progress import progress
from tradepost.console.trouble import Unknown, failing, say
from tradepost.kernel.database import Database
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.kernel.service import Announcement
from tradepost.main import SERVICES

AT_ONCE: Final = 200  # in one transaction, which locks them
ANNOUNCEMENTS: Final = {service.name: service.announcement for service in SERVICES if service.announcement}


def announce(publisher: str, /, *, after: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None) -> None:
    """Have a service publish what all that it owns is now: for readers that need what the logs no longer hold, or have
    it wrong. Whoever knows it already takes no harm. Services may run meanwhile.

    Parameters
    ----------
    publisher
        `product` (each product, as `product.updated`), `inventory` (each SKU, as `inventory.adjusted` by 0) or `user`
        (each account, as `user.updated` or `user.erased`).
    after
        Go on behind this id or SKU, where an earlier run has ended.
    """
    with failing():
        asyncio.run(_announce(publisher, after))


async def _announce(publisher: str, after: str | None) -> None:
    if publisher not in ANNOUNCEMENTS:
        raise Unknown(f"{publisher!r} has nothing to announce; there are {', '.join(sorted(ANNOUNCEMENTS))}")
    async with as_service(settings.read(), publisher) as database:
        told = await _tell_all(database, publisher, ANNOUNCEMENTS[publisher], after)
    print(f"{publisher} has published what {told} of its own are now: see `tradepost log lag --wait`")


async def _tell_all(db: Database, publisher: str, announcement: Announcement, after: str | None) -> int:
    told, cause = 0, Cause(new_id())
    total = await db.fetchval(f"SELECT count(*) FROM {announcement.table}") if after is None else None
    with progress(publisher, total) as done:
        try:
            while True:
                async with db.transaction() as tx:
                    keys = await announcement.tell(tx, after, AT_ONCE, cause)
                if not keys:
                    return told
                told, after = told + len(keys), keys[-1]
                done(told)
        except BaseException:
            if told:
                say(f"{told} were published; go on with `tradepost events announce {publisher} --after {after}`")
            raise
