"""Orders as rows: loading under lock, and saving together with the facts that were published."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import compress
from operator import attrgetter, ne
from typing import Any, Final

import msgspec

from tradepost.contracts.order import Address, Guest, Line
from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause, Fact
from tradepost.services.order.domain.order import STATUSES, Order
from tradepost.services.order.domain.placement import Offer, Placement

_LOCK: Final = """
SELECT id::text AS id, number::text AS number, user_id::text AS user_id, guest, status, version, currency, total_amount,
       payment_method, shipping_address, action_url, cancel_reason, cancel_requested, refunded
FROM orders WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""
_INSERT: Final = """
INSERT INTO orders (id, number, user_id, guest, status, version, currency, total_amount, lines, shipping_address,
                    payment_method, created_at)
SELECT id, number, user_id, guest, 'pending', 1, currency, total_amount, lines, shipping_address, payment_method,
       created_at
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::json[], $5::text[], $6::bigint[], $7::json[], $8::json[],
            $9::text[], $10::timestamptz[])
     AS new (id, number, user_id, guest, currency, total_amount, lines, shipping_address, payment_method, created_at)
"""
# Orders that moved together have their status and moments in common; the rest of what a move changes is their own.
_MOMENTS: Final = ("reserved_at", "paid_at", "cancel_requested_at", "shipped_at", "completed_at", "cancelled_at")
_OWN: Final = {
    "version": "bigint",
    "action_url": "text",
    "cancel_reason": "text",
    "cancel_requested": "boolean",
    "refunded": "bigint",
    "failure": "json",
    "tracking_number": "text",
    "carrier": "text",
}
_LATE: Final = """
INSERT INTO late_fact (order_id, event_id, type, at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
"""
_guest: Final = msgspec.json.Decoder(Guest)
_address: Final = msgspec.json.Decoder(Address)
_shared: Final = attrgetter("status", *_MOMENTS)
_own: Final = attrgetter(*_OWN)

# The columns are the fields of an offer, in their order.
_OFFERS: Final = """
SELECT variant_id::text AS variant_id, product_id::text AS product_id, sku, name, price, currency, active, stocked,
       NULL::bigint AS number
FROM offer WHERE sku = ANY ($1::text[]) OR variant_id = ANY ($2::uuid[]) OR product_id = ANY ($3::uuid[])
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, nextval('order_number') FROM generate_series(1, $4)
"""


class Priced(msgspec.Struct, frozen=True):
    """A placement that was accepted, and the number that its order gets."""

    placement: Placement
    lines: tuple[Line, ...]
    currency: str
    total: int
    number: str = ""


class LateFact(msgspec.Struct, frozen=True):
    """A fact that came too late to change its order."""

    order_id: str
    event_id: str
    type: str
    at: datetime


async def lock(tx: Tx, order_ids: Sequence[str]) -> dict[str, Order]:
    """The orders of these ids that exist, locked until the end of the transaction."""
    return {row["id"]: _order(row) for row in await tx.fetch(_LOCK, sorted(set(order_ids)))}


def insert(tx: Tx, orders: Sequence[Priced]) -> None:
    """New orders, pending, at version 1."""
    tx.later(
        _INSERT,
        [order.placement.order_id for order in orders],
        [int(order.number) for order in orders],
        [order.placement.user_id for order in orders],
        [_json(order.placement.guest) for order in orders],
        [order.currency for order in orders],
        [order.total for order in orders],
        [_json(order.lines) for order in orders],
        [_json(order.placement.shipping_address) for order in orders],
        [order.placement.payment_method for order in orders],
        [order.placement.now for order in orders],
    )


def save(tx: Tx, changes: Iterable[tuple[Order, Order]]) -> None:
    """Locked orders, before and after their moves: a statement for each kind of change, with what it changes only."""
    kinds: dict[tuple[tuple[Any, ...], tuple[bool, ...]], list[Order]] = {}
    for before, now in changes:
        kind = _shared(now), tuple(map(ne, _own(before), _own(now)))
        kinds.setdefault(kind, []).append(now)
    for ((status, *moments), is_own), orders in kinds.items():
        own = tuple(compress(_OWN, is_own))
        sql = _update(tuple(compress(_MOMENTS, moments)), own)
        columns = [_column(orders, name) for name in ("id", *own)]
        tx.later(sql, status, *filter(None, moments), *columns)


@cache
def _update(moments: Sequence[str], own: Sequence[str]) -> str:
    shared = ("status", *moments)
    setting = [f"{name} = ${at}" for at, name in enumerate(shared, 1)] + [f"{name} = new.{name}" for name in own]
    types = ("uuid", *(_OWN[name] for name in own))
    arrays = [f"${at}::{type_}[]" for at, type_ in enumerate(types, len(shared) + 1)]
    return f"""
        UPDATE orders SET {", ".join(setting)}
        FROM unnest({", ".join(arrays)}) AS new ({", ".join(("id", *own))}) WHERE orders.id = new.id
    """


def publish(tx: Tx, order: Order, facts: Sequence[Fact], cause: Cause) -> None:
    """Append the facts of one move; the last of them has the order's version."""
    for behind, fact in enumerate(reversed(facts)):
        tx.append(fact, sequence=order.version - behind, cause=cause)


def save_late(tx: Tx, facts: Sequence[LateFact]) -> None:
    """Put facts that came too late on record."""
    if facts:
        tx.later(
            _LATE,
            [fact.order_id for fact in facts],
            [fact.event_id for fact in facts],
            [fact.type for fact in facts],
            [fact.at for fact in facts],
        )


async def offers(
    tx: Tx, skus: Sequence[str], variants: Sequence[str], products: Sequence[str], numbers: int
) -> tuple[list[Offer], list[int]]:
    """The offers that any of these names; and so many new numbers of orders, which are drawn for good."""
    found: list[Offer] = []
    drawn: list[int] = []
    for row in await tx.look(_OFFERS, skus, variants, products, numbers):
        *offer, number = row.values()
        if number is None:
            found.append(Offer(*offer))
        else:
            drawn.append(number)
    return found, drawn


def _order(row: Row) -> Order:
    return Order(
        id=row["id"],
        number=row["number"],
        user_id=row["user_id"],
        guest=None if row["guest"] is None else _guest.decode(row["guest"]),
        status=STATUSES[row["status"]],
        version=row["version"],
        currency=row["currency"],
        total_amount=row["total_amount"],
        payment_method=row["payment_method"],
        shipping_address=None if row["shipping_address"] is None else _address.decode(row["shipping_address"]),
        action_url=row["action_url"],
        cancel_reason=row["cancel_reason"],
        cancel_requested=row["cancel_requested"],
        refunded=row["refunded"],
    )


def _column(orders: Sequence[Order], name: str) -> list[Any]:
    values = [getattr(order, name) for order in orders]
    return [_json(value) for value in values] if name == "failure" else values


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
