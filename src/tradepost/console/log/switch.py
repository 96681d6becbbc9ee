"""`tradepost log switch` and `tradepost log recover`."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from tradepost import settings
from tradepost.console.databases import connected
from tradepost.console.trouble import failing, say
from tradepost.kernel.brokers.switch import Home, NotYet, back_to_log, look_again
from tradepost.main import SERVICES
from tradepost.settings import Settings

NOT_YET: Final = 1


def switch() -> None:
    """Have events travel by the log again instead of a broker. Stop all services first, when every group is at the end;
    then start them with TRADEPOST_BROKER=log."""
    with failing():
        code = asyncio.run(_switch(settings.read()))
    raise SystemExit(code)


def recover() -> None:
    """After a broker lost messages, or was replaced by an empty one: have every group look through the logs of the last
    six days for what it has not taken in. Nothing is done twice."""
    with failing():
        asyncio.run(_recover(settings.read()))


async def _recover(now: Settings) -> None:
    async with connected(now) as connections:
        groups = await look_again(_homes(connections))
    print(f"looking: {', '.join(groups)}" if groups else "no group is served by a broker: nothing to do")


def _homes(connections: Mapping[str, Any]) -> dict[str, Home]:
    return {service.name: Home(service.name, connections[service.name], service.groups) for service in SERVICES}


async def _switch(now: Settings) -> int:
    async with connected(now) as connections:
        try:
            groups = await back_to_log(_homes(connections))
        except NotYet as error:
            return say(str(error), NOT_YET)
    print(f"by the log again: {', '.join(groups)}" if groups else "no group is served by a broker: nothing to do")
    return 0
