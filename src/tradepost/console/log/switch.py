"""`tradepost log switch`."""

import asyncio
from typing import Final

from tradepost import settings
from tradepost.console.databases import connected, failing, say
from tradepost.kernel.brokers.switch import Home, NotYet, back_to_log
from tradepost.main import SERVICES
from tradepost.settings import Settings

NOT_YET: Final = 1


def switch() -> None:
    """Have events travel by the log again instead of a broker. Stop all services first, when every group is at the end;
    then start them with TRADEPOST_BROKER=log."""
    with failing():
        code = asyncio.run(_switch(settings.read()))
    raise SystemExit(code)


async def _switch(now: Settings) -> int:
    async with connected(now) as connections:
        homes = {service.name: Home(service.name, connections[service.name], service.groups) for service in SERVICES}
        try:
            groups = await back_to_log(homes)
        except NotYet as error:
            return say(str(error), NOT_YET)
    print(f"by the log again: {', '.join(groups)}" if groups else "no group is served by a broker: nothing to do")
    return 0
