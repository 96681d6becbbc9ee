"""A notification service on a database of its own, and the facts that it hears."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from tests import databases
from tradepost.contracts.order import (
    Address,
    Guest,
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderPaid,
    OrderShipped,
)
from tradepost.contracts.payment import PaymentRefunded, PaymentRefundFailed
from tradepost.contracts.user import UserRegistered
from tradepost.kernel.database import Database, connect
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.http.body import ListQuery
from tradepost.kernel.http.endpoint import Caller, Request
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.service import Room
from tradepost.services.notification import jobs, queries, service
from tradepost.services.notification.desk import Desk
from tradepost.services.notification.queries import DeliveryView
from tradepost.settings import NotificationSettings

STAFF = Caller(new_id(), frozenset({"staff"}), frozenset({"notification:read", "notification:write"}))
MAILBOX = NotificationSettings(None, None, "Shop <shop@tradepost.test>", mailbox=True)
ADDRESS = Address(name="Ada", line1="1 Loop", city="Bath", postal_code="BA1", country="GB")
MOMENTS = count(1_790_000_000_000)  # ms
HANDLERS = {one.fact: one.handler for group in service.groups for one in group.subscriptions}


def event(fact: Fact) -> Event[Any]:
    """Each of a later millisecond than the one before, as their ids say."""
    moment = f"{next(MOMENTS):012x}"
    return Event(
        position=1,
        id=f"{moment[:8]}-{moment[8:]}{new_id()[13:]}",
        type=fact.type,
        key=fact.key,
        sequence=1,
        time=datetime.now(UTC),
        correlation_id=f"story of {fact.key}",
        causation_id=None,
        traceparent=None,
        data=fact,
    )


def request(caller: Caller | None = STAFF, query: Any = None, **path: str) -> Request[Any, Any]:
    return Request(
        body=None,
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
        headers={},
    )


def registered(user_id: str, email: str = "ada@example.com", phone: str | None = None, **more: Any) -> UserRegistered:
    return UserRegistered(user_id=user_id, email=email, name="Ada", phone=phone, **more)


@dataclass(frozen=True)
class Sale:
    """An order, as seen in its facts."""

    id: str
    user_id: str | None = None
    guest: Guest | None = None
    number: str = "T-1001"

    @property
    def created(self) -> OrderCreated:
        items = (Line(product_id=new_id(), variant_id=new_id(), sku="MUG-1", quantity=2, price=999, name="Mug"),)
        return OrderCreated(**self._whose, total_amount=1998, currency="USD", items=items)

    @property
    def paid(self) -> OrderPaid:
        return OrderPaid(**self._whose, payment_method="card", transaction_id="tx", amount=1998, currency="USD")

    @property
    def shipped(self) -> OrderShipped:
        return OrderShipped(**self._whose, tracking_number="TP1", carrier="local", shipping_address=ADDRESS)

    @property
    def completed(self) -> OrderCompleted:
        return OrderCompleted(**self._whose, delivery_time="2026-11-23T08:00:00Z")

    @property
    def cancelled(self) -> OrderCancelled:
        return OrderCancelled(**self._whose, reason="insufficient_stock", paid=False, total_amount=1998, currency="USD")

    @property
    def refunded(self) -> PaymentRefunded:
        return PaymentRefunded(
            order_id=self.id, payment_id=new_id(), amount=500, currency="USD", refund_id=new_id(), cause="c"
        )

    @property
    def refund_failed(self) -> PaymentRefundFailed:
        return PaymentRefundFailed(
            order_id=self.id, payment_id=new_id(), amount=500, currency="USD", refund_id=new_id(), cause="c",
            reason="declined_by_bank", was_refunded=True, refunded_total=0,
        )  # fmt: skip

    @property
    def _whose(self) -> dict[str, Any]:
        return {"order_id": self.id, "number": self.number, "user_id": self.user_id, "guest": self.guest}


@dataclass
class Shop:
    """Notification at work; `woken` are the jobs that were called for."""

    db: Database
    desk: Desk
    woken: list[str]

    async def hear(self, *facts: Fact) -> None:
        """Each run of facts that have one handler in one call, as the log does it, and all in one transaction."""
        await self.handle(*(event(fact) for fact in facts))

    async def handle(self, *events: Event[Any]) -> None:
        async with self.db.transaction() as tx:
            rest = list(events)
            while rest:
                handler = HANDLERS[type(rest[0].data)]
                run = [one for one in rest if HANDLERS[type(one.data)] is handler]
                rest = [one for one in rest if HANDLERS[type(one.data)] is not handler]
                await handler(tx, run)

    async def send(self) -> bool:
        return await jobs.send(self.desk)

    async def deliveries(self) -> list[DeliveryView]:
        """All of them, oldest first."""
        every = ListQuery(limit=100)
        found = await queries.deliveries(self.db, every, order_id=None, channel=None, status=None)
        return list(found.data)[::-1]

    async def told(self) -> list[tuple[str, str, str | None, str]]:
        """Template, channel, recipient and status of each."""
        told = [(one.template, one.channel, one.to, one.status) for one in await self.deliveries()]
        return sorted(told, key=str)

    async def published(self) -> Sequence[tuple[str, str, int]]:
        rows = await self.db.fetch("SELECT key, type, sequence FROM event ORDER BY id")
        return [(row["key"], row["type"], row["sequence"]) for row in rows]


@asynccontextmanager
async def opened(url: str, data: Path, settings: NotificationSettings) -> AsyncIterator[Shop]:
    async with connect(url_as(url, role_of("notification"), databases.SECRET), "notification") as db:
        woken: list[str] = []
        db.on_wake = woken.extend
        async with service.open(Room(db, cast(Watch, None), settings, data)) as desk:
            yield Shop(db, desk, woken)


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """Everything goes to the mailbox."""
    async with opened(database_url, tmp_path, MAILBOX) as shop:
        yield shop
