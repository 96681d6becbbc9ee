"""Playing the invoices: orders are placed, cancellations cancel orders or bring goods back."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from tradepost.console.progress import Done
from tradepost.console.simulate import bodies
from tradepost.console.simulate.client import ORDERS, Answer, Client, NoOutcome
from tradepost.console.simulate.ledger import GivenBack, Ledger
from tradepost.console.simulate.log import Invoice
from tradepost.console.simulate.turns import Turns

SHIPPED: Final = "already_shipped"
LOST: Final = "no_outcome"


@dataclass
class Outcomes:
    """What came of it. Refusals by the code of the error; latencies in seconds."""

    order_ids: set[str] = field(default_factory=set)
    refused_orders: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    returned: int = 0
    refused_cancellations: Counter[str] = field(default_factory=Counter)
    unmatched_units: int = 0
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)


class Pace:
    """So many starts a second, evenly; None for as fast as it goes."""

    def __init__(self, rate: float | None) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        if self._interval_s:
            self._next = max(self._next, perf_counter())
            wait_s = self._next - perf_counter()
            self._next += self._interval_s
            await asyncio.sleep(wait_s)


@dataclass
class Play:
    """One run over the log. `run` makes its keys its own: the same run again has the same keys."""

    client: Client
    user_ids: Mapping[str, str]
    run: str
    outcomes: Outcomes = field(default_factory=Outcomes)
    _ledger: Ledger = field(default_factory=Ledger)

    async def play(self, invoices: Sequence[Invoice], players: int, rate: float | None, done: Done) -> Outcomes:
        """Everything, by so many players at once. Errors: ServerGone."""
        turns, pace, started = Turns(invoices), Pace(rate), perf_counter()
        count = 0

        async def player() -> None:
            nonlocal count
            while (invoice := turns.next()) is not None:
                follower: Invoice | None = invoice
                while follower is not None:
                    await pace.turn()
                    await self._play_one(follower)
                    count += 1
                    done(count)
                    follower = turns.after(follower)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(players):
                    group.create_task(player())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        self.outcomes.seconds = perf_counter() - started
        return self.outcomes

    async def _play_one(self, invoice: Invoice) -> None:
        if invoice.is_cancellation:
            await self._take_back(invoice)
        else:
            await self._place(invoice)

    async def _place(self, invoice: Invoice) -> None:
        user_id = self.user_ids[invoice.customer] if invoice.customer else None
        for part, (lines, body) in enumerate(bodies.orders(invoice, user_id)):
            answer = await self._post(ORDERS, f"{self.run}-{invoice.number}-{part}", body, self.outcomes.refused_orders)
            if answer is not None:
                self.outcomes.latencies.append(answer.seconds)
            if answer is None or answer.told.order_id is None or answer.status != 201:
                continue
            self.outcomes.order_ids.add(answer.told.order_id)
            if invoice.customer:
                self._ledger.bought(invoice.customer, answer.told.order_id, lines)

    async def _take_back(self, invoice: Invoice) -> None:
        found, unmatched = self._ledger.match(invoice.customer, invoice.lines)
        self.outcomes.unmatched_units += unmatched
        for back in found:
            if not (back.is_whole and await self._cancel(invoice, back)):
                await self._return(invoice, back)

    async def _cancel(self, invoice: Invoice, back: GivenBack) -> bool:
        """False when the parcel has left, so that the goods have to come back."""
        order_id, refusals = back.order.order_id, Counter[str]()
        key = f"{self.run}-{invoice.number}-{order_id}-cancel"
        answer = await self._post(f"{ORDERS}/{order_id}/cancel", key, bodies.CANCEL, refusals)
        if SHIPPED in refusals:
            return False
        self.outcomes.refused_cancellations += refusals
        if answer is not None and answer.status < 300:
            self.outcomes.cancelled += 1
            self._ledger.cancelled(invoice.customer or "", back)
        return True

    async def _return(self, invoice: Invoice, back: GivenBack) -> None:
        order_id, refusals = back.order.order_id, self.outcomes.refused_cancellations
        key = f"{self.run}-{invoice.number}-{order_id}"
        asked = await self._post(
            f"{ORDERS}/{order_id}/returns", f"{key}-return", bodies.return_(back, invoice), refusals
        )
        if asked is None or asked.status >= 300:
            return
        path = f"/order/returns/{asked.told.return_id}/receive"
        received = await self._post(path, f"{key}-receive", b"", refusals)
        if received is not None and received.status < 300:
            self.outcomes.returned += 1
            self._ledger.returned(back)

    async def _post(self, path: str, key: str, body: bytes, refusals: Counter[str]) -> Answer | None:
        """The answer; None when there is none to be had, which is counted, as a refusal is."""
        try:
            answer = await self.client.post(path, key, body)
        except NoOutcome as error:
            refusals[LOST] += 1
            self.outcomes.troubles.append(str(error))
            return None
        if answer.status >= 300:
            refusals[answer.told.error or str(answer.status)] += 1
        return answer
