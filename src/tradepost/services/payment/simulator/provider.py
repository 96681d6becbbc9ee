"""The simulator as the payment service meets it: a provider with answers, silences and webhooks."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.services.payment.domain.report import (
    ChargeReport,
    ChargeState,
    Notice,
    RefundReport,
    RefundState,
    Unknown,
)
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest
from tradepost.services.payment.providers import Webhook
from tradepost.services.payment.simulator import bank, books, wire
from tradepost.services.payment.simulator.bank import Charge
from tradepost.services.payment.simulator.cards import card_of

_VOIDABLE: Final = frozenset({ChargeState.REQUIRES_ACTION, ChargeState.AUTHORIZED})


class Simulator:
    """Keeps its books in transactions of its own, a batch in one. `post` carries its webhooks to the shop."""

    def __init__(
        self, db: Database, secrets: tuple[bytes, ...], post: Callable[[Sequence[Webhook]], Awaitable[None]]
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._post = post

    @property
    def name(self) -> str:
        return "simulator"

    async def charge(self, requests: Sequence[ChargeRequest]) -> Sequence[ChargeReport | Unknown]:
        """Once per key."""
        charges = [bank.charge_of(request) for request in requests]
        async with self._db.transaction() as tx:
            new_ids = await books.enter_charges(tx, charges)
            new = {charge.id: charge for charge in charges if charge.id in new_ids}
            old_keys = [charge.key for charge in charges if charge.id not in new]
            old = await books.find_charges(tx, old_keys) if old_keys else {}
            await books.announce(tx, [piece for charge in new.values() for piece in bank.news_of_charge(charge)])
        if any(card_of(charge.method).told_first for charge in new.values()):
            await self.deliver()
        return [
            bank.first_answer(charge) if charge.id in new else bank.repeated_answer(request, old[charge.key])
            for request, charge in zip(requests, charges, strict=True)
        ]

    async def void(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """Only what was not captured."""
        async with self._db.transaction() as tx:
            charges = dict(await books.lock_charges(tx, keys))
            voided = [charge.key for charge in charges.values() if charge.state in _VOIDABLE]
            if voided:
                await books.settle(tx, voided, ChargeState.VOIDED)
        for key in voided:
            charges[key] = msgspec.structs.replace(charges[key], state=ChargeState.VOIDED)
        return [_charge_report(key, charges.get(key)) for key in keys]

    async def refund(self, requests: Sequence[RefundRequest]) -> Sequence[RefundReport | Unknown]:
        """Once per key, and never more than was captured."""
        async with self._db.transaction() as tx:
            charges = dict(await books.lock_charges(tx, [request.charge_key for request in requests]))
            refunds = dict(await books.find_refunds(tx, [request.key for request in requests]))
            new = []
            for request in requests:
                if request.key not in refunds:
                    charge = charges.get(request.charge_key)
                    refund = refunds[request.key] = bank.refund_of(request, charge)
                    new.append((refund, charge))
                    if charge is not None and refund.state is not RefundState.FAILED:
                        charges[charge.key] = msgspec.structs.replace(charge, refunded=charge.refunded + refund.amount)
            if new:
                await books.enter_refunds(tx, [refund for refund, _ in new])
                await books.announce(tx, [piece for pair in new for piece in bank.news_of_refund(*pair)])
        return [bank.refund_answer(request, refunds[request.key]) for request in requests]

    async def find_charges(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """As its books say."""
        async with self._db.transaction() as tx:
            found = await books.find_charges(tx, keys)
        return [_charge_report(key, found.get(key)) for key in keys]

    async def find_refunds(self, keys: Sequence[str]) -> Sequence[RefundReport | Unknown]:
        """As its books say."""
        async with self._db.transaction() as tx:
            found = await books.find_refunds(tx, keys)
        return [_refund_report(key, found.get(key)) for key in keys]

    async def look(self, charge_id: str) -> Charge | None:
        """The charge that its owner is asked to confirm."""
        async with self._db.transaction() as tx:
            return await books.lock_charge(tx, charge_id)

    async def confirm(self, charge_id: str, *, approve: bool) -> Charge | None:
        """The owner's decision, the first of which counts; the charge as it stands then."""
        async with self._db.transaction() as tx:
            charge = await books.lock_charge(tx, charge_id)
            if charge is None or charge.state is not ChargeState.REQUIRES_ACTION:
                return charge
            decided = bank.confirmed(charge, approve=approve)
            await books.settle(tx, [decided.key], decided.state, decided.reason)
            await books.announce(tx, bank.news_of_decision(decided))
            return decided

    async def deliver(self) -> bool:
        """Tell what is due, signed as any provider's webhooks are; whether more waits. What could not be handed over
        is told again when the lease is over."""
        async with self._db.transaction() as tx:
            news = await books.due_news(tx)
        if not news:
            return False
        await self._post([wire.write(self._secrets[0], piece, now()) for piece in news])
        async with self._db.transaction() as tx:
            await books.delivered(tx, news)
        return len(news) == books.BATCH

    def read(self, webhook: Webhook, at: datetime) -> Notice:
        """What one of its webhooks tells. Errors: InvalidSignature, Malformed, Invalid."""
        return wire.read(self._secrets, webhook, at)


def _charge_report(key: str, charge: Charge | None) -> ChargeReport:
    return bank.charge_report(charge) if charge is not None else ChargeReport(key=key, state=ChargeState.MISSING)


def _refund_report(key: str, refund: bank.Refund | None) -> RefundReport:
    return bank.refund_report(refund) if refund is not None else RefundReport(key=key, state=RefundState.MISSING)
