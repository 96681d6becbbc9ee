"""Rows in, rows out. Stock rows are only ever locked in SKU order, all of a transaction in one statement."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.database import Row, Tx
from tradepost.kernel.ids import new_id
from tradepost.services.inventory.domain.listing import Listing, Owner
from tradepost.services.inventory.domain.movement import Movement
from tradepost.services.inventory.domain.reservation import Reservation, Status
from tradepost.services.inventory.domain.shelf import Alert, Shelf
from tradepost.services.inventory.domain.stock import Stock

_STOCK: Final = """
SELECT sku, on_hand, reserved, version, events, threshold, low,
       product_id::text AS product_id, variant_id::text AS variant_id
FROM stock
"""
_LOCK: Final = f"{_STOCK} WHERE sku = ANY ($1) ORDER BY sku FOR UPDATE"
_LOCK_PRODUCT: Final = f"{_STOCK} WHERE product_id = $1 ORDER BY sku FOR UPDATE"
_LOCK_LISTED: Final = f"{_STOCK} WHERE sku = ANY ($1) OR product_id = ANY ($2) ORDER BY sku FOR UPDATE"
_LOCK_NEXT: Final = f"{_STOCK} WHERE sku > $1 ORDER BY sku LIMIT $2 FOR UPDATE"

_LOCK_RESERVATIONS: Final = """
SELECT order_id::text AS order_id, skus, quantities, status, version
FROM reservation WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE
"""

# Adds rather than sets, so that CHECK stands even behind a caller that forgot to lock.
_UPDATE: Final = """
UPDATE stock SET on_hand = stock.on_hand + change.on_hand, reserved = stock.reserved + change.reserved,
                 version = stock.version + change.version, events = stock.events + change.events,
                 threshold = change.threshold, low = change.low
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[])
     AS change (sku, on_hand, reserved, version, events, threshold, low)
WHERE stock.sku = change.sku
"""
_INSERT_MOVEMENTS: Final = """
INSERT INTO movement (id, sku, quantity, reason, reference, order_id, on_hand, at)
SELECT *, $8 FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::uuid[], $7::bigint[])
"""
_INSERT_ALERTS: Final = """
INSERT INTO alert (id, sku, kind, available, threshold, at)
SELECT *, $6 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
"""
# As JSON, since unnest would flatten the arrays of its rows.
_INSERT_RESERVATIONS: Final = """
INSERT INTO reservation (order_id, skus, quantities, status, version)
SELECT * FROM json_to_recordset($1::json)
     AS new (order_id uuid, skus text[], quantities bigint[], status text, version bigint)
"""
_FILL_RESERVATIONS: Final = """
UPDATE reservation SET skus = new.skus, quantities = new.quantities, updated_at = now()
FROM json_to_recordset($1::json) AS new (order_id uuid, skus text[], quantities bigint[])
WHERE reservation.order_id = new.order_id
"""
_MOVE_RESERVATIONS: Final = """
UPDATE reservation SET status = moved.status, version = moved.version, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS moved (order_id, status, version)
WHERE reservation.order_id = moved.order_id
"""
_INSERT_STOCK: Final = """
INSERT INTO stock (sku, on_hand, version, events, product_id, variant_id)
SELECT sku, on_hand, 1, 1, product_id, variant_id
FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::uuid[]) AS new (sku, on_hand, product_id, variant_id)
ORDER BY sku COLLATE "C"
ON CONFLICT (sku) DO NOTHING
RETURNING sku
"""
_SET_OWNERS: Final = """
UPDATE stock SET product_id = new.product_id, variant_id = new.variant_id
FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS new (sku, product_id, variant_id)
WHERE stock.sku = new.sku
"""


async def lock(tx: Tx, skus: Collection[str]) -> Shelf:
    """The rows of those of `skus` that are known."""
    return Shelf(map(_stock, await tx.fetch(_LOCK, list(skus))))


async def lock_product(tx: Tx, product_id: str) -> Sequence[Stock]:
    """The rows of a product's SKUs."""
    return [_stock(row) for row in await tx.fetch(_LOCK_PRODUCT, product_id)]


async def lock_next(tx: Tx, after: str, limit: int) -> Shelf:
    """The rows of the first SKUs behind `after`."""
    return Shelf(map(_stock, await tx.fetch(_LOCK_NEXT, after, limit)))


async def lock_listed(tx: Tx, skus: Collection[str], products: Collection[str]) -> Sequence[Stock]:
    """The rows of these SKUs, and of all that belong to these products so far."""
    return [_stock(row) for row in await tx.fetch(_LOCK_LISTED, list(skus), list(products))]


async def lock_reservations(tx: Tx, order_ids: Collection[str]) -> Mapping[str, Reservation]:
    """What is on record for these orders. To be locked before any stock."""
    rows = await tx.fetch(_LOCK_RESERVATIONS, list(order_ids))
    return {row["order_id"]: _reservation(row) for row in rows}


def save(tx: Tx, shelf: Shelf, at: datetime) -> Sequence[str]:
    """Everything that happened on the shelf, with its events; the ids of its movements in their order."""
    alerts = shelf.settle()
    if changes := shelf.changes():
        _update(tx, changes)
    ids = record(tx, shelf.movements, at)
    if alerts:
        _insert_alerts(tx, alerts, at)
    for note in shelf.notes:
        tx.append(note.fact, sequence=note.sequence, cause=note.cause)
    return ids


def record(tx: Tx, movements: Sequence[Movement], at: datetime) -> Sequence[str]:
    """Write movements into the ledger; their ids."""
    ids = [new_id() for _ in movements]
    if movements:
        tx.later(
            _INSERT_MOVEMENTS,
            ids,
            [movement.sku for movement in movements],
            [movement.quantity for movement in movements],
            [movement.reason for movement in movements],
            [movement.reference for movement in movements],
            [movement.order_id for movement in movements],
            [movement.on_hand for movement in movements],
            at,
        )
    return ids


def save_reservations(tx: Tx, reservations: Sequence[Reservation], known: Mapping[str, Reservation]) -> None:
    """New ones, the units of those `known` ones that were overtaken, and new statuses of the others."""
    if new := [one for one in reservations if one.order_id not in known]:
        tx.later(_INSERT_RESERVATIONS, msgspec.json.encode(new).decode())
    old = [one for one in reservations if one.order_id in known]
    if filled := [one for one in old if known[one.order_id].is_overtaken]:
        tx.later(_FILL_RESERVATIONS, msgspec.json.encode(filled).decode())
    if moved := [one for one in old if not known[one.order_id].is_overtaken]:
        tx.later(
            _MOVE_RESERVATIONS,
            [one.order_id for one in moved],
            [one.status for one in moved],
            [one.version for one in moved],
        )


async def insert_stock(tx: Tx, listings: Sequence[Listing]) -> Collection[str]:
    """Rows for new SKUs, their first event counted; the SKUs that were new indeed."""
    rows = await tx.fetch(
        _INSERT_STOCK,
        [listing.sku for listing in listings],
        [listing.opening for listing in listings],
        [listing.owner.product_id for listing in listings],
        [listing.owner.variant_id for listing in listings],
    )
    return {row["sku"] for row in rows}


async def set_owners(tx: Tx, owners: Mapping[str, Owner]) -> None:
    """Other variants for these SKUs, whose rows are locked."""
    products = [owner.product_id for owner in owners.values()]
    variants = [owner.variant_id for owner in owners.values()]
    await tx.execute(_SET_OWNERS, list(owners), products, variants)


def _update(tx: Tx, changes: Iterable[tuple[Stock, Stock]]) -> None:
    pairs = list(changes)
    tx.later(
        _UPDATE,
        [now.sku for _, now in pairs],
        [now.on_hand - before.on_hand for before, now in pairs],
        [now.reserved - before.reserved for before, now in pairs],
        [now.version - before.version for before, now in pairs],
        [now.events - before.events for before, now in pairs],
        [now.threshold for _, now in pairs],
        [now.low for _, now in pairs],
    )


def _insert_alerts(tx: Tx, alerts: Sequence[Alert], at: datetime) -> None:
    tx.later(
        _INSERT_ALERTS,
        [new_id() for _ in alerts],
        [alert.sku for alert in alerts],
        [alert.kind for alert in alerts],
        [alert.available for alert in alerts],
        [alert.threshold for alert in alerts],
        at,
    )


def _stock(row: Row) -> Stock:
    return Stock(**row)


def _reservation(row: Row) -> Reservation:
    return Reservation(
        order_id=row["order_id"],
        skus=tuple(row["skus"]),
        quantities=tuple(row["quantities"]),
        status=Status(row["status"]),
        version=row["version"],
    )
