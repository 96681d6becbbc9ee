"""Shipments as rows; saving one appends what it publishes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from tradepost.contracts.order import Address
from tradepost.kernel.database import Row, Tx
from tradepost.kernel.events import Cause, Fact
from tradepost.services.shipping.domain.shipment import LOCAL, STATUSES, Report, Shipment, Step, next_move

_COLUMNS: Final = """
    id::text, order_id::text, tracking_number, carrier, status, dispatched, version, pick_up_at, deliver_at,
    shipping_address, correlation_id, causation_id::text, traceparent
"""
_INSERT: Final = """
WITH overtaken AS (
    DELETE FROM overtaken_order WHERE order_id = ANY ($2) RETURNING order_id
), made AS (
    INSERT INTO shipment (id, order_id, user_id, tracking_number, carrier, status, version, pick_up_at, deliver_at,
                          history, shipping_address, correlation_id, causation_id, traceparent)
    SELECT id, order_id, user_id, tracking_number, $10, 'pending', 1, now() + ahead + pick_up,
           now() + ahead + pick_up + delivery, history::jsonb, shipping_address::jsonb, correlation_id, causation_id,
           traceparent
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[],
                $9::text[])
         WITH ORDINALITY AS new (id, order_id, user_id, tracking_number, history, shipping_address, correlation_id,
                                 causation_id, traceparent, position), carrier_clock
    ORDER BY position
    ON CONFLICT (order_id) DO NOTHING
    RETURNING id, order_id, pick_up_at
), look AS (
    INSERT INTO due (at, shipment_id) SELECT pick_up_at, id FROM made
)
SELECT id::text, order_id::text, pick_up_at <= now() + ahead AS is_due,
       order_id IN (SELECT order_id FROM overtaken) AS is_overtaken
FROM made, carrier_clock
"""
_LOCK_OF_ORDERS: Final = f"""
SELECT {_COLUMNS} FROM shipment WHERE order_id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE
"""
_LOCK: Final = f"SELECT {_COLUMNS} FROM shipment WHERE id = $1 FOR UPDATE"
_LOCK_BY_NUMBER: Final = f"SELECT {_COLUMNS} FROM shipment WHERE tracking_number = $1 AND carrier = $2 FOR UPDATE"
# Whoever holds rows of `due` waits for shipments here, so nobody who holds a shipment may ever wait for one of `due`.
_LOCK_DUE: Final = f"""
WITH taken AS (
    DELETE FROM due WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM due WHERE at <= (SELECT now() + ahead FROM carrier_clock)
        ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING shipment_id
)
SELECT {_COLUMNS}, (SELECT now() + ahead FROM carrier_clock) AS carrier_now
FROM shipment WHERE id IN (SELECT shipment_id FROM taken) ORDER BY id FOR UPDATE
"""
_SAVE: Final = """
UPDATE shipment
SET status = new.status, dispatched = new.dispatched, version = new.version, history = history || new.reports::jsonb
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::bigint[], $5::text[])
     AS new (id, status, dispatched, version, reports)
WHERE shipment.id = new.id
"""
_LOOK_AT: Final = """
INSERT INTO due (at, shipment_id) SELECT * FROM unnest($1::timestamptz[], $2::uuid[])
"""
_REMEMBER: Final = """
INSERT INTO overtaken_order (order_id) SELECT DISTINCT order_id FROM unnest($1::uuid[]) AS new (order_id)
ORDER BY order_id ON CONFLICT DO NOTHING
"""

_address: Final = msgspec.json.Decoder(Address)


class Opening(msgspec.Struct, frozen=True):
    """A shipment to be: its first report and what is published about it."""

    shipment_id: str
    order_id: str
    user_id: str | None
    tracking_number: str
    shipping_address: Address | None
    report: Report
    fact: Fact
    cause: Cause


class Made(NamedTuple):
    """What came of openings: whether a parcel is to be picked up at once, and whose were to be cancelled before."""

    is_due: bool
    overtaken: Collection[str]


class Locked(msgspec.Struct, frozen=True):
    """A shipment whose row is locked, and the story that it belongs to."""

    shipment: Shipment
    cause: Cause


async def insert(tx: Tx, openings: Sequence[Opening]) -> Made:
    """Make the shipments of orders that have none."""
    rows = await tx.fetch(
        _INSERT,
        [new.shipment_id for new in openings],
        [new.order_id for new in openings],
        [new.user_id for new in openings],
        [new.tracking_number for new in openings],
        [_json([new.report]) for new in openings],
        [None if new.shipping_address is None else _json(new.shipping_address) for new in openings],
        [new.cause.correlation_id for new in openings],
        [new.cause.causation_id for new in openings],
        [new.cause.traceparent for new in openings],
        LOCAL,
    )
    made = {row["id"] for row in rows}
    for new in openings:
        if new.shipment_id in made:
            tx.append(new.fact, sequence=1, cause=new.cause)
    return Made(any(row["is_due"] for row in rows), {row["order_id"] for row in rows if row["is_overtaken"]})


def remember(tx: Tx, order_ids: Collection[str]) -> None:
    """That these orders were to be cancelled, until their shipments are made."""
    if order_ids:
        tx.later(_REMEMBER, list(order_ids))


async def lock_of_orders(tx: Tx, order_ids: Sequence[str]) -> dict[str, Shipment]:
    """The shipments of these orders, by order."""
    rows = await tx.fetch(_LOCK_OF_ORDERS, order_ids)
    return {row["order_id"]: _shipment(row) for row in rows}


async def lock(tx: Tx, shipment_id: str) -> Shipment | None:
    """One shipment."""
    row = await tx.fetchrow(_LOCK, shipment_id)
    return None if row is None else _shipment(row)


async def lock_by_number(tx: Tx, carrier: str, tracking_number: str) -> Shipment | None:
    """The shipment that a carrier knows by its number."""
    row = await tx.fetchrow(_LOCK_BY_NUMBER, tracking_number, carrier)
    return None if row is None else _shipment(row)


async def lock_due(tx: Tx, limit: int) -> tuple[list[Locked], datetime | None]:
    """Up to `limit` shipments that it is time to look at, and the carrier's time. They won't be due again by
    themselves: see `look_again`."""
    rows = await tx.fetch(_LOCK_DUE, limit)
    locked = [
        Locked(_shipment(row), Cause(row["correlation_id"], row["causation_id"], row["traceparent"])) for row in rows
    ]
    return locked, rows[0]["carrier_now"] if rows else None


def save(tx: Tx, steps: Sequence[tuple[Step, Cause]]) -> None:
    """Keep what has changed about locked shipments, and publish it."""
    if not steps:
        return
    moved = [step.shipment for step, _ in steps]
    tx.later(
        _SAVE,
        [shipment.id for shipment in moved],
        [shipment.status for shipment in moved],
        [shipment.dispatched for shipment in moved],
        [shipment.version for shipment in moved],
        [_json(step.reports) for step, _ in steps],
    )
    for step, cause in steps:
        first = step.shipment.version - len(step.facts) + 1
        for sequence, fact in enumerate(step.facts, first):
            tx.append(fact, sequence=sequence, cause=cause)


def look_again(tx: Tx, shipments: Iterable[Shipment]) -> None:
    """Make those shipments due that the local carrier has yet to move."""
    moves = [(move.at, shipment.id) for shipment in shipments if (move := next_move(shipment))]
    if moves:
        tx.later(_LOOK_AT, [at for at, _ in moves], [shipment_id for _, shipment_id in moves])


def _shipment(row: Row) -> Shipment:
    address = row["shipping_address"]
    return Shipment(
        id=row["id"],
        order_id=row["order_id"],
        tracking_number=row["tracking_number"],
        carrier=row["carrier"],
        status=STATUSES[row["status"]],
        dispatched=row["dispatched"],
        version=row["version"],
        pick_up_at=row["pick_up_at"],
        deliver_at=row["deliver_at"],
        shipping_address=address and _address.decode(address),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
