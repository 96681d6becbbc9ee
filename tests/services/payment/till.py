"""A till with a drawer: the payment service at work on a database of its own, without the log in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from tradepost.contracts.order import OrderCancelled, OrderPaymentRequested, OrderReturnReceived
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.events import Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.services.payment import consumers, jobs
from tradepost.services.payment.desk import Desk

BUYER = new_id()

F = TypeVar("F", bound=Fact)


def event(fact: F, sequence: int = 1) -> Event[F]:
    """`fact` as read from a log."""
    return Event(
        position=1,
        id=new_id(),
        type=fact.type,
        key=fact.key,
        sequence=sequence,
        time=now(),
        correlation_id="story",
        causation_id=None,
        traceparent=None,
        data=fact,
    )


def requested(order_id: str, amount: int = 2_000, method: str = "pm_card_visa") -> Event[OrderPaymentRequested]:
    fact = OrderPaymentRequested(order_id=order_id, user_id=BUYER, amount=amount, currency="USD", payment_method=method)
    return event(fact, 2)


def cancelled(order_id: str, sequence: int = 3) -> Event[OrderCancelled]:
    """By default of an order that had asked for its money before."""
    fact = OrderCancelled(
        order_id=order_id, number="1", user_id=BUYER, reason="test", paid=False, total_amount=2_000, currency="USD"
    )
    return event(fact, sequence)


def returned(order_id: str, amount: int, return_id: str | None = None) -> Event[OrderReturnReceived]:
    fact = OrderReturnReceived(
        order_id=order_id, return_id=return_id or new_id(), items=(), amount=amount, currency="USD"
    )
    return event(fact)


@dataclass
class Till:
    """What a test says to the service, and what it sees of it."""

    desk: Desk

    @property
    def db(self) -> Database:
        return self.desk.db

    async def request(self, method: str = "pm_card_visa", amount: int = 2_000) -> str:
        """The id of an order that asks for its money."""
        order_id = new_id()
        await self.request_all([requested(order_id, amount, method)])
        return order_id

    async def request_all(self, events: Sequence[Event[OrderPaymentRequested]]) -> None:
        async with self.db.transaction() as tx:
            await consumers.request(tx, events)

    async def cancel(self, *order_ids: str) -> None:
        async with self.db.transaction() as tx:
            await consumers.cancel(tx, [cancelled(order_id) for order_id in order_ids])

    async def take_back(self, *events: Event[OrderReturnReceived]) -> None:
        async with self.db.transaction() as tx:
            await consumers.refund_returns(tx, events)

    async def pay(self, method: str = "pm_card_visa", amount: int = 2_000) -> str:
        """The id of an order whose charge was sent."""
        order_id = await self.request(method, amount)
        await self.work()
        return order_id

    async def work(self) -> None:
        """Let the jobs run until none has anything to do now."""
        while await self.anything_due():
            await jobs.send(self.desk)
            await jobs.sweep(self.desk)
            await jobs.deliver(self.desk)

    async def anything_due(self) -> bool:
        due = " UNION ALL ".join(
            f"SELECT 1 FROM {table} WHERE due_at <= now() AND {free}"
            for table, free in (
                ("payment", "(claimed_until IS NULL OR claimed_until <= now())"),
                ("refund", "(claimed_until IS NULL OR claimed_until <= now())"),
                ("simulator_webhook", "TRUE"),
            )
        )
        return bool(await self.db.fetchval(f"SELECT EXISTS ({due})"))

    async def wait(self) -> None:
        """Everything that is to happen later is due, and every lease is over."""
        async with self.db.transaction() as tx:
            await tx.execute("UPDATE payment SET due_at = now(), claimed_until = NULL WHERE due_at IS NOT NULL")
            await tx.execute("UPDATE refund SET due_at = now(), claimed_until = NULL WHERE due_at IS NOT NULL")
            await tx.execute("UPDATE simulator_webhook SET due_at = now()")

    async def published(self, order_id: str) -> list[str]:
        """The types of an order's events; their sequences have no gap."""
        rows = await self.db.fetch("SELECT type, sequence FROM event WHERE key = $1 ORDER BY id", order_id)
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        return [row["type"].removeprefix("payment.") for row in rows]

    async def data(self, order_id: str, type_: str) -> Any:
        """What the last event of this type says."""
        sql = "SELECT data::text FROM event WHERE key = $1 AND type = $2 ORDER BY id DESC LIMIT 1"
        return msgspec.json.decode(await self.db.fetchval(sql, order_id, f"payment.{type_}"))

    async def payment(self, order_id: str, columns: str = "status, captured, refunding, refunded") -> tuple[Any, ...]:
        row = await self.db.fetchrow(f"SELECT {columns} FROM payment WHERE order_id = $1", order_id)
        return () if row is None else tuple(row.values())

    async def payment_id(self, order_id: str) -> str:
        return str((await self.payment(order_id, "id"))[0])

    async def refunds(self, order_id: str) -> list[tuple[str, int, str]]:
        """Key without the order, amount and status."""
        prefix = f"order:{order_id}:"
        sql = "SELECT key, amount, status FROM refund WHERE starts_with(key, $1) ORDER BY id"
        rows = await self.db.fetch(sql, prefix)
        return [(row["key"].removeprefix(prefix), row["amount"], row["status"]) for row in rows]

    async def history(self, order_id: str) -> list[tuple[str, str, int]]:
        rows = await self.db.fetch(
            "SELECT type, status, amount FROM payment_transaction WHERE payment_id = $1 ORDER BY id",
            await self.payment_id(order_id),
        )
        return [(row["type"], row["status"], row["amount"]) for row in rows]

    async def balances(self) -> dict[str, int]:
        """Of the ledger's accounts, the kept ones; they agree with the postings."""
        kept = "SELECT account, sum(amount)::bigint AS amount FROM ledger_balance GROUP BY 1"
        added = "SELECT account, sum(amount)::bigint AS amount FROM ledger_posting GROUP BY 1"
        balances = {row["account"]: row["amount"] for row in await self.db.fetch(kept)}
        assert balances == {row["account"]: row["amount"] for row in await self.db.fetch(added)}
        return balances

    async def bank(self, order_id: str) -> tuple[str, int] | None:
        """State and refunded amount of the charge, as the provider's own books have it."""
        sql = "SELECT state, refunded FROM simulator_charge WHERE key = $1"
        row = await self.db.fetchrow(sql, f"order:{order_id}:charge:1")
        return None if row is None else (row["state"], row["refunded"])
