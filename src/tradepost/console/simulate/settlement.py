"""Waiting until each order has its fate, and reading why the cancelled ones were cancelled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from tradepost.console.simulate.client import ORDERS, Client

LOOK_S: Final = 0.25
PAGE: Final = 100
UNSETTLED: Final = ("pending", "reserved")


@dataclass(frozen=True)
class Settlement:
    """`seconds` until nothing was left; `unsettled` orders when the time was up; why orders were cancelled."""

    seconds: float
    unsettled: int
    cancelled: Counter[str]


async def settle(client: Client, order_ids: Set[str], wait_s: float) -> Settlement:
    """Wait for these orders, at most `wait_s`. Errors: NoOutcome."""
    started = perf_counter()
    while (unsettled := await _unsettled(client, order_ids)) and perf_counter() - started < wait_s:
        await asyncio.sleep(LOOK_S)
    seconds = perf_counter() - started
    cancelled = Counter([order["cancel_reason"] async for order in _ours(client, order_ids, "cancelled")])
    return Settlement(seconds, unsettled, cancelled)


async def _unsettled(client: Client, order_ids: Set[str]) -> int:
    """How many of them are seen on one page: 0 only when there is none at all."""
    for status in UNSETTLED:
        count = 0
        async for _ in _ours(client, order_ids, status):
            count += 1
            if count == PAGE:
                break
        if count:
            return count
    return 0


async def _ours(client: Client, order_ids: Set[str], status: str) -> AsyncIterator[dict[str, Any]]:
    """Newest first; what is older than our first order is not looked at."""
    oldest = min(order_ids, default="")
    query = {"status": status, "limit": str(PAGE)}
    while order_ids:
        orders, has_more = await client.page(ORDERS, query)
        for order in orders:
            if order["id"] in order_ids:
                yield order
        if not has_more or orders[-1]["id"] < oldest:
            return
        query["starting_after"] = orders[-1]["id"]
