"""Whose turn it is: the invoices in order of time, but each customer's one after the other."""

from collections import deque
from collections.abc import Iterable

from tradepost.console.simulate.log import Invoice


class Turns:
    """Hands out invoices to several players. An invoice of a customer is held back while an earlier one of the same
    customer is being played, and then follows it."""

    def __init__(self, invoices: Iterable[Invoice]) -> None:
        self._invoices = iter(invoices)
        self._held_back: dict[str, deque[Invoice]] = {}  # a key for each customer who is being served

    def next(self) -> Invoice | None:
        """One that may be played now; None when no more will be handed out but by `after`."""
        for invoice in self._invoices:
            if invoice.customer is None:
                return invoice
            if (waiting := self._held_back.get(invoice.customer)) is None:
                self._held_back[invoice.customer] = deque()
                return invoice
            waiting.append(invoice)
        return None

    def after(self, invoice: Invoice) -> Invoice | None:
        """`invoice` was answered: the same customer's next one, if any waits."""
        if invoice.customer is None:
            return None
        waiting = self._held_back[invoice.customer]
        if waiting:
            return waiting.popleft()
        del self._held_back[invoice.customer]
        return None
