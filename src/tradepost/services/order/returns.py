"""Returns: asked for, approved, received and refunded; each write locks the order first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tradepost.contracts.order import Line, OrderReturnReceived, ReturnedLine
from tradepost.contracts.payment import PaymentRefunded, PaymentRefundFailed, PaymentRefundWaived
from tradepost.kernel.database import Tx
from tradepost.kernel.errors import Conflict, NotFound
from tradepost.kernel.events import Cause, Fact
from tradepost.services.order import repository
from tradepost.services.order.domain.order import Order, Status
from tradepost.services.order.domain.return_ import (
    ReturnLine,
    ReturnStatus,
    check_move,
    check_quantities,
    worth,
)

_LINES: Final = "SELECT lines FROM orders WHERE id = $1"
_OF_ORDER: Final = "SELECT lines FROM return_ WHERE order_id = $1 AND status <> 'rejected' AND id <> $2"
_CAME_BACK: Final = "SELECT lines FROM return_ WHERE order_id = $1 AND status IN ('received', 'refunded') ORDER BY id"
_INSERT: Final = """
INSERT INTO return_ (id, order_id, status, lines, reason, amount, requested_at)
VALUES ($1, $2, 'requested', $3::text::json, $4, $5, $6)
"""
_FIND: Final = "SELECT order_id::text FROM return_ WHERE id = $1"
_LOCK: Final = "SELECT status, lines FROM return_ WHERE id = $1 FOR UPDATE"
_MOVE: Final = "UPDATE return_ SET status = $2, {column} = $3 WHERE id = $1"
_RECEIVE: Final = (
    "UPDATE return_ SET status = 'received', received_at = $2, lines = $3::text::json, amount = $4 WHERE id = $1"
)
# A refund that failed takes its return back to where it may be refunded again; no person moves one there.
_SETTLE: Final = """
UPDATE return_ SET status = new.status, amount = COALESCE(new.amount, return_.amount),
                   refunded_at = CASE new.status WHEN 'refunded' THEN $4::timestamptz END
FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (id, status, amount)
WHERE return_.id = new.id AND return_.status IN ('received', 'refunded')
"""

Outcome = tuple[ReturnStatus, int | None]

_lines: Final = msgspec.json.Decoder(tuple[Line, ...])
_back: Final = msgspec.json.Decoder(tuple[ReturnLine, ...])


async def request(
    tx: Tx, return_id: str, order_id: str, owner: str | None, wanted: Sequence[ReturnLine], reason: str, now: datetime
) -> None:
    """Errors: NotFound, Conflict `not_shipped` or `return_exceeds_order`, Invalid `not_in_order`."""
    order = await _locked(tx, order_id, owner)
    if order.status not in (Status.SHIPPED, Status.COMPLETED):
        raise Conflict(f"The order is {order.status}: cancel it instead.", code="not_shipped")
    bought = _lines.decode(await tx.fetchval(_LINES, order_id))
    earlier = await _decoded(tx, _OF_ORDER, order_id, return_id)
    check_quantities(bought, earlier, wanted)
    await tx.execute(_INSERT, return_id, order_id, _encoded(wanted), reason, worth(bought, wanted, earlier), now)


async def approve(tx: Tx, return_id: str, now: datetime) -> None:
    """The goods may be sent. Errors: NotFound, Conflict."""
    await _move(tx, return_id, ReturnStatus.APPROVED, "approved_at", now)


async def reject(tx: Tx, return_id: str, now: datetime) -> None:
    """The return is refused. Errors: NotFound, Conflict."""
    await _move(tx, return_id, ReturnStatus.REJECTED, "rejected_at", now)


async def receive(tx: Tx, return_id: str, arrived: Sequence[ReturnLine] | None, cause: Cause, now: datetime) -> None:
    """The goods are back: `arrived` where it differs from what was announced. Publishes what is to be restocked and
    refunded. Errors: NotFound, Conflict, Invalid."""
    order = await _locked(tx, await _order_of(tx, return_id), None)
    status, announced = await _lock(tx, return_id)
    check_move(status, ReturnStatus.RECEIVED)
    lines = tuple(announced if arrived is None else arrived)
    bought = _lines.decode(await tx.fetchval(_LINES, order.id))
    check_quantities(bought, await _decoded(tx, _OF_ORDER, order.id, return_id), lines)
    amount = worth(bought, lines, await _decoded(tx, _CAME_BACK, order.id))
    await tx.execute(_RECEIVE, return_id, now, _encoded(lines), amount)
    moved = replace(order, version=order.version + 1)
    fact = OrderReturnReceived(
        order_id=order.id,
        return_id=return_id,
        items=tuple(ReturnedLine(sku=line.sku, quantity=line.quantity, restock=line.restock) for line in lines),
        amount=amount,
        currency=order.currency,
    )
    repository.publish(tx, moved, (fact,), cause)
    repository.save(tx, [(order, moved)])


async def settle(tx: Tx, facts: Sequence[Fact], now: datetime) -> None:
    """Where returns stand after what became of their refunds, the last of which counts; `amount` is then what went
    back. Their orders are locked."""
    ends: dict[str, Outcome] = {}
    for fact in facts:
        if isinstance(fact, PaymentRefunded | PaymentRefundFailed | PaymentRefundWaived) and fact.return_id:
            ends[fact.return_id] = _outcome(fact)
    if ends:
        await tx.execute(_SETTLE, list(ends), *zip(*ends.values(), strict=True), now)


def _outcome(fact: PaymentRefunded | PaymentRefundFailed | PaymentRefundWaived) -> Outcome:
    match fact:
        case PaymentRefunded():
            return ReturnStatus.REFUNDED, fact.amount
        case PaymentRefundWaived():
            return ReturnStatus.REFUNDED, 0
        case PaymentRefundFailed():
            return ReturnStatus.RECEIVED, None


async def _move(tx: Tx, return_id: str, to: ReturnStatus, column: str, now: datetime) -> None:
    await _locked(tx, await _order_of(tx, return_id), None)
    status, _ = await _lock(tx, return_id)
    check_move(status, to)
    await tx.execute(_MOVE.format(column=column), return_id, to.value, now)


async def _locked(tx: Tx, order_id: str, owner: str | None) -> Order:
    order = (await repository.lock(tx, [order_id])).get(order_id)
    if order is None or (owner is not None and order.user_id != owner):
        raise NotFound("There is no such order.")
    return order


async def _order_of(tx: Tx, return_id: str) -> str:
    order_id = await tx.fetchval(_FIND, return_id)
    if order_id is None:
        raise NotFound("There is no such return.")
    return str(order_id)


async def _lock(tx: Tx, return_id: str) -> tuple[ReturnStatus, tuple[ReturnLine, ...]]:
    row: Any = await tx.fetchrow(_LOCK, return_id)
    return ReturnStatus(row["status"]), _back.decode(row["lines"])


async def _decoded(tx: Tx, sql: str, *args: object) -> list[ReturnLine]:
    return [line for row in await tx.fetch(sql, *args) for line in _back.decode(row["lines"])]


def _encoded(lines: Sequence[ReturnLine]) -> str:
    return msgspec.json.encode(lines).decode()
