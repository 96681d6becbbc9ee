"""A shipping service on a database of its own, and orders that pay, cancel and ask."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests import databases
from tradepost.contracts.order import Address, OrderCancelled, OrderCancelRequested, OrderPaid
from tradepost.kernel.database import Database, connect
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.http.endpoint import Caller, Request
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.subscription import Handler
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.service import Room
from tradepost.services.shipping import consumers, jobs, service
from tradepost.services.shipping.desk import Desk
from tradepost.settings import ShippingSettings

STAFF = Caller(new_id(), frozenset({"staff"}), frozenset({"shipping:read", "shipping:write"}))
ADDRESS = Address(name="Ada", line1="1 Loop", city="Bath", postal_code="BA1", country="GB")


def customer(user_id: str) -> Caller:
    return Caller(user_id, frozenset({"customer"}), frozenset())


def event(fact: Fact, sequence: int = 1) -> Event[Any]:
    return Event(
        position=sequence,
        id=new_id(),
        type=fact.type,
        key=fact.key,
        sequence=sequence,
        time=datetime.now(UTC),
        correlation_id=f"story of {fact.key}",
        causation_id=None,
        traceparent=None,
        data=fact,
    )


def paid(order_id: str, user_id: str | None = None, address: Address | None = ADDRESS) -> OrderPaid:
    return OrderPaid(
        order_id=order_id,
        number="T-1",
        user_id=user_id,
        payment_method="pm_card_visa",
        transaction_id="tx",
        amount=1999,
        currency="USD",
        shipping_address=address,
    )


def asked(order_id: str) -> OrderCancelRequested:
    return OrderCancelRequested(order_id=order_id, reason="customer_request")


def cancelled(order_id: str, *, was_paid: bool = True) -> OrderCancelled:
    return OrderCancelled(
        order_id=order_id, number="T-1", reason="customer_request", paid=was_paid, total_amount=1999, currency="USD"
    )


def request(
    caller: Caller | None = STAFF,
    body: Any = None,
    query: Any = None,
    headers: Mapping[str, str] | None = None,
    **path: str,
) -> Request[Any, Any]:
    return Request(
        body=body,
        query=query,
        path=path,
        caller_or_none=caller,
        idempotency_key=None,
        wait_s=0,
        if_match=None,
        request_id="request",
        traceparent=None,
        address="127.0.0.1",
        content_type="application/json",
        headers=headers or {},
    )


@dataclass
class Shop:
    """Shipping at work; `woken` are the jobs that were called for."""

    db: Database
    desk: Desk
    woken: list[str]

    async def hear(self, handler: Handler, *facts: Fact) -> None:
        async with self.db.transaction() as tx:
            await handler(tx, [event(fact) for fact in facts])

    async def pay(self, *order_ids: str, user_id: str | None = None) -> None:
        await self.hear(consumers.ship, *(paid(order_id, user_id) for order_id in order_ids))

    async def carry(self) -> bool:
        return await jobs.carry(self.desk)

    async def status(self, order_id: str) -> str | None:
        status: str | None = await self.db.fetchval("SELECT status FROM shipment WHERE order_id = $1", order_id)
        return status

    async def shipment_id(self, order_id: str) -> str:
        found: str = await self.db.fetchval("SELECT id::text FROM shipment WHERE order_id = $1", order_id)
        return found

    async def published(self, order_id: str) -> Sequence[tuple[str, int]]:
        """Type and sequence of all that was published about the order."""
        rows = await self.db.fetch("SELECT type, sequence FROM event WHERE key = $1 ORDER BY id", order_id)
        return [(row["type"], row["sequence"]) for row in rows]

    async def data(self, order_id: str, type_: str) -> str:
        """The body of the last event of this type."""
        found: str = await self.db.fetchval(
            "SELECT data::text FROM event WHERE key = $1 AND type = $2 ORDER BY id DESC LIMIT 1", order_id, type_
        )
        return found


@asynccontextmanager
async def opened(url: str, data: Path, pick_up_s: float, delivery_s: float) -> AsyncIterator[Shop]:
    async with connect(url_as(url, role_of("shipping"), databases.SECRET), "shipping") as db:
        woken: list[str] = []
        db.on_wake = woken.extend
        room = Room(db, cast(Watch, None), ShippingSettings(pick_up_s, delivery_s), data)
        async with service.open(room) as desk:
            yield Shop(db, desk, woken)


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """The carrier comes after 5 minutes and delivers 10 minutes later."""
    async with opened(database_url, tmp_path, 300, 600) as shop:
        yield shop


@pytest.fixture
async def fast(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """The carrier does everything at once."""
    async with opened(database_url, tmp_path, 0, 0) as shop:
        yield shop
