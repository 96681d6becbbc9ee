"""Each write: lock the payments, move them, save them with what comes of it; all of it for many at a time."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import is_id, new_id
from tradepost.services.payment.domain import failed_refund, payment, refund
from tradepost.services.payment.domain.keys import order_of, return_refund_key, staff_refund_key
from tradepost.services.payment.domain.model import Payment, Refund, RefundItem, Step, Task
from tradepost.services.payment.domain.report import ChargeReport, Notice, RefundReport, Report, Unknown
from tradepost.services.payment.repository import claims, overtaken, payments, refunds

SENDER: Final = "payment.send"


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """An order is cancelled, whatever there is of it. `was_asked_for` tells whether it had asked for its money by then,
    though that may be yet to come."""

    order_id: str
    was_asked_for: bool
    cause: Cause


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """Goods came back that are worth `amount` minor units."""

    order_id: str
    return_id: str
    amount: int
    cause: Cause


async def request(tx: Tx, asked: Sequence[Payment]) -> None:
    """New payments, to be charged at once, but for orders whose cancellation came first."""
    made = await payments.insert(tx, [payment.request(one) for one in asked])
    if left := [one for one in asked if one.id not in made]:
        cancelled = await overtaken.take(tx, [one.order_id for one in left])
        late = [msgspec.structs.replace(one, cancelled=True) for one in left if one.order_id in cancelled]
        await payments.insert(tx, [payment.request(one) for one in late])
    tx.wake(SENDER)


async def cancel(tx: Tx, cancellations: Sequence[Cancellation]) -> None:
    """Void or give back what belongs to these orders, and remember those whose payment is yet to be asked for. An order
    that never asked for money has nothing here."""
    known = await payments.lock(tx, [one.order_id for one in cancellations])
    steps = {order_id: Step(payment=found) for order_id, found in known.items()}
    for one in cancellations:
        if one.order_id in steps:
            move = partial(payment.cancel, cause=one.cause, refund_id=new_id())
            steps[one.order_id] = steps[one.order_id].then(move)
    overtaken.remember(tx, [one.order_id for one in cancellations if one.was_asked_for and one.order_id not in known])
    await _save(tx, known, steps, {})


async def refund_returns(tx: Tx, returns: Sequence[Return]) -> None:
    """Give back what returned goods are worth, as far as there is something left to give; once per return. Where that
    is nothing, it is told."""
    known = await payments.lock(tx, [one.order_id for one in returns])
    keys = [return_refund_key(one.order_id, one.return_id) for one in returns]
    done = set(await refunds.lock(tx, keys))
    steps: dict[str, Step] = {}
    for one, key in zip(returns, keys, strict=True):
        found = known.get(one.order_id)
        if found is not None and key not in done:
            done.add(key)
            step = steps.get(one.order_id, Step(payment=found))
            steps[one.order_id] = step.then(partial(_refund_return, asked=one, key=key))
    await _save(tx, known, steps, {})


def _refund_return(now: Payment, asked: Return, key: str) -> Step:
    amount = min(asked.amount, now.refundable)
    if amount <= 0:
        reason = "nothing_left" if asked.amount else "worth_nothing"
        return refund.waive(now, reason=reason, cause=asked.cause, return_id=asked.return_id)
    return refund.start(
        now,
        refund_id=new_id(),
        key=key,
        amount=amount,
        reason="returned",
        cause=asked.cause,
        return_id=asked.return_id,
    )


async def refund_by_staff(
    tx: Tx, payment_id: str, *, amount: int | None, reason: str, items: tuple[RefundItem, ...], cause: Cause
) -> Refund:
    """A refund of `amount` minor units, or of all that is left. Errors: NotFound, RefundExceedsCaptured."""
    found = await payments.lock_one(tx, payment_id)
    if found is None:
        raise NotFound("There is no payment of this id.")
    refund_id = new_id()
    step = refund.start(
        found,
        refund_id=refund_id,
        key=staff_refund_key(found.order_id, refund_id),
        amount=found.refundable if amount is None else amount,
        reason=reason,
        cause=cause,
        items=items,
    )
    await _save(tx, {found.order_id: found}, {found.order_id: step}, {})
    return step.refunds[refund_id]


async def retry(tx: Tx, refund_id: str, cause: Cause) -> tuple[str, Refund]:
    """A refund that failed, once more: its payment, and the new one. Errors: NotFound, NotOpen,
    RefundExceedsCaptured."""
    new = new_id()
    payment_id, step = await _deal_with(tx, refund_id, partial(failed_refund.retry, refund_id=new, cause=cause))
    return payment_id, step.refunds[new]


async def close(tx: Tx, refund_id: str, *, paid: bool, note: str, cause: Cause) -> tuple[str, Refund]:
    """No refund by the provider any more: the buyer was `paid` in another way, or gets nothing. Its payment, and the
    refund that stands for it now. Errors: NotFound, NotOpen, RefundExceedsCaptured."""
    if not paid:
        payment_id, step = await _deal_with(tx, refund_id, partial(failed_refund.give_up, note=note, cause=cause))
        return payment_id, step.refunds[refund_id]
    new = new_id()
    move = partial(failed_refund.pay_outside, refund_id=new, note=note, cause=cause)
    payment_id, step = await _deal_with(tx, refund_id, move)
    return payment_id, step.refunds[new]


async def _deal_with(tx: Tx, refund_id: str, move: Callable[[Payment, Refund], Step]) -> tuple[str, Step]:
    """`move` a payment and a refund of it, both locked in this order."""
    found = await refunds.find(tx, refund_id)
    known = None if found is None else await payments.lock_one(tx, found[0])
    if found is None or known is None:
        raise NotFound("There is no refund of this id.")
    stored = await refunds.lock(tx, [found[1]])
    step = move(known, stored[found[1]])
    await _save(tx, {known.order_id: known}, {known.order_id: step}, stored)
    return known.id, step


async def receive(tx: Tx, provider: str, notices: Sequence[Notice]) -> None:
    """Webhooks, each of which takes effect once, however often the provider repeats it."""
    by_id = {notice.event_id: notice for notice in notices}
    new = await claims.take_in(tx, provider, list(by_id))
    reports = [notice.report for event_id, notice in by_id.items() if event_id in new]
    await _hear(tx, [report for report in reports if report is not None], asked=False)


async def record(tx: Tx, answers: Sequence[Report | Unknown]) -> None:
    """The provider's answers to what was claimed; the claims end. What stays open is asked again later."""
    await _hear(tx, answers, asked=True)


async def _hear(tx: Tx, words: Sequence[Report | Unknown], *, asked: bool) -> None:
    orders = {word.key: order_id for word in words if is_id(order_id := order_of(word.key) or "")}
    if not orders:
        return
    known = await payments.lock(tx, set(orders.values()))
    stored = await refunds.lock(tx, [word.key for word in words if not isinstance(word, ChargeReport)])
    steps = {order_id: Step(payment=found) for order_id, found in known.items()}
    for word in words:
        order_id = orders.get(word.key, "")
        if order_id in steps:
            steps[order_id] = _move(steps[order_id], word, stored.get(word.key), asked=asked)
    if not asked:
        steps = {order_id: step for order_id, step in steps.items() if step != Step(payment=known[order_id])}
    await _save(tx, known, steps, stored)


def _move(step: Step, word: Report | Unknown, stored: Refund | None, *, asked: bool) -> Step:
    """One word more. A refund that was asked about is saved though it did not move, so that its claim ends."""
    if isinstance(word, ChargeReport):
        return step.then(partial(payment.hear, report=word, refund_id=new_id()))
    if stored is None:
        return step
    current = step.refunds.get(stored.id, stored)
    if asked:
        step = msgspec.structs.replace(step, refunds={**step.refunds, current.id: current})
    return step.then(partial(refund.hear, refund=current, report=word)) if isinstance(word, RefundReport) else step


async def _save(tx: Tx, known: Mapping[str, Payment], steps: Mapping[str, Step], stored: Mapping[str, Refund]) -> None:
    """Save what moved, and wake the sender when something new is to be asked."""
    await payments.save(tx, [(known[order_id], step) for order_id, step in steps.items()], stored)
    if any(_has_news(known[order_id], step, stored) for order_id, step in steps.items()):
        tx.wake(SENDER)


def _has_news(before: Payment, step: Step, stored: Mapping[str, Refund]) -> bool:
    if step.payment.task not in (None, Task.FIND, before.task):
        return True
    return any(refund.task is Task.REFUND and refund.key not in stored for refund in step.refunds.values())
