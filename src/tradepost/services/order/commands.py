"""Each write: load, decide, save."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound, Refusal
from tradepost.kernel.events import Cause, Event
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.reply import Reply
from tradepost.services.order import repository
from tradepost.services.order.domain import order as moves
from tradepost.services.order.domain import placement as placing
from tradepost.services.order.domain.order import Late, Moved, Order
from tradepost.services.order.domain.placement import Offers, Placement
from tradepost.services.order.repository import LateFact, Priced

CREATED = 201

Decide = Callable[[Order, Event[Any], datetime], Moved]
Placed = Priced | str  # an order made now, or the id of the one that the same key made before


async def place(tx: Tx, placements: Sequence[Placement]) -> Sequence[Placed | Refusal]:
    """Place what can be placed, in one go; each placement gets its own verdict. What is found under its key was placed
    before, by this caller or by a transaction of ours whose COMMIT was not heard."""
    known = await idempotency.lookup(tx, [p.scope for p in placements], [p.key for p in placements])
    fresh = [p for p, stored in zip(placements, known, strict=True) if stored is None]
    offers = await _offers(tx, fresh)
    verdicts = {p.order_id: _verdict(p, stored, offers) for p, stored in zip(placements, known, strict=True)}
    accepted = [verdict for verdict in verdicts.values() if isinstance(verdict, Priced)]
    if accepted:
        verdicts |= {priced.placement.order_id: priced for priced in await _store(tx, accepted)}
    return [verdicts[p.order_id] for p in placements]


async def _offers(tx: Tx, placements: Sequence[Placement]) -> Offers:
    items = list(chain.from_iterable(placement.items for placement in placements))
    if not items:
        return Offers([])
    return Offers(
        await repository.offers(
            tx,
            sorted({item.sku for item in items if item.sku is not None}),
            sorted({item.variant_id for item in items if item.variant_id is not None}),
            sorted({item.product_id for item in items if item.product_id is not None}),
        )
    )


def _verdict(placement: Placement, stored: idempotency.Stored | None, offers: Offers) -> Placed | Refusal:
    try:
        if stored is not None:
            return str((stored.replay(placement.body_hash).body or b"").decode())
        lines, currency, total = placing.place(placement, offers)
    except Refusal as refusal:
        return refusal
    return Priced(placement, lines, currency, total)


async def _store(tx: Tx, orders: Sequence[Priced]) -> Sequence[Priced]:
    numbered = await repository.insert(tx, orders)
    entries = [
        idempotency.Entry(p.scope, p.key, p.body_hash, Reply(CREATED, body=p.order_id.encode()))
        for p in (priced.placement for priced in orders)
    ]
    idempotency.store_all(tx, entries)
    for priced in numbered:
        fact = placing.created(priced.placement, priced.number, priced.lines, priced.currency, priced.total)
        tx.append(fact, sequence=1, cause=priced.placement.cause)
    return numbered


async def follow(tx: Tx, events: Sequence[Event[Any]], decide: Decide, now: datetime) -> None:
    """Let each event move its order, all in one go. A fact that comes too late goes on record and changes nothing; one
    about an order that we do not have is none of our business."""
    known = await repository.lock(tx, [event.key for event in events])
    orders = dict(known)
    late: list[LateFact] = []
    for event in events:
        if (order := orders.get(event.key)) is None:
            continue
        try:
            moved, facts = decide(order, event, now)
        except Late:
            late.append(LateFact(order.id, event.id, event.type, now))
            continue
        repository.publish(tx, moved, facts, event.cause)
        orders[order.id] = moved
    repository.save(tx, ((known[key], order) for key, order in orders.items() if order is not known[key]))
    repository.save_late(tx, late)


async def cancel(tx: Tx, order_id: str, owner: str | None, reason: str, cause: Cause, now: datetime) -> None:
    """Cancel, or ask for it when it is paid; `owner` None for staff. Errors: NotFound, TooLateToCancel."""
    order = (await repository.lock(tx, [order_id])).get(order_id)
    if order is None or (owner is not None and order.user_id != owner):
        raise NotFound("There is no such order.")
    moved = moves.cancel(order, reason, now)
    if moved is not None:
        repository.publish(tx, *moved, cause)
        repository.save(tx, [(order, moved[0])])


async def expire(tx: Tx, order_ids: Sequence[str], cause: Cause, now: datetime) -> int:
    """Cancel those of these orders that are still unpaid; how many."""
    changes = []
    for order in (await repository.lock(tx, order_ids)).values():
        if moved := moves.expire(order, now):
            repository.publish(tx, *moved, cause)
            changes.append((order, moved[0]))
    repository.save(tx, changes)
    return len(changes)
