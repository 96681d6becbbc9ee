"""`tradepost events replay`."""

import asyncio
from typing import Final

from tradepost import settings
from tradepost.console.databases import LOG_IS_CUT, as_service, clocks, group_named
from tradepost.console.trouble import failing, say
from tradepost.kernel.log.replay import NotRebuildable
from tradepost.kernel.log.replay import replay as read_again

REFUSED: Final = 1

_IS_CUT: Final = f"SELECT {LOG_IS_CUT}"


def replay(group: str) -> None:
    """Empty what a group has built, and have it read everything again that the logs hold. Only for groups that build
    something which can be emptied; running services go on from there by themselves. What is older than the logs has to
    be published again afterwards: see `tradepost events announce`.

    Parameters
    ----------
    group
        Such as `product.availability`.
    """
    with failing():
        code = asyncio.run(_replay(group))
    raise SystemExit(code)


async def _replay(name: str) -> int:
    service, group = group_named(name)
    now = settings.read()
    async with as_service(now, service) as database, clocks(now, group.sources()) as ticking:
        cut = [s for s in group.sources() if await ticking[s].pool.fetchval(_IS_CUT.format(schema=s))]
        try:
            await read_again(database, ticking, group)
        except NotRebuildable as error:
            return say(str(error), REFUSED)
    print(f"{name} reads {', '.join(group.sources())} again from the start: see `tradepost log lag --wait`")
    for source in cut:
        print(f"{source}'s oldest events are gone: `tradepost events announce {source}` tells what they told")
    return 0
