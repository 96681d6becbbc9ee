"""The simulator's own books: charges, refunds, and the news of them that still has to be told."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.kernel.database import Row, Tx
from tradepost.services.payment.domain.report import ChargeState
from tradepost.services.payment.simulator.bank import Charge, News, Refund

JOB: Final = "payment.simulator"
LEASE_S: Final = 30
BATCH: Final = 200  # pieces of news a round

_CHARGE: Final = "id::text AS id, key, amount, currency, method, state, reason, refunded"
_REFUND: Final = "id::text AS id, key, charge_key, amount, state, reason"

_ENTER_CHARGES: Final = """
INSERT INTO simulator_charge (id, key, amount, currency, method, state, reason)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
     AS new (id, key, amount, currency, method, state, reason)
ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING id::text AS id
"""
_FIND_CHARGES: Final = f"SELECT {_CHARGE} FROM simulator_charge WHERE key = ANY ($1)"
_FIND_REFUNDS: Final = f"SELECT {_REFUND} FROM simulator_refund WHERE key = ANY ($1)"
_LOCK_CHARGES: Final = f"{_FIND_CHARGES} ORDER BY key FOR UPDATE"
_LOCK_CHARGE: Final = f"SELECT {_CHARGE} FROM simulator_charge WHERE id = $1 FOR UPDATE"
_SETTLE: Final = "UPDATE simulator_charge SET state = $2, reason = $3 WHERE key = ANY ($1)"
_ENTER_REFUNDS: Final = """
WITH entered AS (
    INSERT INTO simulator_refund (id, key, charge_key, amount, state, reason)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
    RETURNING charge_key, amount, state
)
UPDATE simulator_charge AS charge SET refunded = charge.refunded + gone.amount
FROM (SELECT charge_key, sum(amount) AS amount FROM entered WHERE state <> 'failed' GROUP BY charge_key) AS gone
WHERE charge.key = gone.charge_key
"""
_ANNOUNCE: Final = """
INSERT INTO simulator_webhook (event_id, about, key, reference, state, reason, due_at)
SELECT event_id, about, key, reference, state, reason, now() + delay_s * interval '1 second'
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[]) WITH ORDINALITY
     AS new (event_id, about, key, reference, state, reason, delay_s, place)
ORDER BY place
"""
_FORGET: Final = "DELETE FROM simulator_webhook WHERE about = 'charge' AND key = ANY ($1)"
_DUE: Final = f"""
UPDATE simulator_webhook SET due_at = now() + interval '{LEASE_S} seconds'
WHERE position = ANY (ARRAY(
    SELECT position FROM simulator_webhook WHERE due_at <= now() ORDER BY due_at, position LIMIT {BATCH}
    FOR UPDATE SKIP LOCKED))
RETURNING position, event_id::text AS event_id, about, key, reference, state, reason
"""
_RIPEN_CHARGES: Final = """
UPDATE simulator_charge AS charge SET state = new.state
FROM unnest($1::text[], $2::text[]) AS new (key, state)
WHERE charge.key = new.key AND charge.state = 'authorized' AND new.state = 'captured'
"""
_RIPEN_REFUNDS: Final = """
WITH changed AS (
    UPDATE simulator_refund AS refund SET state = new.state, reason = new.reason
    FROM unnest($1::text[], $2::text[], $3::text[]) AS new (key, state, reason)
    WHERE refund.key = new.key AND refund.state NOT IN (new.state, 'failed')
    RETURNING refund.charge_key, refund.amount, refund.state
)
UPDATE simulator_charge AS charge SET refunded = charge.refunded - back.amount
FROM (SELECT charge_key, sum(amount) AS amount FROM changed WHERE state = 'failed' GROUP BY charge_key) AS back
WHERE charge.key = back.charge_key
"""
_DELIVERED: Final = "DELETE FROM simulator_webhook WHERE position = ANY ($1)"


async def enter_charges(tx: Tx, charges: Sequence[Charge]) -> Collection[str]:
    """New charges; the ids of those whose keys were new indeed."""
    rows = [
        (charge.id, charge.key, charge.amount, charge.currency, charge.method, charge.state, charge.reason)
        for charge in charges
    ]
    return {row["id"] for row in await tx.fetch(_ENTER_CHARGES, *zip(*rows, strict=True))}


async def find_charges(tx: Tx, keys: Collection[str]) -> Mapping[str, Charge]:
    """The charges of these keys, by key."""
    return {row["key"]: _charge(row) for row in await tx.fetch(_FIND_CHARGES, list(keys))}


async def lock_charges(tx: Tx, keys: Collection[str]) -> Mapping[str, Charge]:
    """The same, locked."""
    return {row["key"]: _charge(row) for row in await tx.fetch(_LOCK_CHARGES, list(keys))}


async def lock_charge(tx: Tx, charge_id: str) -> Charge | None:
    """The charge of this id, locked."""
    row = await tx.fetchrow(_LOCK_CHARGE, charge_id)
    return None if row is None else _charge(row)


async def settle(tx: Tx, keys: Collection[str], state: ChargeState, reason: str | None = None) -> None:
    """Another state for locked charges; what was still to be told of them no longer is."""
    await tx.execute(_SETTLE, list(keys), state, reason)
    await tx.execute(_FORGET, list(keys))


async def find_refunds(tx: Tx, keys: Collection[str]) -> Mapping[str, Refund]:
    """The refunds of these keys, by key."""
    found = await tx.fetch(_FIND_REFUNDS, list(keys))
    return {row["key"]: msgspec.convert(dict(row), Refund) for row in found}


async def enter_refunds(tx: Tx, refunds: Sequence[Refund]) -> None:
    """New refunds of locked charges, which have that much less to give back."""
    rows = [
        (refund.id, refund.key, refund.charge_key, refund.amount, refund.state, refund.reason) for refund in refunds
    ]
    await tx.execute(_ENTER_REFUNDS, *zip(*rows, strict=True))


async def announce(tx: Tx, news: Iterable[News]) -> None:
    """News to be told, in this order."""
    rows = [
        (piece.event_id, piece.about, piece.key, piece.reference, piece.state, piece.reason, piece.delay_s)
        for piece in news
    ]
    if rows:
        await tx.execute(_ANNOUNCE, *zip(*rows, strict=True))
        tx.wake(JOB)


async def due_news(tx: Tx) -> Sequence[News]:
    """What is to be told by now, true from now on; leased to the caller, in order."""
    rows = sorted(await tx.fetch(_DUE), key=lambda row: row["position"])
    due = [msgspec.convert(dict(row), News) for row in rows]
    if charges := [piece for piece in due if piece.about == "charge"]:
        await tx.execute(_RIPEN_CHARGES, [piece.key for piece in charges], [piece.state for piece in charges])
    if refunds := [(piece.key, piece.state, piece.reason) for piece in due if piece.about == "refund"]:
        await tx.execute(_RIPEN_REFUNDS, *zip(*refunds, strict=True))
    return due


async def delivered(tx: Tx, news: Sequence[News]) -> None:
    """These were told."""
    await tx.execute(_DELIVERED, [piece.position for piece in news])


def _charge(row: Row) -> Charge:
    return msgspec.convert(dict(row), Charge)
