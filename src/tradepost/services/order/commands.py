"""Each write: load, decide, save."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from tradepost.kernel.batcher import Known
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


async def place(
    tx: Tx, placements: Sequence[Placement], looks: bool = True, *, spare: list[int] | None = None
) -> Sequence[Placed | Refusal]:
    """Place what can be placed, in one go; each placement gets its own verdict. What is found under its key was placed
    before, by this caller or by a transaction of ours whose COMMIT was not heard. Where nobody `looks`, only those that
    would be refused are looked up, and the transaction fails with `Known` when another is not new. Numbers that were
    drawn and not used are left in `spare`."""
    spare = [] if spare is None else spare
    known = await _known(tx, placements) if looks else {}
    fresh = [p for p in placements if p.order_id not in known]
    offers = await _offers(tx, fresh, spare)
    verdicts = {p.order_id: _priced(p, offers, spare) for p in fresh}
    refused = [p for p in fresh if isinstance(verdicts[p.order_id], Refusal)]
    if refused and not looks:
        known = await _known(tx, refused)
    verdicts |= {p.order_id: _replayed(p, known[p.order_id]) for p in placements if p.order_id in known}
    accepted = [verdict for verdict in verdicts.values() if isinstance(verdict, Priced)]
    if accepted:
        _store(tx, accepted, otherwise=None if looks else Known())
    return [verdicts[p.order_id] for p in placements]


async def _known(tx: Tx, placements: Sequence[Placement]) -> Mapping[str, idempotency.Stored]:
    """What was answered to those that were made before."""
    found = await idempotency.lookup(tx, [p.scope for p in placements], [p.key for p in placements])
    return {p.order_id: stored for p, stored in zip(placements, found, strict=True) if stored is not None}


async def _offers(tx: Tx, placements: Sequence[Placement], spare: list[int]) -> Offers:
    """What these name; with it `spare` gets as many numbers as there are placements."""
    items = list(chain.from_iterable(placement.items for placement in placements))
    if not items:
        return Offers([])
    found, drawn = await repository.offers(
        tx,
        sorted({item.sku for item in items if item.sku is not None}),
        sorted({item.variant_id for item in items if item.variant_id is not None}),
        sorted({item.product_id for item in items if item.product_id is not None}),
        max(0, len(placements) - len(spare)),
    )
    spare += drawn
    return Offers(found)


def _replayed(placement: Placement, stored: idempotency.Stored) -> Placed | Refusal:
    try:
        return str((stored.replay(placement.body_hash).body or b"").decode())
    except Refusal as refusal:
        return refusal


def _priced(placement: Placement, offers: Offers, spare: list[int]) -> Placed | Refusal:
    """With the first of the spare numbers, if it is accepted."""
    try:
        lines, currency, total = placing.place(placement, offers)
    except Refusal as refusal:
        return refusal
    return Priced(placement, lines, currency, total, str(spare.pop(0)))


def _store(tx: Tx, orders: Sequence[Priced], otherwise: Exception | None) -> None:
    repository.insert(tx, orders)
    entries = [
        idempotency.Entry(p.scope, p.key, p.body_hash, Reply(CREATED, body=p.order_id.encode()))
        for p in (priced.placement for priced in orders)
    ]
    idempotency.store_all(tx, entries, otherwise)
    for priced in orders:
        fact = placing.created(priced.placement, priced.number, priced.lines, priced.currency, priced.total)
        tx.append(fact, sequence=1, cause=priced.placement.cause)


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
