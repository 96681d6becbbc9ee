"""The simulator as the payment service meets it: a provider with answers, silences and webhooks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from tradepost.kernel.clock import now, rfc3339
from tradepost.kernel.database import Database
from tradepost.kernel.http.decoding import decode_json
from tradepost.kernel.ids import new_id
from tradepost.services.payment import signatures
from tradepost.services.payment.domain.report import (
    ChargeReport,
    ChargeState,
    Notice,
    RefundReport,
    RefundState,
    Unknown,
)
from tradepost.services.payment.domain.request import ChargeRequest, RefundRequest
from tradepost.services.payment.simulator import books
from tradepost.services.payment.simulator.books import Charge, News, Refund
from tradepost.services.payment.simulator.cards import LATER_S, card_of

CONFIRM_PATH: Final = "/payment/simulator/confirm"
VOIDABLE: Final = frozenset({ChargeState.REQUIRES_ACTION, ChargeState.AUTHORIZED})


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook; its type is `charge.captured`, `refund.failed` and the like."""

    type: str
    timestamp: str
    data: "Word"


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What it is about."""

    key: str
    reference: str
    reason: str | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


_told: Final = msgspec.json.Decoder(Told)


class Simulator:
    """`post` carries its webhooks to the shop."""

    name: Final = "simulator"

    def __init__(
        self, db: Database, secrets: tuple[bytes, ...], post: Callable[[Sequence[Webhook]], Awaitable[None]]
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._post = post

    async def charge(self, requests: Sequence[ChargeRequest]) -> Sequence[ChargeReport | Unknown]:
        """Once per key; a key that comes back with other money is not answered."""
        charges = [_charge_of(request) for request in requests]
        async with self._db.transaction() as tx:
            fresh = await books.enter_charges(tx, charges)
            old = [charge.key for charge in charges if charge.id not in fresh]
            known = await books.find_charges(tx, old) if old else {}
            await books.announce(tx, [piece for charge in charges if charge.id in fresh for piece in _news_of(charge)])
        if any(card_of(charge.method).told_first for charge in charges if charge.id in fresh):
            await self.deliver()
        return [
            _first_word(charge) if charge.id in fresh else _same_word(charge, known[charge.key]) for charge in charges
        ]

    async def void(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """Only what was not captured."""
        async with self._db.transaction() as tx:
            charges = await books.lock_charges(tx, keys)
            voided = [charge.key for charge in charges.values() if charge.state in VOIDABLE]
            if voided:
                await books.set_state(tx, voided, ChargeState.VOIDED)
        done = {key: msgspec.structs.replace(charges[key], state=ChargeState.VOIDED) for key in voided}
        return [_charge_word(key, done.get(key) or charges.get(key)) for key in keys]

    async def refund(self, requests: Sequence[RefundRequest]) -> Sequence[RefundReport | Unknown]:
        """Once per key, and never more than was captured."""
        async with self._db.transaction() as tx:
            charges = dict(await books.lock_charges(tx, [request.charge_key for request in requests]))
            known = dict(await books.find_refunds(tx, [request.key for request in requests]))
            fresh = []
            for request in requests:
                if request.key not in known:
                    refund = _refund_of(request, charges)
                    known[request.key] = refund
                    fresh.append(refund)
            if fresh:
                await books.enter_refunds(tx, fresh)
                await books.announce(tx, [piece for refund in fresh for piece in _later_of(refund, charges)])
        return [_same_refund(request, known[request.key]) for request in requests]

    async def find_charges(self, keys: Sequence[str]) -> Sequence[ChargeReport | Unknown]:
        """As its books say."""
        async with self._db.transaction() as tx:
            found = await books.find_charges(tx, keys)
        return [_charge_word(key, found.get(key)) for key in keys]

    async def find_refunds(self, keys: Sequence[str]) -> Sequence[RefundReport | Unknown]:
        """As its books say."""
        async with self._db.transaction() as tx:
            found = await books.find_refunds(tx, keys)
        return [_refund_word(key, found.get(key)) for key in keys]

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
            card = card_of(charge.method)
            state = card.confirmed if approve else ChargeState.DECLINED
            reason = card.confirmed_reason if approve else "authentication_failed"
            told = (ChargeState.AUTHORIZED, state) if state is ChargeState.CAPTURED else (state,)
            await books.set_state(tx, [charge.key], state, reason)
            await books.announce(tx, [_news(charge, one, reason) for one in told])
            return msgspec.structs.replace(charge, state=state, reason=reason)

    async def deliver(self) -> bool:
        """Tell what is due, signed as any provider's webhooks are; whether more waits. What could not be handed over
        is told again when the lease is over."""
        async with self._db.transaction() as tx:
            news = await books.due_news(tx)
        if not news:
            return False
        await self._post([self._webhook(piece) for piece in news])
        async with self._db.transaction() as tx:
            await books.delivered(tx, news)
        return len(news) == books.BATCH

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Notice:
        """What one of its webhooks says. Errors: InvalidSignature, Malformed, Invalid."""
        event_id = signatures.verify(self._secrets, headers, body, at)
        told = decode_json(_told, body)
        about, _, state = told.type.partition(".")
        word = {"key": told.data.key, "reference": told.data.reference, "reason": told.data.reason}
        if about == "charge" and state in list(ChargeState):
            return Notice(event_id=event_id, report=ChargeReport(state=ChargeState(state), **word))
        if about == "refund" and state in list(RefundState):
            return Notice(event_id=event_id, report=RefundReport(state=RefundState(state), **word))
        return Notice(event_id=event_id, report=None)

    def _webhook(self, piece: News) -> Webhook:
        data = Word(key=piece.key, reference=piece.reference, reason=piece.reason)
        told = Told(type=f"{piece.about}.{piece.state}", timestamp=rfc3339(now()), data=data)
        body = msgspec.json.encode(told)
        return Webhook(headers=signatures.sign(self._secrets[0], piece.event_id, now(), body), body=body)
