"""`tradepost carrier advance`."""

import asyncio
import os
from typing import Final

import aiohttp
from cyclopts import App

from tradepost import settings
from tradepost.console.instance import find_instance

TIMEOUT_S: Final = 30.0

carrier: Final = App(name="carrier", help="The local carrier, whose parcels move by a clock.", help_format="plaintext")


@carrier.command
def advance(seconds: float) -> None:
    """Turn the carrier's clock forward, so that parcels that are due by then move at once.

    Parameters
    ----------
    seconds
        How far.
    """
    print(f"the carrier's time is {asyncio.run(_advance(seconds))}")


async def _advance(seconds: float) -> str:
    instance = find_instance(settings.read(os.environ))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(instance.url, timeout=timeout, headers=instance.authorization()) as http,
        http.post("/shipping/carrier/advance", json={"seconds": seconds}) as answer,
    ):
        told = await answer.json(content_type=None)
        if answer.status != 200:
            raise SystemExit(f"tradepost: {told.get('detail') or told.get('title')}")
        return str(told["carrier_time"])
