"""Timed work: ask the provider for what is due, look for what it never told, and let the simulator tell its news.

A round claims, asks with no transaction open, and records the answers. Whoever dies in between loses nothing: the
claim ends by itself, and asking again under the same key is the same."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
from prometheus_client import Gauge

from tradepost.kernel.log.dispatch import is_retryable
from tradepost.kernel.log.rest import UNHURRIED_S
from tradepost.kernel.service import Job
from tradepost.kernel.telemetry import FIGURES
from tradepost.services.payment import commands
from tradepost.services.payment.desk import Desk
from tradepost.services.payment.domain.model import Task
from tradepost.services.payment.domain.report import Report, Unknown
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest
from tradepost.services.payment.repository import claims
from tradepost.services.payment.simulator import books

ANSWER_TIMEOUT_S: Final = 20.0  # from before the claim, and well within its lease

OVERDUE: Final = Gauge(
    "tradepost_payments_overdue", "Payments and refunds that wait for the provider for over 10 min.", registry=FIGURES
)
FAILED: Final = Gauge(
    "tradepost_refunds_failed", "Refunds that failed, and that nobody has dealt with yet.", registry=FIGURES
)

R = TypeVar("R", ChargeRequest, RefundRequest, str)

logger = structlog.get_logger()


async def send(desk: Desk) -> bool:
    """Charges, voids and refunds that are due."""
    until = _until()
    due = await claims.to_send(desk.db)
    if not due.charges and not due.refunds:
        return False
    provider = desk.provider
    charges = [charge for task, charge in due.charges if task is Task.CHARGE]
    voids = [charge.key for task, charge in due.charges if task is Task.VOID]
    await _record(
        desk,
        _ask(provider.charge, charges, [charge.key for charge in charges], until),
        _ask(provider.void, voids, voids, until),
        _ask(provider.refund, due.refunds, [refund.key for refund in due.refunds], until),
    )
    return due.is_full


async def sweep(desk: Desk) -> bool:
    """Payments and refunds that the provider accepted and then told nothing of, and charges that nobody knows the fate
    of; besides, forget old webhooks."""
    until = _until()
    async with desk.db.transaction() as tx:
        due = await claims.to_find(tx)
        many_old = await claims.purge_webhooks(tx)
        OVERDUE.set(await claims.overdue(tx))
        FAILED.set(await claims.failed(tx))
    charge_keys = [charge.key for _, charge in due.charges]
    refund_keys = [refund.key for refund in due.refunds]
    if charge_keys or refund_keys:
        await _record(
            desk,
            _ask(desk.provider.find_charges, charge_keys, charge_keys, until),
            _ask(desk.provider.find_refunds, refund_keys, refund_keys, until),
        )
    return many_old or due.is_full


async def deliver(desk: Desk) -> bool:
    """The simulator's webhooks."""
    return await desk.simulator.deliver()


async def _record(desk: Desk, *asked: Awaitable[Sequence[Report | Unknown]]) -> None:
    answers = [answer for answers in await asyncio.gather(*asked) for answer in answers]
    if unknown := [answer for answer in answers if isinstance(answer, Unknown)]:
        logger.warning("payment_unanswered", count=len(unknown), key=unknown[0].key, why=unknown[0].why)
    async with desk.db.transaction() as tx:
        await commands.record(tx, answers)


def _until() -> float:
    """By the loop's clock, until when one may ask, and hear, about what is claimed from now on: who stands still for
    longer must not charge when somebody may have looked for the charge already."""
    return asyncio.get_running_loop().time() + ANSWER_TIMEOUT_S


async def _ask(
    call: Callable[[Sequence[R]], Awaitable[Sequence[Report | Unknown]]],
    requests: Sequence[R],
    keys: Sequence[str],
    until: float,
) -> Sequence[Report | Unknown]:
    """One word per request; `Unknown` for all of them when the provider can't be reached, or not in time."""
    if not requests:
        return ()
    if asyncio.get_running_loop().time() > until:
        return _unknown(keys, "claimed too long ago")
    try:
        async with asyncio.timeout_at(until):
            return await call(requests)
    except Exception as error:
        if not is_retryable(error):
            raise
        return _unknown(keys, str(error) or type(error).__name__)


def _unknown(keys: Sequence[str], why: str) -> Sequence[Unknown]:
    return [Unknown(key=key, why=why) for key in keys]


jobs: Final = (
    Job(commands.SENDER, send, every_s=1.0),
    Job("payment.sweep", sweep, every_s=10.0),
    Job(books.JOB, deliver, every_s=0.5, rest_s=UNHURRIED_S),
)
