"""What orders ask of stock, step by step in arrival order: hold, sell, give back, take back."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from tradepost.contracts.inventory import InventoryRejected, InventoryReleased, InventoryReserved, StockLine
from tradepost.kernel.events import Cause
from tradepost.services.inventory.domain.movement import Reason
from tradepost.services.inventory.domain.reservation import (
    CANCELLED,
    Demand,
    Grant,
    Rejection,
    Reservation,
    Status,
    decide,
    overtaken,
)
from tradepost.services.inventory.domain.shelf import Note, Shelf
from tradepost.services.inventory.domain.stock import Stock


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """The order is paid."""

    order_id: str
    cause: Cause


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """The order will not be fulfilled; what that means for stock, its reservation tells, but for an order that was
    `paid`, of which that may be yet to come."""

    order_id: str
    paid: bool
    cause: Cause


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """Units of the order came back and can be sold again, by SKU."""

    order_id: str
    return_id: str
    units: Mapping[str, int]
    cause: Cause


Step = Demand | Sale | Cancellation | Return
Book = dict[str, Reservation]  # by order


def skus_of(steps: Iterable[Step], known: Mapping[str, Reservation]) -> Collection[str]:
    """Every SKU that the steps may touch: what they name, and what is reserved for their orders."""
    skus = {sku for reservation in known.values() for sku in reservation.skus}
    for step in steps:
        if isinstance(step, Demand | Return):
            skus.update(step.units)
    return skus


def carry_out(steps: Sequence[Step], known: Mapping[str, Reservation], shelf: Shelf) -> Sequence[Reservation]:
    """Do what the steps ask for, on the shelf; the reservations that are new or changed. A step that comes late or
    twice finds its reservation in a status that has no such move, and changes nothing. A cancellation may come before
    what it cancels: see ADR 34."""
    book: Book = dict(known)
    for are_demands, run in groupby(steps, key=lambda step: isinstance(step, Demand)):
        if are_demands:
            _reserve([step for step in run if isinstance(step, Demand)], book, shelf)
        else:
            for step in run:
                _follow(step, book, shelf)
    return [now for now in book.values() if known.get(now.order_id) is not now]


def _reserve(demands: Sequence[Demand], book: Book, shelf: Shelf) -> None:
    fresh = {demand.order_id: demand for demand in reversed(demands) if demand.order_id not in book}
    first = [demand for demand in demands if fresh.get(demand.order_id) is demand]
    free = shelf.free({sku for demand in first for sku in demand.units})
    for verdict in decide(first, free):
        if isinstance(verdict, Grant):
            _grant(verdict.demand, book, shelf)
        else:
            _reject(verdict, book, shelf)
    for demand in demands:
        if book[demand.order_id].is_overtaken:
            _reject(Rejection(demand, CANCELLED, ()), book, shelf)


def _grant(demand: Demand, book: Book, shelf: Shelf) -> None:
    order_id, cause = demand.order_id, demand.cause
    items = tuple(_line(shelf.hold(sku, units, cause), units) for sku, units in demand.units.items())
    book[order_id] = _reservation(demand, Status.RESERVED)
    shelf.notes.append(Note(InventoryReserved(order_id=order_id, items=items), 1, cause))


def _reject(rejection: Rejection, book: Book, shelf: Shelf) -> None:
    demand = rejection.demand
    fact = InventoryRejected(order_id=demand.order_id, reason=rejection.reason, missing=rejection.missing)
    book[demand.order_id] = _reservation(demand, Status.REJECTED)
    shelf.notes.append(Note(fact, 1, demand.cause))


def _follow(step: Step, book: Book, shelf: Shelf) -> None:
    reservation = book.get(step.order_id)
    match step:
        case Return():
            _take_back(step, shelf)
        case Sale() if reservation is not None and reservation.may(Status.COMMITTED):
            book[step.order_id] = _commit(reservation, step.cause, shelf)
        case Cancellation():
            book[step.order_id] = _cancel(step, reservation, shelf)


def _cancel(step: Cancellation, reservation: Reservation | None, shelf: Shelf) -> Reservation:
    if reservation is None:
        return overtaken(step.order_id)
    if step.paid and reservation.may(Status.COMMITTED):
        reservation = _commit(reservation, step.cause, shelf)
    if reservation.may(Status.RELEASED):
        return _release(reservation, step.cause, shelf)
    if reservation.may(Status.RESTOCKED):
        return _restock(reservation, step.cause, shelf)
    return reservation


def _commit(reservation: Reservation, cause: Cause, shelf: Shelf) -> Reservation:
    for sku, units in reservation.lines:
        shelf.sell(sku, units, reservation.order_id, cause)
    return msgspec.structs.replace(reservation, status=Status.COMMITTED)


def _release(reservation: Reservation, cause: Cause, shelf: Shelf) -> Reservation:
    items = tuple(_line(shelf.release(sku, units, cause), units) for sku, units in reservation.lines)
    return _released(reservation, Status.RELEASED, items, cause, shelf)


def _restock(reservation: Reservation, cause: Cause, shelf: Shelf) -> Reservation:
    order_id = reservation.order_id
    items = tuple(
        _line(shelf.move(sku, units, Reason.CANCELLED, cause, order_id=order_id), units)
        for sku, units in reservation.lines
    )
    return _released(reservation, Status.RESTOCKED, items, cause, shelf)


def _released(
    reservation: Reservation, to: Status, items: tuple[StockLine, ...], cause: Cause, shelf: Shelf
) -> Reservation:
    moved = msgspec.structs.replace(reservation, status=to, version=reservation.version + 1)
    fact = InventoryReleased(order_id=moved.order_id, items=items, restocked=to is Status.RESTOCKED)
    shelf.notes.append(Note(fact, moved.version, cause))
    return moved


def _take_back(step: Return, shelf: Shelf) -> None:
    for sku, units in step.units.items():
        if shelf.get(sku) is not None:
            shelf.adjust(sku, units, Reason.RETURNED, step.cause, step.return_id, step.order_id)


def _reservation(demand: Demand, status: Status) -> Reservation:
    skus, quantities = tuple(demand.units), tuple(demand.units.values())
    return Reservation(order_id=demand.order_id, skus=skus, quantities=quantities, status=status)


def _line(stock: Stock, units: int) -> StockLine:
    return StockLine(sku=stock.sku, quantity=units, available=stock.available, version=stock.version)
