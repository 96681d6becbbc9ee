"""Orders as rows: loading under lock, and saving together with the facts that were published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from tradepost.contracts.inventory import Shortage
from tradepost.contracts.order import Address, Guest, Line
from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause, Fact
from tradepost.services.order.domain.order import Order, Status
from tradepost.services.order.domain.placement import Offer, Placement

COLUMNS: Final = """id::text AS id, number, user_id::text AS user_id, guest, status, version, currency, total_amount,
    shipping_address, payment_method, action_url, cancel_reason, cancel_requested, failure, tracking_number, carrier,
    refunded, created_at, reserved_at, paid_at, shipped_at, completed_at, cancelled_at"""

_LOCK: Final = f"SELECT {COLUMNS} FROM orders WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_NUMBERS: Final = "SELECT nextval('order_number') AS number FROM generate_series(1, $1)"
_INSERT: Final = """
INSERT INTO orders (id, number, user_id, guest, status, version, currency, total_amount, lines, shipping_address,
                    payment_method, created_at)
SELECT id, number, user_id, guest::json, 'pending', 1, currency, total_amount, lines::json, shipping_address::json,
       payment_method, created_at
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
            $9::text[], $10::timestamptz[])
     AS new (id, number, user_id, guest, currency, total_amount, lines, shipping_address, payment_method, created_at)
"""
_UPDATE: Final = """
UPDATE orders SET status = new.status, version = new.version, action_url = new.action_url,
    cancel_reason = new.cancel_reason, cancel_requested = new.cancel_requested, failure = new.failure::json,
    tracking_number = new.tracking_number, carrier = new.carrier, refunded = new.refunded,
    reserved_at = new.reserved_at, paid_at = new.paid_at, shipped_at = new.shipped_at,
    completed_at = new.completed_at, cancelled_at = new.cancelled_at
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
            $14::timestamptz[], $15::timestamptz[])
     AS new (id, status, version, action_url, cancel_reason, cancel_requested, failure, tracking_number, carrier,
             refunded, reserved_at, paid_at, shipped_at, completed_at, cancelled_at)
WHERE orders.id = new.id
"""
_LATE: Final = """
INSERT INTO late_fact (order_id, event_id, type, at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
"""
_OFFERS: Final = """
SELECT variant_id::text AS variant_id, product_id::text AS product_id, sku, name, price, currency, active, stocked
FROM offer WHERE sku = ANY ($1::text[]) OR variant_id = ANY ($2::uuid[]) OR product_id = ANY ($3::uuid[])
"""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an order ended, as stored: what was short, or how the provider declined."""

    missing: tuple[Shortage, ...] = ()
    decline: str | None = None


@dataclass(frozen=True, slots=True)
class Priced:
    """A placement that was accepted."""

    placement: Placement
    number: str
    lines: tuple[Line, ...]
    currency: str
    total: int


@dataclass(frozen=True, slots=True)
class LateFact:
    """A fact that came too late to change its order."""

    order_id: str
    event_id: str
    type: str
    at: datetime


async def lock(tx: Tx, order_ids: Sequence[str]) -> dict[str, Order]:
    """The orders of these ids that exist, locked until the end of the transaction."""
    return {row["id"]: order_of(row) for row in await tx.fetch(_LOCK, sorted(set(order_ids)))}


async def numbers(tx: Tx, count: int) -> list[str]:
    """So many new order numbers."""
    return [str(row["number"]) for row in await tx.fetch(_NUMBERS, count)]


async def insert(tx: Tx, orders: Sequence[Priced]) -> None:
    """New orders, pending, at version 1."""
    await tx.execute(
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


async def save(tx: Tx, orders: Sequence[Order]) -> None:
    """What has changed of orders that this transaction has locked."""
    if not orders:
        return
    await tx.execute(
        _UPDATE,
        [order.id for order in orders],
        [order.status.value for order in orders],
        [order.version for order in orders],
        [order.action_url for order in orders],
        [order.cancel_reason for order in orders],
        [order.cancel_requested for order in orders],
        [_failure(order) for order in orders],
        [order.tracking_number for order in orders],
        [order.carrier for order in orders],
        [order.refunded for order in orders],
        [order.reserved_at for order in orders],
        [order.paid_at for order in orders],
        [order.shipped_at for order in orders],
        [order.completed_at for order in orders],
        [order.cancelled_at for order in orders],
    )


def publish(tx: Tx, order: Order, facts: Sequence[Fact], cause: Cause) -> None:
    """Append the facts of one move; the last of them has the order's version."""
    for behind, fact in enumerate(reversed(facts)):
        tx.append(fact, sequence=order.version - behind, cause=cause)


async def save_late(tx: Tx, facts: Sequence[LateFact]) -> None:
    """Put facts that came too late on record."""
    if facts:
        await tx.execute(
            _LATE,
            [fact.order_id for fact in facts],
            [fact.event_id for fact in facts],
            [fact.type for fact in facts],
            [fact.at for fact in facts],
        )


async def offers(tx: Tx, skus: Sequence[str], variants: Sequence[str], products: Sequence[str]) -> list[Offer]:
    """The offers that any of these names."""
    return [Offer(**row) for row in await tx.fetch(_OFFERS, skus, variants, products)]


def order_of(row: Row) -> Order:
    """A row with `COLUMNS` as a value."""
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    failure = _decoded(row["failure"], Failure) or Failure()
    return Order(
        **fields,
        number=str(row["number"]),
        status=Status(row["status"]),
        guest=_decoded(row["guest"], Guest),
        shipping_address=_decoded(row["shipping_address"], Address),
        missing=failure.missing,
        decline=failure.decline,
    )


_PLAIN: Final = tuple(Order.__dataclass_fields__.keys() - {
    "number", "status", "guest", "shipping_address", "missing", "decline"
})  # fmt: skip


def _failure(order: Order) -> str | None:
    if not order.missing and order.decline is None:
        return None
    return _json(Failure(order.missing, order.decline))


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None, kind: Any) -> Any:
    return None if text is None else _DECODERS[kind].decode(text)


_DECODERS: Final[Mapping[Any, "msgspec.json.Decoder[Any]"]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Failure, Guest, Address)
}
